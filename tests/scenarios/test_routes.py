"""Routes follow the addresses and come home unchanged; rules are left alone."""

from __future__ import annotations

import time

import pytest

from ipmp.lab import Lab
from ipmp.lab.topology import HOST, ROUTER_IPV4, ROUTER_IPV6
from tests.scenarios.conftest import StartHost
from tests.support.views import BOTH, IPV4, PLAIN, on, routes

MANY = (
    f"route add 10.1.0.0/16 via {ROUTER_IPV4} dev ni0 metric 50 mtu 1400",
    f"route add default via {ROUTER_IPV4} dev ni0 table 100",
    f"route add 10.2.0.0/16 via {ROUTER_IPV4} dev ni0 src {IPV4} table 100 advmss 1200",
    "route add 10.3.0.0/16 dev ni0 scope link",
    "route add 10.4.0.0/16 via 192.168.77.1 dev ni0 onlink proto static",
    f"-6 route add fd00:7::/64 via {ROUTER_IPV6} dev ni0 metric 77 mtu 1400",
    f"-6 route add default via {ROUTER_IPV6} dev ni0 table 100",
)


def add(lab: Lab, *commands: str) -> None:
    for command in commands:
        lab.run(HOST, ("ip", *command.split()))


@pytest.mark.parametrize("away", ["drain", "cable"])
def test_28_default_and_static_routes_survive(lab: Lab, start_host: StartHost, away: str) -> None:
    add(lab, *MANY)
    host = start_host(PLAIN)
    before = routes(lab)
    assert sum("dev ni0" in line for line in before) == len(MANY) + 2
    if away == "drain":
        assert host.if_mpadm("-d", "ni0").returncode == 0
    else:
        lab.fault("cable-pull", "ni0")
    on(lab, "ni1", *BOTH)
    during = routes(lab)
    assert [line for line in during if "dev ni0" in line] == []
    assert len(during) == len(before)
    with lab.meter("far", IPV4, count=300) as stream:
        assert stream.result().lost == 0
    if away == "drain":
        assert host.if_mpadm("-r", "ni0").returncode == 0
    else:
        lab.repair("ni0")
    on(lab, "ni0", *BOTH)
    assert routes(lab) == before


def test_29_src_routes_survive_without_a_gap(lab: Lab, start_host: StartHost) -> None:
    add(lab, f"route add 10.2.0.0/16 via {ROUTER_IPV4} dev ni0 src {IPV4}")
    host = start_host(PLAIN)
    monitor = lab.popen(HOST, ("ip", "-4", "monitor", "route"), stdout=-1, text=True)
    assert host.if_mpadm("-d", "ni0").returncode == 0
    on(lab, "ni1", *BOTH)
    assert any(f"10.2.0.0/16 via {ROUTER_IPV4} dev ni1" in line for line in routes(lab))
    assert host.if_mpadm("-r", "ni0").returncode == 0
    on(lab, "ni0", *BOTH)
    monitor.terminate()
    seen, _ = monitor.communicate(timeout=5)
    mine = [line for line in seen.splitlines() if "10.2.0.0/16" in line]
    assert mine, "the monitor saw it move"
    assert [line for line in mine if line.startswith("Deleted")] == []
    assert all(f"src {IPV4}" in line for line in mine)


def test_30_policy_rules_survive(lab: Lab, start_host: StartHost) -> None:
    add(lab, f"rule add from {IPV4} lookup 100 priority 1000", "rule add iif ni0 lookup 100")
    add(lab, "-6 rule add from fd00:1::5 lookup 100 priority 1000")
    before = [lab.run(HOST, ("ip", f, "rule")).stdout for f in ("-4", "-6")]
    host = start_host(PLAIN)
    assert host.if_mpadm("-d", "ni0").returncode == 0
    assert [lab.run(HOST, ("ip", f, "rule")).stdout for f in ("-4", "-6")] == before
    assert host.if_mpadm("-r", "ni0").returncode == 0
    assert [lab.run(HOST, ("ip", f, "rule")).stdout for f in ("-4", "-6")] == before


def test_a_route_that_is_removed_by_hand_stays_removed(lab: Lab, start_host: StartHost) -> None:
    add(lab, f"route add 10.1.0.0/16 via {ROUTER_IPV4} dev ni0")
    host = start_host(PLAIN)
    add(lab, "route del 10.1.0.0/16")
    time.sleep(0.5)  # in which it would be put back
    assert host.if_mpadm("-d", "ni0").returncode == 0
    assert not [line for line in routes(lab) if "10.1.0.0/16" in line]


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_a_route_that_is_replaced_by_hand_stays_replaced(
    lab: Lab, start_host: StartHost, family: str
) -> None:
    add(lab, "link add mgmt0 type veth peer name mgmt1", "link set mgmt0 up", "link set mgmt1 up")
    add(lab, "addr add 10.20.0.1/24 dev mgmt0", "addr add fd00:20::1/64 dev mgmt0 nodad")
    host = start_host(PLAIN)
    if family == "IPv4":
        add(lab, "route replace default via 10.20.0.2 dev mgmt0")
    else:
        add(lab, "-6 route replace default via fd00:20::2 dev mgmt0")
    after = routes(lab)
    assert sum("dev mgmt0" in line for line in after) == 1
    assert host.if_mpadm("-d", "ni0").returncode == 0
    on(lab, "ni1", *BOTH)
    assert host.if_mpadm("-r", "ni0").returncode == 0
    on(lab, "ni0", *BOTH)
    assert routes(lab) == after


def test_routes_that_share_their_destination_all_move(lab: Lab, start_host: StartHost) -> None:
    """As `ip route append` makes them; the kernel replaces only the first of such."""
    add(lab, "route add 10.1.0.0/16 via 192.168.1.1 dev ni0")
    add(lab, "route append 10.1.0.0/16 via 192.168.1.2 dev ni0")
    add(lab, "route append 10.1.0.0/16 via 192.168.1.3 dev ni0")
    host = start_host(PLAIN)
    command = ("ip", "route", "show", "10.1.0.0/16")
    before = lab.run(HOST, command).stdout.splitlines()
    assert len(before) == 3
    assert host.if_mpadm("-d", "ni0").returncode == 0
    on(lab, "ni1", *BOTH)
    away = lab.run(HOST, command).stdout.splitlines()
    assert [line.split("proto")[0] for line in away] == [
        line.replace("ni0", "ni1") for line in before
    ]
    assert host.if_mpadm("-r", "ni0").returncode == 0
    on(lab, "ni0", *BOTH)
    assert lab.run(HOST, command).stdout.splitlines() == before
