"""Programs inside a node: ordinary `Popen` objects whose signals reach the program itself."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Any

from ipmp.lab.namespaces import children

FORK_WITHIN = 5.0  # seconds in which nsenter has forked; it takes a millisecond


class NodeProcess(subprocess.Popen[Any]):
    """A program in a node of the lab, started through nsenter.

    nsenter waits outside and hands on the exit status, also a death by signal. It does not pass
    signals on, so `send_signal`, `terminate` and `kill` look up the program and signal that.
    """

    @property
    def inner_pid(self) -> int:
        """Return the program's pid as seen from outside (for /proc, kill); 0 if it has ended."""
        deadline = time.monotonic() + FORK_WITHIN
        while self.poll() is None:
            found = children(self.pid)
            if found:
                return found[0]
            if time.monotonic() > deadline:
                raise TimeoutError(f"nsenter (pid {self.pid}) has started nothing")
            time.sleep(0.001)
        return 0

    def send_signal(self, sig: int) -> None:
        """Send `sig` to the program in the node; nothing happens if it has ended already."""
        program = self.inner_pid
        if not program:
            return
        try:
            os.kill(program, sig)
            if sig == signal.SIGCONT:  # nsenter stops itself along with its program
                os.kill(self.pid, sig)
        except ProcessLookupError:
            return
