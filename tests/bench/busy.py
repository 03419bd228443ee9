"""A busy host must not fail over: every core is kept busy while probes go out at 100 ms.

`SECONDS=600 python -m tests.bench busy`; each failure that is found is a false one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.bench.host import daemon, laboratory
from tests.bench.table import show

SECONDS = float(os.environ.get("SECONDS", "600"))
SPIN = (sys.executable, "-c", "while True: pass")


def main() -> None:
    """Print the table."""
    cores = os.cpu_count() or 1
    with (
        laboratory() as (lab, directory),
        daemon(lab, directory, 'failure_detection_time = "100ms"\n') as host,
    ):
        hogs = [subprocess.Popen(SPIN) for _ in range(cores)]
        try:
            time.sleep(SECONDS)  # the measurement
            status = host.status()
        finally:
            for hog in hogs:
                hog.kill()
                hog.wait()
        probes = [p for i in status.interfaces for p in i.probes]
        failed = sum(i.transitions.get("failed", 0) for i in status.interfaces)
        row = (
            SECONDS,
            sum(p.sent for p in probes),
            sum(p.lost for p in probes),
            sum(p.missed for p in probes),
            failed,
        )
    header = ("busy for, s", "probes", "lost", "slots missed", "false failures")
    show(f"Detection time 100 ms, {cores} cores kept busy", header, [row])
