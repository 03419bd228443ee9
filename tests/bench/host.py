"""A lab with the daemon in it, for measurements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ipmp.lab import Lab
from tests.support.lab import Host

CONFIG = """\
[groups.ipmp0]
interfaces = ["ni0", "ni1"]
announce = { rate = 10000 }
"""


@contextmanager
def laboratory() -> Iterator[tuple[Lab, Path]]:
    """A lab and a directory of its own."""
    with (
        TemporaryDirectory(prefix="ipmp-bench-") as directory,
        Lab(Path(directory, "lab")) as lab,
    ):
        yield lab, Path(directory)


@contextmanager
def daemon(lab: Lab, directory: Path, more: str = "") -> Iterator[Host]:
    """`mpathd` in the lab's host, with `more` in the configuration of its group."""
    host = Host(lab, directory, CONFIG + more).start("--log.level=error")
    try:
        yield host
    finally:
        host.stop()


def ticks(pid: int) -> int:
    """User and system time that a process has used, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
