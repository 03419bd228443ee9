"""The rules of placement, one by one, and what holds for every group."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmp.decision import Reason
from ipmp.group import Group
from ipmp.placement import Placement, Reach, place_addresses, place_routes
from ipmp.world import AF_INET6, DataAddress, DataRoute, Route, Snapshot
from tests.support.world import MEMBERS, address, data_address, group, route, snapshot

KEYS = (*(f"192.0.2.{n}/24" for n in range(1, 8)), "2001:db8::1/64", "2001:db8::2/64")
ONE = KEYS[0]


def placed(
    state: Group, addresses: list[DataAddress], found: Snapshot, restless: tuple[str, ...] = ()
) -> dict[str, tuple[str | None, Reason]]:
    placements = place_addresses(state, addresses, found, {}, restless)
    return {p.address.key: (p.target, p.reason) for p in placements}


# The four rules for an address ------------------------------------------------------------------


def test_rule_1_a_group_failure_moves_nothing() -> None:
    found = snapshot({"a": [ONE]})
    where = placed(group(active=()), [data_address(ONE, home="b")], found)
    assert where == {ONE: (None, Reason.NO_USABLE_MEMBER)}


@pytest.mark.parametrize("holder", [*MEMBERS, None])
def test_rule_2_with_failback_an_active_home_has_its_address(holder: str | None) -> None:
    found = snapshot({holder: [ONE]} if holder else {})
    assert placed(group(), [data_address(ONE, home="b")], found) == {ONE: ("b", Reason.FAILBACK)}


def test_rule_2_without_failback_it_goes_home_only_when_nothing_better_holds_it() -> None:
    no_failback, homely = group("ab", failback=False), [data_address(ONE, home="b")]
    stays = placed(no_failback, homely, snapshot({"a": [ONE]}))
    assert stays == {ONE: ("a", Reason.FAILBACK_DISABLED)}
    assert placed(no_failback, homely, snapshot({"c": [ONE]})) == {ONE: ("b", Reason.FAILBACK)}
    assert placed(no_failback, homely, snapshot({})) == {ONE: ("b", Reason.FAILBACK)}


@pytest.mark.parametrize(
    ("holder", "target", "reason"),
    [
        ("a", "a", Reason.MOVE_LIMIT),
        ("b", "b", Reason.FAILBACK),
        ("c", "b", Reason.FAILBACK),
        (None, "b", Reason.FAILBACK),
    ],
)
def test_rule_2_a_restless_address_stays_where_it_works(
    holder: str | None, target: str, reason: Reason
) -> None:
    found = snapshot({holder: [ONE]} if holder else {})
    homely = [data_address(ONE, home="b")]
    assert placed(group("ab"), homely, found, (ONE,)) == {ONE: (target, reason)}


def test_rule_3_an_active_member_keeps_what_it_holds_while_the_home_is_away() -> None:
    crowd = [data_address(key, n, home="c") for n, key in enumerate(KEYS)]
    where = placed(group("ab"), crowd, snapshot({"b": KEYS}))
    assert set(where.values()) == {("b", Reason.USABLE_MEMBER)}


@pytest.mark.parametrize(("more", "moves"), [(1, False), (2, True)])
def test_rule_3_the_homeless_are_levelled_from_two_addresses_more(more: int, moves: bool) -> None:
    homeless = [data_address(key, n) for n, key in enumerate(KEYS[: 1 + more])]
    found = snapshot({"a": KEYS[:more], "b": KEYS[more : 1 + more]})
    where = placed(group("abc"), homeless, found)
    assert ([target for target, _ in where.values()].count("c") == 1) == moves
    still = placed(group("abc", failback=False), homeless, found)
    assert "c" not in [target for target, _ in still.values()], "without failback nothing is level"


def test_rule_4_otherwise_the_emptiest_active_member_first_in_order() -> None:
    orphans = [data_address(key, n, home="a") for n, key in enumerate(KEYS[:4])]
    found = snapshot({"a": KEYS[1:4], "b": KEYS[:1]})
    where = [target for target, _ in placed(group("bc"), orphans, found).values()]
    assert where == ["b", "c", "b", "c"]


def test_rule_4_counts_what_will_go_home_so_that_nothing_is_moved_twice() -> None:
    homely = [data_address(key, n, home="a") for n, key in enumerate(KEYS[1:3], 1)]
    where = placed(group("ab"), [data_address(ONE), *homely], snapshot({}))
    assert where[ONE] == ("b", Reason.USABLE_MEMBER)


# What holds for every group ---------------------------------------------------------------------

members = st.sets(st.sampled_from(MEMBERS))
homes = st.lists(st.sampled_from([*MEMBERS, None]), min_size=len(KEYS), max_size=len(KEYS))
places = st.fixed_dictionaries({m: st.sets(st.sampled_from(KEYS)) for m in MEMBERS})


def world(homes: list[str | None]) -> list[DataAddress]:
    return [
        data_address(key, n, home) for n, (key, home) in enumerate(zip(KEYS, homes, strict=True))
    ]


def after(placements: list[Placement]) -> Snapshot:
    return snapshot({m: [p.address.key for p in placements if p.target == m] for m in MEMBERS})


@given(active=members, failback=st.booleans(), homes=homes, places=places)
def test_every_address_is_placed_on_an_active_member_if_there_is_one(
    active: set[str], failback: bool, homes: list[str | None], places: dict[str, set[str]]
) -> None:
    state = group(active, failback=failback)
    placements = list(place_addresses(state, world(homes), snapshot(places), {}))
    assert [p.address.key for p in placements] == list(KEYS), "each once, in order"
    assert {p.target for p in placements} <= (active or {None})


@given(
    active=members.filter(bool),
    failback=st.booleans(),
    homes=homes,
    places=places,
    restless=st.sets(st.sampled_from(KEYS)),
)
def test_what_is_placed_is_at_rest(
    active: set[str],
    failback: bool,
    homes: list[str | None],
    places: dict[str, set[str]],
    restless: set[str],
) -> None:
    state, addresses = group(active, failback=failback), world(homes)
    first = list(place_addresses(state, addresses, snapshot(places), {}, restless))
    again = list(place_addresses(state, addresses, after(first), {}, restless))
    assert [p.target for p in again] == [p.target for p in first]


@given(
    active=members.filter(bool), where=st.lists(st.sampled_from(MEMBERS), min_size=9, max_size=9)
)
def test_levelling_ends_level_and_nothing_else_moves_what_an_active_member_holds(
    active: set[str], where: list[str]
) -> None:
    found = snapshot(
        {m: [k for k, at in zip(KEYS, where, strict=True) if at == m] for m in MEMBERS}
    )
    for failback in (True, False):
        state = group(active, failback=failback)
        targets = [p.target for p in place_addresses(state, world([None] * 9), found, {})]
        load = [targets.count(m) for m in active]
        if failback:
            assert max(load) - min(load) <= 1
        else:
            assert [t for t, at in zip(targets, where, strict=True) if at in active] == [
                at for at in where if at in active
            ]


# Routes -----------------------------------------------------------------------------------------

GATEWAY = "192.0.2.254"


def route_target(
    state: Group, wanted: Route, targets: dict[str, str], found: Snapshot
) -> str | None:
    (placement,) = place_routes(state, [DataRoute(wanted, "g")], targets, found)
    return placement.target


@pytest.mark.parametrize(
    ("wanted", "keys", "carried"),
    [
        (route("default", "a", GATEWAY), ["192.0.2.5/24"], True),
        (route("default", "a", GATEWAY), ["198.51.100.5/24"], False),
        (route("default", "a", GATEWAY), ["192.0.2.5/32"], False),
        (route("default", "a", GATEWAY), ["2001:db8::1/64"], False),
        (route("default", "a", "10.9.9.9", onlink=True), ["192.0.2.5/24"], True),
        (route("default", "a", "10.9.9.9", onlink=True), ["2001:db8::1/64"], False),
        (route("10.3.0.0/16", "a"), ["192.0.2.5/24"], True),
        (route("10.3.0.0/16", "a"), [], False),
        (route("default", "a", "fe80::1", family=AF_INET6), [], True),
        (route("default", "a", "2001:db8::ffff", family=AF_INET6), ["2001:db8::1/64"], True),
        (route("default", "a", "2001:db8::ffff", family=AF_INET6), ["192.0.2.5/24"], False),
        (route("2001:db8:3::/48", "a", family=AF_INET6), [], True),
    ],
    ids=str,
)
def test_a_route_leaves_only_where_an_address_puts_its_gateway_on_link(
    wanted: Route, keys: list[str], carried: bool
) -> None:
    assert Reach(keys).carries(DataRoute(wanted, "g")) is carried


def test_a_route_follows_the_address_that_is_placed_and_not_the_one_that_leaves() -> None:
    default = route("default", "a", GATEWAY)
    found = snapshot({"a": [ONE], "b": []}, [default])
    assert route_target(group("bc"), default, {ONE: "b"}, found) == "b"
    assert route_target(group("bc"), default, {ONE: "c"}, found) == "c"


def test_an_address_that_never_moves_carries_a_route_too() -> None:
    default = route("default", "a", GATEWAY)
    leased = address("192.0.2.99/24", "b", flags=0)
    assert route_target(group("bc"), default, {}, snapshot({"b": [leased]}, [default])) == "b"


def test_a_route_that_fits_nowhere_is_left_alone() -> None:
    default = route("default", "a", GATEWAY)
    assert route_target(group("bc"), default, {}, snapshot({"a": [ONE]}, [default])) is None
    assert route_target(group(()), default, {ONE: "a"}, snapshot({"a": [ONE]}, [default])) is None


def test_a_route_goes_home_with_failback_and_stays_without() -> None:
    default = route("default", "a", GATEWAY)
    away = route("default", "b", GATEWAY)
    targets, found = {KEYS[0]: "a", KEYS[1]: "b"}, snapshot({"a": [KEYS[0]]}, [away])
    assert route_target(group(), default, targets, found) == "a"
    assert route_target(group(failback=False), default, targets, found) == "b"
    lost = snapshot({"a": [KEYS[0]], "b": [KEYS[1]]})
    assert route_target(group(failback=False), default, targets, lost) == "a"


def test_a_route_with_a_source_prefers_the_member_of_that_source() -> None:
    hinted = route("10.2.0.0/16", "a", GATEWAY, source="192.0.2.2")
    targets = {KEYS[0]: "b", KEYS[1]: "c"}
    assert route_target(group("bc"), hinted, targets, snapshot({})) == "c"


def test_a_route_prefers_the_member_of_its_source_also_when_that_never_moves() -> None:
    hinted = route("10.2.0.0/16", "a", GATEWAY, source="192.0.2.77")
    found = snapshot({"a": [], "b": [], "c": ["192.0.2.77/24"]})
    assert route_target(group("bc"), hinted, {KEYS[0]: "b", KEYS[1]: "c"}, found) == "c"


@given(
    active=members,
    failback=st.booleans(),
    where=st.lists(st.sampled_from(MEMBERS), min_size=9, max_size=9),
    home=st.sampled_from(MEMBERS),
    at=st.sets(st.sampled_from(MEMBERS)),
    gateway=st.sampled_from([GATEWAY, "198.51.100.1", None]),
)
def test_a_route_is_placed_where_it_fits_and_is_at_rest_there(
    active: set[str],
    failback: bool,
    where: list[str],
    home: str,
    at: set[str],
    gateway: str | None,
) -> None:
    state, wanted = group(active, failback=failback), route("10.0.0.0/8", home, gateway)
    targets = dict(zip(KEYS, where, strict=True))
    held = {m: [k for k, t in targets.items() if t == m] for m in MEMBERS}
    copies = [route("10.0.0.0/8", m, gateway) for m in at]
    target = route_target(state, wanted, targets, snapshot(held, copies))
    fit = {m for m in active if Reach(held[m]).carries(DataRoute(wanted, "g"))}
    assert target in (fit or {None})
    if target is not None:
        moved = snapshot(held, [route("10.0.0.0/8", target, gateway)])
        assert route_target(state, wanted, targets, moved) == target
