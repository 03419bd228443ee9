"""An mpathd that dies as by `kill -9` after its k-th step: run like mpathd, with `python -P`.

It is the real daemon on the real kernel; only what is between two steps is different: steps that
it would hand to the kernel at a stretch are handed over one by one. A step is a change of the
kernel, an announcement, or a file that is written. Announcements are not repeated, since that would
be a matter of time.

The file named by MPATHD_DIES_AFTER holds k, and is older than the steps that are counted. Without
the file it lives on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ipmp import announce
from ipmp.cli import mpathd
from ipmp.intent import IntentStore
from ipmp.kernel.linux import LinuxKernel
from ipmp.kernel.protocol import Course, Failure, PassedOver, Prepared

VARIABLE = "MPATHD_DIES_AFTER"


class Fate:
    """Counts steps since the file was written last."""

    def __init__(self) -> None:
        self._file = Path(os.environ[VARIABLE])
        self._written = 0
        self._steps = 0

    def stepped(self) -> None:
        """One step has been made; die if it was the last one."""
        try:
            written, last = self._file.stat().st_mtime_ns, int(self._file.read_text())
        except FileNotFoundError:
            return
        if written != self._written:
            self._written, self._steps = written, 0
        self._steps += 1
        if self._steps == last:
            os.kill(os.getpid(), signal.SIGKILL)


def mortal(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, as a step."""

    def step(*arguments: Any, **options: Any) -> Any:
        result = method(*arguments, **options)
        fate.stepped()
        return result

    return step


class MortalKernel(LinuxKernel):
    """The kernel of this host, asked for one thing at a time."""

    announce = mortal(LinuxKernel.announce)

    def __init__(self) -> None:
        super().__init__()
        self._one_by_one = asyncio.Lock()

    async def apply(self, prepared: Prepared, course: Course | None = None) -> list[Failure]:
        course = course or Course()
        async with self._one_by_one:
            if course.over:
                raise PassedOver
            failures = []
            for step in prepared.steps:
                failures += await super().apply(self.prepare([step]))
                fate.stepped()
            course.over = course.over or bool(failures)
        return failures


class MortalStore(IntentStore):
    """The files of the run directory."""

    save_intent = mortal(IntentStore.save_intent)
    save_homes = mortal(IntentStore.save_homes)


if __name__ == "__main__":
    fate = Fate()
    announce.PAUSES_IPV4 = announce.PAUSES_IPV6 = ()
    mpathd.LinuxKernel, mpathd.IntentStore = MortalKernel, MortalStore  # type: ignore[misc]
    sys.exit(mpathd.main())
