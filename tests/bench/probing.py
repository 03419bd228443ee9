"""What probing costs: the engine with its sockets, two members, IPv4 and IPv6, in a lab."""

from __future__ import annotations

import sys
import time
from os import sysconf
from pathlib import Path

from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.bench.host import laboratory, ticks
from tests.bench.table import show

TIMES = ("100ms", "1s", "10s")  # failure detection times
SECONDS = 20.0
CONFIG = """\
[groups.ipmp0]
interfaces = ["ni0", "ni1"]
failure_detection_time = "{time}"
[groups.ipmp0.probe]
method = "{method}"
test_addresses = {{ ni0 = "192.168.1.21/32", ni1 = "192.168.1.22/32" }}
"""


def main() -> None:
    """Print the table."""
    with laboratory() as (lab, directory):
        for nic, address in (("ni0", "192.168.1.21/32"), ("ni1", "192.168.1.22/32")):
            lab.run(HOST, ("ip", "addr", "add", address, "dev", nic, "noprefixroute"))
        rows = [
            (method, text, _cpu(lab, directory, method, text))
            for method in ("arp", "icmp")
            for text in TIMES
        ]
    show("Probing, two members, two families", ("method", "detection", "CPU % of a core"), rows)


def _cpu(lab: Lab, directory: Path, method: str, text: str) -> float:
    config = directory / "probing.toml"
    config.write_text(CONFIG.format(time=text, method=method))
    output = str(directory / "probing.jsonl")
    program = (sys.executable, "-m", "tests.support.prober_program", str(config), output)
    process = lab.popen(HOST, (*program, "--look", "10", "--quiet"))
    try:
        time.sleep(2)  # until it has its targets
        pid = process.inner_pid
        used = ticks(pid)
        time.sleep(SECONDS)  # the measurement
        return 100 * (ticks(pid) - used) / sysconf("SC_CLK_TCK") / SECONDS
    finally:
        process.terminate()
        process.wait()
