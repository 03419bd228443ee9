"""Another program undoes what mpathd does: repairs are bounded, told once, and all ends well."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ipmp.lab import Lab
from ipmp.lab.topology import HOST, ROUTER_IPV4
from tests.scenarios.conftest import StartHost
from tests.support.lab import Host
from tests.support.views import BOTH, IPV4, IPV6, PLAIN, held, on, routes
from tests.support.wait import eventually, patience

REMOVING = f"ip addr del {IPV4}/24 dev ni0"
ADDING = f"ip addr add {IPV4}/24 dev ni1; ip addr add {IPV6}/64 dev ni1 nodad"
REROUTING = f"ip route replace default via {ROUTER_IPV4} dev ni0 onlink"
MANAGER = "ip addr flush dev ni0 scope global; ip addr add 192.168.1.5/24 dev ni0; sleep 0.02"


@contextmanager
def fighting(lab: Lab, command: str) -> Iterator[None]:
    """Another program does it over and over again."""
    loop = f"while :; do {{ {command}; }} 2>/dev/null; done"
    process = lab.popen(HOST, ("sh", "-c", loop))
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


def repairs(host: Host, kind: str, address: str = "") -> int:
    return len(host.client.history(kind=kind, address=address or None, limit=1000))


def told(host: Host) -> list[str]:
    return [event.sentence for event in host.client.history(kind="fighting")]


def most(seconds: float) -> int:
    """Repairs of one thing that the growing wait allows in that time, the first included."""
    return 2 + math.ceil(math.log2(seconds / 0.1 + 1))


def test_50_an_address_that_is_removed_in_a_loop(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    began = time.monotonic()
    with fighting(lab, REMOVING):
        eventually(lambda: told(host), 20)
        eventually(lambda: repairs(host, "address-restored", IPV4) >= 5, 20)
        (warning,) = told(host)
        assert warning.startswith(f"another program keeps removing {IPV4}/24 ")
        assert warning in host.log()
        assert "level=warning" in next(ln for ln in host.log().splitlines() if warning in ln)
        fights = host.status().group("ipmp0").fights
        assert (f"{IPV4}/24", "ni0") in [(fight.subject, fight.interface) for fight in fights]
        assert "  fighting: another program keeps removing" in host.ipmp("status").stdout
        for name in (IPV4, "ni0", "ipmp0"):
            assert "another program keeps removing" in host.ipmp("explain", name).stdout
    made = repairs(host, "address-restored", IPV4)
    assert made <= most(time.monotonic() - began)
    on(lab, "ni0", *BOTH, seconds=60)
    assert repairs(host, "address-restored", IPV6) == 0
    assert len(told(host)) == 1
    assert host.status().daemon.drift["address"] == repairs(host, "address-restored")


def test_43_50_an_address_that_is_added_elsewhere_in_a_loop(
    lab: Lab, start_host: StartHost
) -> None:
    host = start_host(PLAIN)
    began = time.monotonic()
    with fighting(lab, ADDING), lab.meter("peer", IPV4) as stream:
        eventually(lambda: len(told(host)) >= 1, 20)
        assert {f"{IPV4}/24", f"{IPV6}/64"} <= set(held(lab, "ni0"))
        assert stream.result().lost == 0
    spent = time.monotonic() - began
    for address in BOTH:
        assert repairs(host, "address-removed", address) <= most(spent)
    assert all("keeps adding" in sentence for sentence in told(host))
    on(lab, "ni0", *BOTH, seconds=60)
    assert host.status().daemon.drift["address"] == repairs(host, "address-removed")


def test_43_one_copy_is_removed_and_reported(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    lab.run(HOST, ("ip", "addr", "add", f"{IPV4}/24", "dev", "ni1"))
    on(lab, "ni0", *BOTH)
    (event,) = eventually(lambda: host.client.history(kind="address-removed"))
    assert event.sentence == (
        f"{IPV4}/24 was put on ni1 by another program, but is on ni0; it is removed from ni1"
    )
    assert told(host) == []


def test_50_a_route_that_is_turned_away_in_a_loop(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    assert host.if_mpadm("-d", "ni0").returncode == 0
    on(lab, "ni1", *BOTH)
    began = time.monotonic()
    with fighting(lab, REROUTING):
        eventually(lambda: told(host), 20)
    made = repairs(host, "route-restored")
    assert made <= most(time.monotonic() - began)
    assert "keeps changing route default: it was turned back to ni1" in told(host)[0]

    def back() -> bool:
        defaults = [line for line in routes(lab) if line.startswith("unicast default via 192")]
        assert len(defaults) == 1, defaults
        return "dev ni1" in defaults[0]

    eventually(back, 60)


def test_50_a_manager_that_flushes_and_adds(lab: Lab, start_host: StartHost) -> None:
    """What it does while it fights is its own; when it stops, all is as it should be."""
    host = start_host(PLAIN)
    with fighting(lab, MANAGER):
        eventually(lambda: repairs(host, "address-restored", IPV6) >= 4, 20)
    on(lab, "ni0", *BOTH, seconds=60)
    assert host.if_mpadm("-d", "ni0").returncode == 0
    on(lab, "ni1", *BOTH)


def test_moves_in_a_row_are_no_fight(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    deadline = time.monotonic() + patience(60)
    for _ in range(5):
        assert host.if_mpadm("-d", "ni0").returncode == 0
        on(lab, "ni1", *BOTH)
        assert host.if_mpadm("-r", "ni0").returncode == 0
        on(lab, "ni0", *BOTH)
    assert time.monotonic() < deadline
    for kind in ("fighting", "address-removed", "address-restored", "route-restored"):
        assert host.client.history(kind=kind) == [], kind
