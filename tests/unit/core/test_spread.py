"""Which routes are spread over which members, and what takes part in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest
from msgspec.structs import replace

from ipmp.config import GroupConfig
from ipmp.config.schema import Probe
from ipmp.homes import Homes
from ipmp.placement import RoutePlacement
from ipmp.spread import LAST_RESORT, Spread, Spreading, place_egress
from ipmp.world import (
    AF_INET6,
    IFA_F_NOPREFIXROUTE,
    MADE,
    OWNER,
    SCOPE_LINK,
    Address,
    DataAddress,
    DataRoute,
    Route,
    RouteKey,
    SpreadRoute,
)
from tests.support.world import MEMBERS, address, data_address, group, route, snapshot

ONE, TWO, ELSEWHERE = "192.0.2.1/24", "192.0.2.2/24", "198.51.100.1/24"
SIX = "2001:db8::1/64"
GATEWAY, GATEWAY6 = "192.0.2.254", "2001:db8::fe"
TESTS = {"a": "192.0.2.11/32", "b": "192.0.2.12/32", "c": "192.0.2.13/32"}
LOCAL = {member: f"fe80::{member}/64" for member in MEMBERS}

DEFAULT = route("default", "a", GATEWAY)
DEFAULT6 = route("default", "a", GATEWAY6, family=AF_INET6, metric=1024)
ONLINK = RouteKey(2, 254, "192.0.2.0/24", 0, 0)


def egress(
    addresses: Iterable[DataAddress],
    routes: Iterable[Route],
    held: Mapping[str, Iterable[str | Address]],
    *,
    active: Iterable[str] = MEMBERS,
    tests: Mapping[str, str] | None = None,
    targets: Mapping[str, str] | None = None,
    spread: Iterable[SpreadRoute] = (),
    outbound: str = "spread",
) -> tuple[list[RoutePlacement], Spread]:
    config = GroupConfig("g", MEMBERS, outbound=outbound, probe=Probe(test_addresses=tests or {}))  # type: ignore[arg-type]
    data = {one.key: one for one in addresses}
    if targets is None:
        targets = {key: one.home for key, one in data.items() if one.home is not None}
    homes = Homes(data, tuple(DataRoute(one, "g") for one in routes))
    found = replace(snapshot(held, routes), spread=list(spread))
    return place_egress(config, group(tuple(active)), homes, targets, found)


def by_name(spread: Spread) -> dict[str, Spreading]:
    return {str(one.route.key): one for one in spread.spreadings}


def at_home(*keys: str, home: str = "a") -> list[DataAddress]:
    return [data_address(key, order, home) for order, key in enumerate(keys)]


def everywhere(*, without: str = "") -> dict[str, list[str | Address]]:
    """Member a has the data addresses, each member its test address and its link-local one."""
    held: dict[str, list[str | Address]] = {m: [TESTS[m], LOCAL[m]] for m in MEMBERS}
    held["a"] = [key for key in (ONE, SIX) if key != without] + held["a"]
    return held


# What is spread ---------------------------------------------------------------------------------


def test_single_spreads_nothing() -> None:
    routes, spread = egress(at_home(ONE), [DEFAULT], everywhere(), outbound="single")
    assert [(r.route.route, r.target) for r in routes] == [(DEFAULT, "a")]
    assert spread == Spread()


def test_ipv4_routes_and_what_is_on_link_are_spread_over_the_active_members() -> None:
    routes, spread = egress(at_home(ONE), [DEFAULT], everywhere())
    assert routes == []
    onlink, default = spread.spreadings
    assert (onlink.route.key, onlink.made) == (ONLINK, True)
    assert (default.route, default.made) == (DEFAULT, False)
    assert onlink.members == default.members == MEMBERS
    assert onlink.source == default.source == "192.0.2.1"
    assert spread.left_out == ()


@pytest.mark.parametrize("active", [("a", "c"), ("b", "c")])
def test_members_that_are_not_active_take_no_part(active: tuple[str, ...]) -> None:
    targets = {ONE: active[0]}
    _, spread = egress(at_home(ONE), [DEFAULT], everywhere(), active=active, targets=targets)
    assert [one.members for one in spread.spreadings] == [active, active]


def test_one_member_alone_carries_routes_as_without_spreading() -> None:
    routes, spread = egress(
        at_home(ONE), [DEFAULT], everywhere(), active="b", targets={ONE: "b"}, tests=TESTS
    )
    assert [(r.route.route, r.target) for r in routes] == [(DEFAULT, "b")]
    assert [one.members for one in spread.spreadings] == [("b",)], "what is on-link"


def test_routes_that_share_their_key_are_left_as_they_are() -> None:
    other = route("default", "a", "192.0.2.253")
    routes, spread = egress(at_home(ONE), [DEFAULT, other], everywhere())
    assert [r.target for r in routes] == ["a", "a"]
    assert [one.made for one in spread.spreadings] == [True]


def test_a_route_of_the_operator_for_the_network_is_not_doubled() -> None:
    mine = route("192.0.2.0/24", "a")
    _, spread = egress(at_home(ONE), [mine], everywhere())
    assert [one.route for one in spread.spreadings] == [mine]


def test_the_connected_route_goes_before_that_with_the_lowest_metric() -> None:
    one, two = at_home(ONE, TWO)
    one, two = (
        replace(a, spec=replace(a.spec, metric=metric)) for a, metric in ((one, 200), (two, 100))
    )
    _, spread = egress([one, two], [], everywhere())
    assert [s.route.key.metric for s in spread.spreadings] == [100]


def test_without_a_connected_route_of_the_kernel_there_is_none_of_ours() -> None:
    (one,) = at_home(ONE)
    one = replace(one, spec=replace(one.spec, flags=IFA_F_NOPREFIXROUTE))
    _, spread = egress([one], [DEFAULT], everywhere())
    assert [s.route for s in spread.spreadings] == [DEFAULT]


# Who asks by ARP in a name that is answered -------------------------------------------------------


def test_a_member_without_an_address_of_the_network_is_left_out() -> None:
    held = everywhere()
    held["b"] = [LOCAL["b"]]
    held["c"] = [address("169.254.7.7/32", "c", scope=SCOPE_LINK, proto=OWNER), "203.0.113.1/32"]
    routes, spread = egress(at_home(ONE), [DEFAULT], held)
    assert [r.target for r in routes] == ["a"]
    assert [one.members for one in spread.spreadings] == [("a",)]
    assert spread.left_out == (("b", "192.0.2.0/24"), ("c", "192.0.2.0/24"))


def test_data_addresses_make_members_fit_where_they_are_placed() -> None:
    one, two = data_address(ONE, 0, "a"), data_address(TWO, 1, "b")
    _, spread = egress([one, two], [DEFAULT], {"a": [ONE, TWO]})
    assert spread.spreadings[1].members == ("a", "b")
    assert spread.spreadings[1].needs == (("a", "192.0.2.1"), ("b", "192.0.2.2"))
    assert spread.left_out == (("c", "192.0.2.0/24"),)


def test_test_addresses_count_before_they_are_there() -> None:
    _, spread = egress(at_home(ONE), [DEFAULT], {"a": [ONE]}, tests=TESTS)
    assert spread.spreadings[1].members == MEMBERS
    assert spread.spreadings[1].needs[1:] == (("b", "192.0.2.12"), ("c", "192.0.2.13"))


def test_the_kernel_asks_in_the_name_of_the_first_address_where_none_covers_the_network() -> None:
    held = everywhere()
    held["b"] = [ELSEWHERE, TESTS["b"]]
    addresses = [*at_home(ONE), data_address(ELSEWHERE, 1, "b")]
    _, spread = egress(addresses, [DEFAULT], held)
    members = {name: one.members for name, one in by_name(spread).items()}
    assert members["route default"] == ("a", "c")
    assert members["route 192.0.2.0/24"] == ("a", "c")
    assert members["route 198.51.100.0/24"] == ("b",)


@pytest.mark.parametrize(
    ("wanted", "members"),
    [
        (route("10.0.0.0/8", "a"), MEMBERS),
        (route("10.0.0.0/8", "a", "203.0.113.9", onlink=True), MEMBERS),
        (route("10.0.0.0/8", "a", "203.0.113.9"), None),
        (route("10.0.0.0/8", "a", GATEWAY, onlink=True), MEMBERS),
    ],
)
def test_routes_whose_gateway_is_in_no_network_of_the_group(
    wanted: Route, members: tuple[str, ...] | None
) -> None:
    _, spread = egress(at_home(ONE), [wanted], everywhere())
    found = {one.route: one.members for one in spread.spreadings}
    assert found.get(wanted) == members


# Sources ----------------------------------------------------------------------------------------


def test_a_source_is_kept_and_else_that_which_the_kernel_takes_at_home() -> None:
    addresses = [
        data_address(TWO, 0, "b"),
        data_address(ONE, 1, "a"),
        data_address(ELSEWHERE, 2, "a"),
    ]
    routes = [
        DEFAULT,
        route("10.1.0.0/16", "b", GATEWAY),
        route("10.2.0.0/16", "a", GATEWAY, source="192.0.2.2"),
        route("10.3.0.0/16", "a", "198.51.100.254"),
        route("10.4.0.0/16", "a"),
    ]
    held = {"a": [ONE, ELSEWHERE], "b": [TWO], "c": []}
    _, spread = egress(
        addresses, routes, held, tests={m: f"198.51.100.1{n}/32" for n, m in enumerate("bc")}
    )
    sources = {name: one.source for name, one in by_name(spread).items()}
    assert sources == {
        "route 192.0.2.0/24": "192.0.2.2",
        "route 198.51.100.0/24": "198.51.100.1",
        "route default": "192.0.2.1",
        "route 10.1.0.0/16": "192.0.2.2",
        "route 10.2.0.0/16": "192.0.2.2",
        "route 10.4.0.0/16": "192.0.2.1",
    } | {"route 10.3.0.0/16": "198.51.100.1"}


# IPv6 -------------------------------------------------------------------------------------------


def test_ipv6_routes_with_a_gateway_are_spread_and_each_member_has_a_last_resort() -> None:
    static = route("2001:db8:9::/48", "a", "fe80::1", family=AF_INET6)
    device = route("2001:db8:8::/48", "a", family=AF_INET6)
    routes, spread = egress(at_home(SIX), [DEFAULT6, static, device], everywhere())
    assert [r.route.route for r in routes] == [device]
    found = [(str(s.route.key), s.members, s.source) for s in spread.spreadings]
    assert found == [
        *(
            (f"IPv6 route 2001:db8::/64 metric {LAST_RESORT + n}", (member,), None)
            for n, member in enumerate(MEMBERS)
        ),
        ("IPv6 route default metric 1024", MEMBERS, None),
        ("IPv6 route 2001:db8:9::/48", MEMBERS, None),
    ]


def test_an_ipv6_gateway_beyond_the_networks_of_the_group_is_not_spread() -> None:
    far = route("default", "a", "2001:db8:f::1", family=AF_INET6, metric=1024)
    routes, spread = egress(at_home(SIX), [far], everywhere())
    assert [r.route.route for r in routes] == [far]
    assert all(one.made for one in spread.spreadings)


def test_a_member_without_a_link_local_address_takes_no_part_in_ipv6() -> None:
    held = everywhere()
    held["b"] = [TESTS["b"]]
    _, spread = egress(at_home(SIX), [DEFAULT6], held)
    assert by_name(spread)["IPv6 route default metric 1024"].members == ("a", "c")


# What was made and is not wanted any more ---------------------------------------------------------


def spread_route(key: RouteKey, *members: str, protocol: int = MADE) -> SpreadRoute:
    return SpreadRoute(key, members, protocol, None, None, b"")


def test_what_was_made_for_spreading_goes_when_it_is_not_wanted() -> None:
    made = spread_route(ONLINK, "a", "b")
    mine = spread_route(RouteKey(2, 254, "10.0.0.0/8", 0, 0), "a", "b", protocol=OWNER)
    for outbound, obsolete in (("spread", ()), ("single", (made,))):
        _, spread = egress(at_home(ONE), [], everywhere(), spread=[made, mine], outbound=outbound)
        assert spread.obsolete == obsolete


def test_nothing_goes_when_no_member_is_active() -> None:
    made = spread_route(ONLINK, "a", "b")
    for outbound in ("spread", "single"):
        routes, spread = egress(
            at_home(ONE),
            [DEFAULT],
            everywhere(),
            active=(),
            targets={},
            spread=[made],
            outbound=outbound,
        )
        assert [r.target for r in routes] == [None]
        assert spread == Spread()
