"""The kernel's events are dropped, lost or late: what it says when asked counts."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from random import Random
from threading import Event, Thread

import pytest

from ipmp.lab import Lab
from ipmp.lab.topology import HOST, ROUTER_IPV4
from tests.scenarios.conftest import StartHost
from tests.support.netlink import Taps, deafen, shrink_buffer
from tests.support.views import BOTH, IPV4, IPV6, PLAIN, held, on, routes
from tests.support.wait import eventually

ROUTES = 10_000
INTERVAL = 10.0  # seconds between full readings of the kernel
TAP = """\
[groups.ipmp0]
interfaces = ["tap0", "ni1"]
addresses = [{ address = "192.168.1.9/24", home = "tap0" }]
probe = { method = "off" }
"""


@pytest.mark.slow
def test_47_netlink_overrun(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    before = routes(lab)
    assert shrink_buffer(lab, host.status().daemon.pid) == 1
    many = [f"10.{n >> 8}.{n & 255}.0/24 via {ROUTER_IPV4}" for n in range(ROUTES)]
    host.signal(signal.SIGSTOP)
    lines = "".join(f"route add {route} dev ni0\n" for route in many)
    lab.run(HOST, ("ip", "-batch", "-"), input=lines)
    lab.run(HOST, ("ip", "addr", "del", f"{IPV6}/64", "dev", "ni0"))
    host.signal(signal.SIGCONT)
    eventually(lambda: host.status().daemon.netlink_overruns)
    assert any("the kernel dropped netlink events" in said for said in host.sentences())
    on(lab, "ni0", *BOTH)
    whole = routes(lab)
    assert len(whole) == len(before) + ROUTES
    with lab.meter("peer", IPV4) as stream:
        assert host.if_mpadm("-d", "ni0").returncode == 0
        assert stream.result().lost == 0
    moved = routes(lab)
    assert len(moved) == len(whole)
    assert [line for line in moved if "dev ni0" in line] == []
    assert host.if_mpadm("-r", "ni0").returncode == 0
    eventually(lambda: routes(lab) == whole)


@pytest.mark.slow
def test_48_missed_events_are_made_up_for_by_looking(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    assert deafen(lab, host.status().daemon.pid) == 5
    lab.run(HOST, ("ip", "addr", "del", f"{IPV6}/64", "dev", "ni0"))
    eventually(lambda: f"{IPV6}/64" in held(lab, "ni0"), INTERVAL + 2)
    assert host.status().daemon.drift["address"] == 1
    lab.fault("cable-pull", "ni0")
    on(lab, "ni1", *BOTH)


def test_48_a_late_event_is_not_waited_for(lab: Lab, start_host: StartHost, tmp_path: Path) -> None:
    """The loss on tap2 shows how late the kernel would have told that on tap0."""
    with Taps(lab, "tap0", "tap1", "tap2") as taps:
        host = start_host(TAP)
        eventually(lambda: held(lab, "tap0") == ["192.168.1.9/24"])
        eventually(lambda: host.status().interface("tap0").state == "ok")
        seen = monitored(lab, tmp_path / "events")
        taps.carrier(tap1=False)  # from now on the kernel tells no loss for a second
        eventually(lambda: told(seen, "tap1", "NO-CARRIER"))
        taps.carrier(tap0=False, tap2=False)
        late = eventually(lambda: told(seen, "tap2", "NO-CARRIER"))
        moved = told(seen, "ni1", "192.168.1.9/24")
    assert moved, seen.read_text()
    assert moved < late


def tried(lab: Lab, command: str) -> None:
    """Run it on every member, wherever it applies."""
    for member in ("ni0", "ni1"):
        lab.run(HOST, ("ip", *command.split(), "dev", member), check=False)


@pytest.mark.parametrize("seed", range(4))
def test_52_whatever_the_order_of_events_the_end_is_the_same(
    lab: Lab, start_host: StartHost, seed: int
) -> None:
    """Strands of events that leave nothing behind are shuffled into each other."""
    host = start_host(PLAIN)
    on(lab, "ni0", *BOTH)
    before = (held(lab, "ni0"), held(lab, "ni1"), routes(lab))
    strands: list[list[Callable[[], object]]] = [
        [lambda: lab.fault("cable-pull", "ni0"), lambda: lab.repair("ni0")],
        [lambda: host.order("offline", "ni1"), lambda: host.order("online", "ni1")],
        [lambda: host.order("offline", "ni0"), lambda: host.order("online", "ni0")],
        [lambda: tried(lab, f"addr del {IPV6}/64")],
        [lambda: tried(lab, f"addr add {IPV4}/24"), lambda: host.signal(signal.SIGHUP)],
    ]
    chance = Random(seed)
    threads: list[Thread] = []
    while strands:
        strand = chance.choice(strands)
        done = strand.pop(0)()
        threads += [done] if isinstance(done, Thread) else []
        strands = [strand for strand in strands if strand]
        Event().wait(chance.choice((0.0, 0.01, 0.1)))
    for thread in threads:
        thread.join()
    for nic in ("ni0", "ni1"):  # an order may have overtaken the one before it
        host.if_mpadm("-r", nic)
    on(lab, "ni0", *BOTH, seconds=20)
    eventually(lambda: (held(lab, "ni0"), held(lab, "ni1"), routes(lab)) == before, 20)
    eventually(lambda: host.status().group("ipmp0").state == "ok", 20)


def monitored(lab: Lab, output: Path) -> Path:
    """Write what `ip monitor` tells to a file from now on."""
    with output.open("w") as file:
        lab.popen(HOST, ("ip", "-o", "monitor", "link", "address"), stdout=file)

    def listens() -> int:
        lab.run(HOST, ("ip", "link", "set", "lo", "alias", "listening"))
        return output.stat().st_size

    eventually(listens)
    return output


def told(seen: Path, *words: str) -> int:
    """The number of the first line with all these words; 0 if there is none yet."""
    for number, line in enumerate(seen.read_text().splitlines(), 1):
        if all(word in line for word in words):
            return number
    return 0
