"""Carrier loss: the longest gap that the peer sees at 1000 packets/s, for the last address of many.

The whole daemon is measured: detection, decision, history and all. Beside it keepalived on the same
topology, and the kernel's own time for the same additions and deletions.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ipmp.lab import Lab
from ipmp.lab.tools import find
from ipmp.lab.topology import HOST
from tests.bench.host import daemon, laboratory
from tests.bench.table import median, show
from tests.support.views import held
from tests.support.wait import eventually

ROUNDS = 10
SIZES = (1, 100, 1_000)
ROUTES = 100_000  # of others, on the same host
KEEPALIVED_ROUNDS = {"1": 3, "0.1": 5}
BEFORE, AFTER = 0.3, 0.5  # seconds of stream around the failure
VIRTUAL = "192.168.1.9"


def main() -> None:
    """Print the table."""
    rows: list[tuple[object, ...]] = []
    for count in SIZES:
        gaps = _ours(count)
        floor = _kernel(count) if count > 1 else None
        rows.append((f"mpathd, {count} IPv4", median(gaps), min(gaps), max(gaps), floor or "-"))
    gaps = _ours(SIZES[-1], ROUTES)
    name = f"mpathd, {SIZES[-1]} IPv4, {ROUTES} routes"
    rows.append((name, median(gaps), min(gaps), max(gaps), "-"))
    for interval, rounds in KEEPALIVED_ROUNDS.items():
        rows.append(_keepalived(interval, rounds))
    header = ("longest gap, ms", "median", "least", "most", "kernel's own ms")
    show("Carrier loss at 1000 packets/s, seen by the peer", header, rows)


def _ours(count: int, routes: int = 0) -> list[float]:
    """Each round has a daemon of its own: moves count towards the limit of a fabric."""
    with laboratory() as (lab, directory):
        _crowd(lab, routes)
        keys = [f"10.50.{i // 250}.{i % 250 + 1}/16" for i in range(count - 1)]
        commands = "".join(f"addr add {key} dev ni0\n" for key in keys)
        lab.run(HOST, ("ip", "-batch", "-"), input=commands)
        lab.run("peer", ("ip", "route", "add", "10.50.0.0/16", "dev", "eth0"))
        address = keys[-1].partition("/")[0] if keys else "192.168.1.5"
        expected = set(held(lab, "ni0"))

        def at_home() -> bool:
            return set(held(lab, "ni0")) == expected and not held(lab, "ni1")

        gaps = []
        for _ in range(ROUNDS):
            with daemon(lab, directory):
                gaps.append(gap(lab, address, at_home))
                eventually(at_home, 30)
        return gaps


def _crowd(lab: Lab, routes: int) -> None:
    """Give the host routes that are none of the group's."""
    if routes:
        away = "link add d0 type veth peer d1\nlink set d0 up\nlink set d1 up\n"
        lab.run(HOST, ("ip", "-batch", "-"), input=away)
        lines = (
            f"route add 10.{100 + i // 65536}.{i // 256 % 256}.{i % 256}/32 dev d0\n"
            for i in range(routes)
        )
        lab.run(HOST, ("ip", "-batch", "-"), input="".join(lines), timeout=300)


def gap(lab: Lab, address: str, at_home: Callable[[], bool], seconds: float = AFTER) -> float:
    """Pull the cable of ni0 once; the longest gap that the peer sees, milliseconds."""
    eventually(at_home, 30)
    with lab.meter("peer", address) as stream:
        time.sleep(BEFORE)
        lab.fault("cable-pull", "ni0")
        time.sleep(seconds)
        result = stream.result()
    lab.repair("ni0")
    return result.peer_gap_ms


def _kernel(count: int) -> float:
    with laboratory() as (lab, _):
        command = (sys.executable, "-m", "tests.bench.bulk", "IPv4", str(count))
        figures = json.loads(lab.run(HOST, command, timeout=600).stdout)
    return 1000 * float(figures["kernel"])


def _keepalived(interval: str, rounds: int) -> tuple[object, ...]:
    program = find("keepalived")
    name = f"keepalived, advert_int {interval}, 1 IPv4"
    if program is None:
        return name, "missing", "-", "-", "-"
    with laboratory() as (lab, directory):
        for command in (
            "addr flush dev ni0 scope global",
            "addr add 192.168.1.21/24 dev ni0",
            "addr add 192.168.1.22/24 dev ni1",
        ):
            lab.run(HOST, ("ip", *command.split()))
        _set(lab, "all/accept_local", 1)
        _set(lab, "all/arp_ignore", 1)
        _set(lab, "all/arp_announce", 2)
        for nic in ("ni0", "ni1"):
            _set(lab, f"{nic}/ignore_routes_with_linkdown", 1)
        config = directory / "keepalived.conf"
        config.write_text(_instances(interval))
        runs = (str(program), "-n", "-l", "-P", "-f", str(config))
        pids = ("-p", str(directory / "a"), "-r", str(directory / "b"))
        process = lab.popen(HOST, (*runs, *pids), stdout=-3, stderr=subprocess.DEVNULL)
        seconds = 4 * float(interval) + 1.0

        def master() -> bool:
            return f"{VIRTUAL}/24" in held(lab, "ni0") and f"{VIRTUAL}/24" not in held(lab, "ni1")

        gaps = [gap(lab, VIRTUAL, master, seconds) for _ in range(rounds)]
        process.terminate()
    return name, median(gaps), min(gaps), max(gaps), "-"


def _set(lab: Lab, name: str, value: int) -> None:
    lab.run(HOST, ("sh", "-c", f"echo {value} > {Path('/proc/sys/net/ipv4/conf') / name}"))


def _instances(interval: str) -> str:
    instance = """\
vrrp_instance {nic} {{
    state {state}
    interface {nic}
    virtual_router_id 51
    priority {priority}
    advert_int {interval}
    virtual_ipaddress {{ {address}/24 dev {nic} }}
}}
"""
    text = "global_defs { vrrp_version 3 }\n"
    for nic, state, priority in (("ni0", "MASTER", 150), ("ni1", "BACKUP", 100)):
        text += instance.format(
            nic=nic, state=state, priority=priority, interval=interval, address=VIRTUAL
        )
    return text
