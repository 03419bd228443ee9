"""What it costs to run: the idle daemon, and the start of the commands.

Beside the daemon a program that only looks at both carriers ten times a second, from the same event
loop and with the same requests: what nobody who does that in Python can go below on this machine.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import time
from os import environ, sysconf
from pathlib import Path

from ipmp.daemon.heartbeat import SECONDS
from ipmp.kernel.link_codec import link_request
from ipmp.kernel.netlink import Requests
from ipmp.lab.topology import HOST
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
                ("python3 -c pass", ("python3", "-c", "pass")),
            )
        ]
        time.sleep(6)  # until the last announcement of the start is out
        used = ticks(pid)
        time.sleep(IDLE_SECONDS)  # the measurement
        share = 100 * (ticks(pid) - used) / sysconf("SC_CLK_TCK") / IDLE_SECONDS
        memory = _resident(pid) / 1024
        command = (sys.executable, "-m", "tests.bench.cost")
        floor = float(lab.run(HOST, command, timeout=2 * IDLE_SECONDS).stdout)
    rows = [("mpathd", share, memory), ("ten looks a second, no more", floor, "")]
    show("Idle, two members", ("program", "CPU % of a core", "resident MiB"), rows)
    show("Start of the commands", ("command", "CPU ms"), commands)


def _cpu(run_dir: Path, *argv: str) -> float:
    """User and system time of one run, milliseconds."""
    command = [str(Path(sys.prefix, "bin", argv[0])), *argv[1:]]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**environ, "IPMP_RUN_DIR": str(run_dir)}
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


async def _look() -> float:
    """Percent of a core for the looks at two carriers, and nothing else."""
    loop, requests = asyncio.get_running_loop(), Requests()
    questions = [link_request(name) for name in ("ni0", "ni1")]

    def look() -> None:
        for question in questions:
            requests.look(question)
        loop.call_later(SECONDS, look)

    look()
    used = time.process_time()
    await asyncio.sleep(IDLE_SECONDS)  # the measurement
    return 100 * (time.process_time() - used) / IDLE_SECONDS


if __name__ == "__main__":
    print(asyncio.run(_look()))
