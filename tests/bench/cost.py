"""What it costs to run: the idle daemon, and the start of the commands."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from os import environ, sysconf
from pathlib import Path

from tests.bench.host import daemon, laboratory, ticks
from tests.bench.table import median, show

IDLE_SECONDS = 20.0
RUNS = 11


def main() -> None:
    """Print both tables."""
    with laboratory() as (lab, directory), daemon(lab, directory) as host:
        pid = host.process.inner_pid
        commands = [
            (name, median([_cpu(host.run_dir, *argv) for _ in range(RUNS)]))
            for name, argv in (
                ("ipmpstat -i", ("ipmpstat", "-i")),
                ("if_mpadm -d ni0 --dry-run", ("if_mpadm", "-d", "ni0", "--dry-run")),
                ("python3 -c pass", ()),
            )
        ]
        time.sleep(6)  # until the last announcement of the start is out
        used = ticks(pid)
        time.sleep(IDLE_SECONDS)  # the measurement
        share = 100 * (ticks(pid) - used) / sysconf("SC_CLK_TCK") / IDLE_SECONDS
        memory = _resident(pid) / 1024
    show("Idle daemon, two members", ("CPU % of a core", "resident MiB"), [(share, memory)])
    show("Start of the commands", ("command", "CPU ms"), commands)


def _cpu(run_dir: Path, *argv: str) -> float:
    """User and system time of one run, milliseconds."""
    command = (
        [str(Path(sys.prefix, "bin", argv[0])), *argv[1:]]
        if argv
        else [
            sys.executable,
            "-c",
            "pass",
        ]
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**environ, "IPMP_RUN_DIR": str(run_dir)}
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
