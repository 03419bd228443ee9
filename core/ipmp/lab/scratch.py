"""A directory that goes with the process that made it, whatever that dies of."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Its standard input ends when we close it or die. Then those that write into the directory are
# dying as well, and may for a moment undo what `rm` does.
_SWEEPER = """\
trap '' INT TERM HUP
cat >/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$0" 2>/dev/null && exit; sleep 0.2; done
exec rm -rf -- "$0"
"""


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """Yield a new directory; it is removed after the block, and also when we are killed in it."""
    directory = tempfile.mkdtemp(prefix=prefix)
    command = ("sh", "-c", _SWEEPER, directory)
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):  # noqa: S603
        yield Path(directory)
