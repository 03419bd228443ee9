"""`outbound = "spread"`: all active members send, also while the daemon hangs or is dead."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence

import pytest

from ipmp.lab import Lab
from ipmp.lab.topology import FAR_IPV4, FAR_IPV6, HOST, PEER_IPV4, PEER_IPV6, ROUTER_IPV4
from tests.scenarios.conftest import StartHost
from tests.support.lab import Host
from tests.support.views import BOTH, IPV4, IPV6, held, on, routes
from tests.support.wait import eventually

FLOWING = 0.3  # seconds of stream before something is done under it
MEMBERS = ("ni0", "ni1")

#: Many addresses make many flows, of which some leave through each member.
MANY = {
    "ipv4": [f"192.168.1.{n}" for n in range(111, 123)],
    "ipv6": [f"fd00:1::1:{n:x}" for n in range(1, 13)],
}
ONLINK = {"ipv4": "192.168.1.0/24", "ipv6": "fd00:1::/64"}


def config(*members: str, standby: Sequence[str] = (), more: str = "", tests: bool = True) -> str:
    """A group that spreads; each member has a test address to ask from, and is not probed."""
    names = (*members, *standby)
    where = ", ".join(f'{name} = "192.168.1.2{name[-1]}/32"' for name in names)
    return (
        f"[groups.ipmp0]\ninterfaces = {list(members)}\nstandby = {list(standby)}\n"
        f'outbound = "spread"\n{more}[groups.ipmp0.probe]\nmethod = "off"\n'
        + (f"test_addresses = {{ {where} }}\n" if tests else "")
    )


SPREAD = config(*MEMBERS)
FAST = config(*MEMBERS, more="announce = { rate = 1000 }\n")
TESTS = {
    "ipv4": ("192.168.1.20/32", "192.168.1.21/32"),
    "ipv6": ("fd00:1::20/128", "fd00:1::21/128"),
}
TESTS6 = SPREAD.replace(TESTS["ipv4"][0], TESTS["ipv6"][0]).replace(
    TESTS["ipv4"][1], TESTS["ipv6"][1]
)


def many(lab: Lab) -> None:
    """More data addresses, all at home on ni0."""
    for address in MANY["ipv4"]:
        lab.run(HOST, ("ip", "addr", "add", f"{address}/24", "dev", "ni0"))
    for address in MANY["ipv6"]:
        lab.run(HOST, ("ip", "addr", "add", f"{address}/64", "dev", "ni0", "nodad"))


def ways(lab: Lab, destination: str, *, table: str = "main") -> list[tuple[str, ...]]:
    """Through which members a route leaves, each time it is there, the first one first."""
    family = "-6" if ":" in destination else "-4"
    found = lab.ip_json(HOST, family, "route", "show", "table", table, destination)
    return [
        tuple(sorted(hop["dev"] for hop in route.get("nexthops", [route])))
        for route in found
        if route["dst"] == destination
    ]


def default6(lab: Lab) -> list[tuple[str, ...]]:
    """The same of the IPv6 default route."""
    found = lab.ip_json(HOST, "-6", "route", "show", "default")
    return [tuple(sorted(hop["dev"] for hop in r.get("nexthops", [r]))) for r in found]


def spread_over(lab: Lab, *members: str) -> None:
    """Insist that all that can be spread leaves through these members, and only there."""

    def all_of_it() -> bool:
        assert ways(lab, "default") == [members]
        assert ways(lab, ONLINK["ipv4"])[0] == members
        assert default6(lab) == [members]
        return True

    eventually(all_of_it)


def flows(lab: Lab, family: str, destination: str) -> dict[str, str]:
    """For each member an address of the host whose packets to the destination leave through it."""
    found = {}
    for address in MANY[family]:
        (route,) = lab.ip_json(HOST, "route", "get", destination, "from", address)
        found[route["dev"]] = address
    return found


def outbound(host: Host) -> dict[str, str]:
    """OUTBOUND of each data address."""
    lines = host.ipmpstat("-anP", "-o", "address,outbound").splitlines()
    return dict(line.replace("\\:", "/").split(":") for line in lines)


# Spread, and as it was --------------------------------------------------------------------------


def test_everything_that_has_a_way_through_each_member_is_spread(
    lab: Lab, start_host: StartHost
) -> None:
    extra = f"route add 10.7.0.0/16 via {ROUTER_IPV4} dev ni0 src {IPV4} table 100 mtu 1400"
    lab.run(HOST, ("ip", *extra.split()))
    host = start_host(SPREAD)
    spread_over(lab, *MEMBERS)
    eventually(lambda: ways(lab, "10.7.0.0/16", table="100") == [MEMBERS])
    text = lab.run(HOST, ("ip", "route", "show", "table", "100")).stdout
    assert f"src {IPV4}" in text
    assert "mtu 1400" in text
    many(lab)
    eventually(lambda: len(host.status().addresses) == 2 + 24)
    for family, destinations in (("ipv4", (PEER_IPV4, FAR_IPV4)), ("ipv6", (FAR_IPV6,))):
        for destination in destinations:
            assert sorted(flows(lab, family, destination)) == list(MEMBERS)
    said = outbound(host)
    assert len(said) == 26
    assert set(said.values()) == {"ni0 ni1"}
    flags = host.ipmpstat("-iP", "-o", "interface,flags").splitlines()
    assert flags == ["ni0:--mbM--", "ni1:-------"]


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_new_connections_keep_their_source_through_every_member(
    lab: Lab, start_host: StartHost, family: str
) -> None:
    """Never a test address, which the kernel would take from the member of the nexthop."""
    prefixes, source = (
        (("10.9.0.", "192.168.1."), IPV4) if family == "ipv4" else (("fd00:9::",), IPV6)
    )
    if family == "ipv6":  # ni1 asks in the name of a data address of its own
        lab.run(HOST, ("ip", "addr", "add", "192.168.1.6/24", "dev", "ni1"))
    host = start_host(SPREAD if family == "ipv4" else TESTS6)
    spread_over(lab, *MEMBERS)
    for prefix in prefixes:
        chosen = [
            lab.ip_json(HOST, "route", "get", f"{prefix}{number}")[0] for number in range(100, 140)
        ]
        assert {route["prefsrc"] for route in chosen} == {source}
        assert {route["dev"] for route in chosen} == set(MEMBERS)
    assert set(TESTS[family]) <= {*held(lab, "ni0"), *held(lab, "ni1")}
    assert host.status().interface("ni1").active


@pytest.mark.parametrize("how", ["single", "dissolved"])
def test_what_was_single_is_put_back_exactly(lab: Lab, start_host: StartHost, how: str) -> None:
    for text in (
        f"route add 10.7.0.0/16 via {ROUTER_IPV4} dev ni0 src {IPV4} table 100 mtu 1400",
        f"route add 10.8.0.0/16 via {ROUTER_IPV4} dev ni1 onlink metric 7",
        "route add 10.9.9.0/24 dev ni0 scope link",
        "-6 route add fd00:8::/64 via fe80::1 dev ni1 metric 9",
    ):
        lab.run(HOST, ("ip", *text.split()))
    before, onlink = routes(lab), [ways(lab, network) for network in ONLINK.values()]
    single = SPREAD.replace('"spread"', '"single"')
    host = start_host(single)
    assert routes(lab) == before
    with lab.meter("far", IPV4) as far, lab.meter("peer", IPV4) as peer:
        time.sleep(FLOWING)
        host.configure(SPREAD)
        host.client.reload()
        spread_over(lab, *MEMBERS)
        eventually(
            lambda: not [line for line in routes(lab) if " via " in line.split("nexthop")[0]]
        )
        time.sleep(FLOWING)
        host.configure(single if how == "single" else '[groups.other]\ninterfaces = ["ni7"]\n')
        host.client.reload()
        eventually(lambda: routes(lab) == before)
        time.sleep(FLOWING)
        assert (far.result().lost, peer.result().lost) == (0, 0)
    assert [ways(lab, network) for network in ONLINK.values()] == onlink


def test_a_member_that_leaves_the_group_takes_its_routes_along(
    lab3: Lab, start_host3: StartHost
) -> None:
    for name, address in (("ni1", "192.168.1.6/24"), ("ni2", "192.168.1.7/24")):
        lab3.run(HOST, ("ip", "addr", "add", address, "dev", name))
    home = f"route add 10.8.0.0/16 via {ROUTER_IPV4} dev ni2"
    lab3.run(HOST, ("ip", *home.split()))
    before = [line for line in routes(lab3) if "10.8.0.0/16" in line]
    host = start_host3(config("ni0", "ni1", "ni2"))
    spread_over(lab3, "ni0", "ni1", "ni2")
    eventually(lambda: ways(lab3, "10.8.0.0/16") == [("ni0", "ni1", "ni2")])
    host.configure(config("ni0", "ni1"))
    host.client.reload()
    spread_over(lab3, "ni0", "ni1")
    eventually(lambda: [line for line in routes(lab3) if "10.8.0.0/16" in line] == before)


def test_a_multipath_route_of_the_operator_is_left_alone(lab: Lab, start_host: StartHost) -> None:
    hops = " ".join(f"nexthop via {ROUTER_IPV4} dev {member} onlink" for member in MEMBERS)
    lab.run(HOST, ("ip", *f"route add 10.8.0.0/16 {hops}".split()))
    before = lab.run(HOST, ("ip", "route", "show", "10.8.0.0/16")).stdout
    host = start_host(SPREAD)
    spread_over(lab, *MEMBERS)
    assert host.if_mpadm("-d", "ni1").returncode == 0
    spread_over(lab, "ni0")
    assert lab.run(HOST, ("ip", "route", "show", "10.8.0.0/16")).stdout == before


def test_a_member_without_an_address_to_ask_from_is_left_out_and_named(
    lab: Lab, start_host: StartHost
) -> None:
    """A router that checks its reverse path would not answer what an anchor asks."""
    host = start_host(config(*MEMBERS, tests=False))
    eventually(lambda: default6(lab) == [MEMBERS])
    assert ways(lab, "default") == ways(lab, ONLINK["ipv4"])[:1] == [("ni0",)]
    assert "IPv4 traffic of 192.168.1.0/24 is not spread over ni1" in host.log()
    assert outbound(host) == {IPV4: "ni0", IPV6.replace(":", "/"): "ni0 ni1"}
    host.configure(SPREAD)
    host.client.reload()
    spread_over(lab, *MEMBERS)


def test_a_spread_route_that_is_removed_by_hand_stays_removed(
    lab: Lab, start_host: StartHost
) -> None:
    lab.run(HOST, ("ip", *f"route add 10.8.0.0/16 via {ROUTER_IPV4} dev ni0".split()))
    host = start_host(SPREAD)
    eventually(lambda: ways(lab, "10.8.0.0/16") == [MEMBERS])
    lab.run(HOST, ("ip", "route", "del", "10.8.0.0/16"))
    eventually(lambda: "no longer follows group ipmp0" in host.log())
    assert host.if_mpadm("-d", "ni0").returncode == 0
    assert ways(lab, "10.8.0.0/16") == []


def test_a_restart_changes_nothing(lab: Lab, start_host: StartHost) -> None:
    host = start_host(SPREAD)
    spread_over(lab, *MEMBERS)
    monitor = lab.popen(HOST, ("ip", "monitor", "route", "address"), stdout=-1, text=True)
    host.restart()
    host.kill9()
    host.start()
    eventually(lambda: host.status().addresses)
    mark = ("ip", "route", "add", "blackhole", "10.255.255.255")
    lab.run(HOST, mark)  # what was seen before is seen by now
    assert monitor.stdout is not None
    assert monitor.stdout.readline().startswith("blackhole 10.255.255.255")
    monitor.kill()
    monitor.communicate()


# Planned changes lose nothing -------------------------------------------------------------------


@pytest.mark.parametrize("source", ["peer", "far"])
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("drained", MEMBERS)
def test_drain_and_undo_lose_nothing(
    lab: Lab, start_host: StartHost, family: str, source: str, drained: str
) -> None:
    many(lab)
    host = start_host(FAST)
    spread_over(lab, *MEMBERS)
    destination = {
        ("peer", "ipv4"): PEER_IPV4,
        ("peer", "ipv6"): PEER_IPV6,
        ("far", "ipv4"): FAR_IPV4,
        ("far", "ipv6"): FAR_IPV6,
    }[source, family]
    answering = sorted(flows(lab, family, destination).values())
    assert len(answering) == (1 if (source, family) == ("peer", "ipv6") else 2)
    (stay,) = set(MEMBERS) - {drained}
    with lab.meter(source, answering[0]) as one, lab.meter(source, answering[-1]) as other:
        time.sleep(FLOWING)
        done = host.if_mpadm("-d", drained)
        assert (done.returncode, done.stderr) == (0, "")
        spread_over(lab, stay)
        on(lab, stay if drained == "ni0" else "ni0", *BOTH)
        time.sleep(FLOWING)
        done = host.if_mpadm("-r", drained)
        assert (done.returncode, done.stderr) == (0, "")
        spread_over(lab, *MEMBERS)
        on(lab, "ni0", *BOTH)
        time.sleep(FLOWING)
        results = one.result(), other.result()
    assert [(r.lost, r.duplicates) for r in results] == [(0, 0)] * 2
    assert all(r.sent > 900 * 3 * FLOWING for r in results)


def test_an_address_is_retired_without_loss_to_the_others(lab: Lab, start_host: StartHost) -> None:
    """It was the source of what is spread; the kernel drops routes with their source."""
    declared = 'adopt = false\naddresses = ["192.168.1.5/24", "192.168.1.6/24", "fd00:1::5/64"]\n'
    host = start_host(config(*MEMBERS, more=declared))
    spread_over(lab, *MEMBERS)
    assert f"src {IPV4}" in lab.run(HOST, ("ip", "route", "show", "default")).stdout
    with lab.meter("far", "192.168.1.6") as stream:
        time.sleep(FLOWING)
        host.configure(config(*MEMBERS, more=declared.replace(f'"{IPV4}/24", ', "")))
        host.client.reload()
        eventually(lambda: f"{IPV4}/24" not in (*held(lab, "ni0"), *held(lab, "ni1")))
        spread_over(lab, *MEMBERS)
        time.sleep(FLOWING)
        assert stream.result().lost == 0
    assert "src 192.168.1.6" in lab.run(HOST, ("ip", "route", "show", "default")).stdout


# Failures ---------------------------------------------------------------------------------------


def test_18_standby_activates_and_takes_part(lab3: Lab, start_host3: StartHost) -> None:
    host = start_host3(config("ni0", "ni1", standby=["ni2"]))
    spread_over(lab3, "ni0", "ni1")
    lab3.fault("cable-pull", "ni1")
    spread_over(lab3, "ni0", "ni2")
    assert host.status().interface("ni2").active
    assert set(outbound(host).values()) == {"ni0 ni2"}
    lab3.repair("ni1")
    spread_over(lab3, "ni0", "ni1")
    assert host.status().interface("ni2").inactive
    assert set(outbound(host).values()) == {"ni0 ni1"}


def test_all_members_but_one_fail_and_return(lab3: Lab, start_host3: StartHost) -> None:
    start_host3(config("ni0", "ni1", "ni2"))
    spread_over(lab3, "ni0", "ni1", "ni2")
    lab3.fault("cable-pull", "ni0")
    lab3.fault("cable-pull", "ni1")
    spread_over(lab3, "ni2")
    lab3.repair()
    spread_over(lab3, "ni0", "ni1", "ni2")


def test_a_failed_group_leaves_its_routes(lab: Lab, start_host: StartHost) -> None:
    host = start_host(SPREAD)
    spread_over(lab, *MEMBERS)
    lab.fault("cable-pull", "ni1")
    spread_over(lab, "ni0")
    before = routes(lab)
    lab.fault("cable-pull", "ni0")
    eventually(lambda: host.status().group("ipmp0").state == "failed")
    assert [line.replace(" dead", "").replace(" linkdown", "") for line in routes(lab)] == before
    lab.repair()
    spread_over(lab, *MEMBERS)


def test_44_routes_come_back_after_a_member_was_pulled_out(lab: Lab, start_host: StartHost) -> None:
    """The kernel drops every IPv4 route that has the vanished interface among its nexthops."""
    start_host(SPREAD)
    spread_over(lab, *MEMBERS)
    lab.remove_nic("ni1")
    spread_over(lab, "ni0")
    lab.insert_nic("ni1")
    lab.run(HOST, ("ip", "link", "set", "ni1", "up"))
    spread_over(lab, *MEMBERS)


# Without the daemon -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stopped", "dead"])
def test_37_egress_goes_on_while_the_daemon_does_not(
    lab: Lab, start_host: StartHost, how: str
) -> None:
    many(lab)
    host = start_host(FAST)
    spread_over(lab, *MEMBERS)
    one = flows(lab, "ipv4", FAR_IPV4)
    six = flows(lab, "ipv6", FAR_IPV6)
    if how == "stopped":
        host.signal(signal.SIGSTOP)
    else:
        host.kill9()
    lab.fault("cable-pull", "ni1")
    for address in (*one.values(), *six.values()):
        with lab.meter("far", address, count=100) as stream:
            assert stream.result().lost == 0, f"{address}, whose packets left through ni1 or ni0"
    lab.repair("ni1")
    eventually(lambda: sorted(flows(lab, "ipv4", FAR_IPV4)) == list(MEMBERS))
    lab.fault("cable-pull", "ni0")
    for destination in (PEER_IPV4, PEER_IPV6, FAR_IPV4, FAR_IPV6):
        with lab.meter("host", destination, count=100) as stream:
            there = stream.result().outbound
        assert there is not None
        assert there.lost == 0, f"to {destination}: the way there; answers still go to ni0"
    if how == "stopped":
        host.signal(signal.SIGCONT)
    else:
        host.start()
    on(lab, "ni1", *BOTH)
    spread_over(lab, "ni1")
    lab.repair("ni0")
    on(lab, "ni0", *BOTH)
    spread_over(lab, *MEMBERS)
