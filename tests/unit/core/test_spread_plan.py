"""Steps towards spread routes: replaced at once, joined when ready, single again when told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ipmp.config import GroupConfig
from ipmp.decision import Reason
from ipmp.homes import Homes
from ipmp.placement import Placement, RoutePlacement, place_addresses
from ipmp.plan import (
    AddAddress,
    AddTestAddress,
    Announce,
    DeleteAddress,
    DeleteRoute,
    DeleteSpread,
    MakeSpread,
    Progress,
    ReplaceRoute,
    Step,
    gather,
    identity,
    plan,
)
from ipmp.spread import Spread, Spreading, place_egress
from ipmp.world import (
    AF_INET6,
    MADE,
    OWNER,
    DataRoute,
    Route,
    RouteIdentity,
    RouteKey,
    Snapshot,
    SpreadRoute,
)
from tests.support.world import data_address, group, route, snapshot

ONE, TEST = "192.0.2.1/24", "192.0.2.12/32"
GATEWAY = "192.0.2.254"
DEFAULT = route("default", "a", GATEWAY)
ONLINK = Route(RouteKey(2, 254, "192.0.2.0/24", 0, 0), "a", MADE, None, None, False, b"")
NEEDS = {"a": ("a", "192.0.2.1"), "b": ("b", "192.0.2.12"), "c": ("c", "192.0.2.13")}


def wish(whole: Route, members: str, *, source: str = "192.0.2.1") -> Spreading:
    return Spreading(whole, tuple(members), source, tuple(NEEDS[m] for m in members))


def there(one: Spreading) -> SpreadRoute:
    """The route as the kernel shows it once that wish is fulfilled."""
    protocol = MADE if one.made else OWNER
    return SpreadRoute(
        one.route.key, one.members, protocol, one.route.gateway, one.source, b"payload"
    )


def world(
    held: Mapping[str, Iterable[str]],
    routes: Iterable[Route] = (),
    spread: Iterable[SpreadRoute] = (),
) -> Snapshot:
    return replace(snapshot(held, routes), spread=list(spread))


def steps(
    found: Snapshot,
    *wishes: Spreading,
    obsolete: Iterable[SpreadRoute] = (),
    placements: Iterable[Placement] = (),
    routes: Iterable[RoutePlacement] = (),
    progress: Progress | None = None,
    tests: Mapping[str, str] | None = None,
) -> list[Step]:
    spread = Spread(wishes, tuple(obsolete))
    batches = plan(
        list(placements), list(routes), found, progress or Progress(), tests or {}, spread
    )
    return [step for batch in batches for step in batch]


READY = {"a": [ONE], "b": [TEST], "c": ["192.0.2.13/32"]}


def test_a_single_route_is_replaced_in_place_and_ours_is_put_in_front() -> None:
    onlink, default = wish(ONLINK, "ab"), wish(DEFAULT, "ab")
    assert steps(world(READY, [DEFAULT]), onlink, default) == [
        MakeSpread(onlink, in_place=False),
        MakeSpread(default, in_place=True),
    ]


def test_what_is_as_it_should_be_is_not_touched() -> None:
    wishes = wish(ONLINK, "ab"), wish(DEFAULT, "ab")
    assert steps(world(READY, [], map(there, wishes)), *wishes) == []


def test_the_order_of_nexthops_does_not_matter() -> None:
    found = replace(there(wish(DEFAULT, "ab")), members=("b", "a"))
    assert steps(world(READY, [], [found]), wish(DEFAULT, "ab")) == []


@pytest.mark.parametrize("whole", [ONLINK, DEFAULT])
@pytest.mark.parametrize(("before", "after"), [("abc", "ab"), ("ab", "abc"), ("ab", "bc")])
def test_a_member_joins_or_leaves_by_one_replacement(whole: Route, before: str, after: str) -> None:
    found = world(READY, [], [there(wish(whole, before))])
    assert steps(found, wish(whole, after)) == [MakeSpread(wish(whole, after), in_place=True)]


def test_another_source_is_a_reason_to_replace() -> None:
    wanted = wish(DEFAULT, "ab", source="192.0.2.12")
    found = world(READY, [], [there(wish(DEFAULT, "ab"))])
    assert steps(found, wanted) == [MakeSpread(wanted, in_place=True)]


def test_a_member_joins_after_its_test_address_is_there() -> None:
    wanted = wish(DEFAULT, "ab")
    found = world({"a": [ONE], "b": []}, [DEFAULT])
    assert steps(found, wanted, tests={"b": TEST}) == [
        AddTestAddress(TEST, "b"),
        MakeSpread(wanted),
    ]


def test_a_member_joins_after_the_data_address_that_makes_it_fit() -> None:
    address = data_address("192.0.2.12/24", 1, "b")
    wanted = wish(DEFAULT, "ab")
    placed = [Placement(address, "b", Reason.FAILBACK)]
    found = world({"a": [ONE, address.key], "b": []}, [DEFAULT])
    kinds = [type(step) for step in steps(found, wanted, placements=placed)]
    assert kinds.index(AddAddress) < kinds.index(MakeSpread)


def test_the_route_is_turned_before_addresses_are_deleted() -> None:
    """Invariant C: a drain of a, quiet already."""
    address = data_address(ONE, 0, "a")
    wanted = wish(DEFAULT, "bc")
    found = world({**READY, "b": [TEST, ONE]}, [], [there(wish(DEFAULT, "abc"))])
    progress = Progress(announced={(ONE, "b")}, quiet={"a"})
    placed = [Placement(address, "b", Reason.USABLE_MEMBER)]
    kinds = [type(s) for s in steps(found, wanted, placements=placed, progress=progress)]
    assert kinds.index(MakeSpread) < kinds.index(DeleteAddress)


def test_a_refused_step_is_not_planned_again() -> None:
    wanted = wish(DEFAULT, "ab")
    refused = {identity(MakeSpread(wanted))}
    assert steps(world(READY, [DEFAULT]), wanted, progress=Progress(refused=refused)) == []


def test_what_was_not_replaced_in_place_is_swept_by_the_next_plan() -> None:
    wanted = wish(DEFAULT, "ab")
    double = there(wish(DEFAULT, "abc"))
    found = world(READY, [DEFAULT], [there(wanted), double])
    assert steps(found, wanted) == [DeleteSpread(double), DeleteRoute(DEFAULT, "a")]


def test_what_was_made_goes_after_routes_have_turned() -> None:
    made = there(wish(ONLINK, "ab"))
    found = world(READY, [], [made, there(wish(DEFAULT, "ab"))])
    single = RoutePlacement(DataRoute(DEFAULT, "g"), "a")
    assert steps(found, obsolete=[made], routes=[single]) == [
        ReplaceRoute(single.route, "a", DEFAULT.protocol, in_place=True),
        DeleteSpread(made),
    ]


def test_a_route_that_was_added_beside_its_spread_form_replaces_that() -> None:
    left = there(wish(DEFAULT, "ab"))
    single = RoutePlacement(DataRoute(DEFAULT, "g"), "a")
    assert steps(world(READY, [DEFAULT], [left]), routes=[single]) == [DeleteSpread(left)]


# Dissolving a group -----------------------------------------------------------------------------


def homes(*routes: Route) -> Homes:
    return Homes({ONE: data_address(ONE, 0, "a")}, tuple(DataRoute(r, "g") for r in routes))


def test_a_dissolved_group_leaves_its_routes_as_they_were() -> None:
    six = route("default", "b", "fe80::1", family=AF_INET6, metric=1024)
    wishes = [wish(ONLINK, "ab"), wish(DEFAULT, "ab"), wish(six, "ab")]
    untouched = route("10.0.0.0/8", "a", GATEWAY)
    found = world({"a": [ONE], "b": [TEST, "fe80::b/64"]}, [untouched], map(there, wishes))
    assert list(gather(group(), homes(DEFAULT, six, untouched), found)) == [
        ReplaceRoute(DataRoute(DEFAULT, "g"), "a", DEFAULT.protocol),
        ReplaceRoute(DataRoute(six, "g"), "b", six.protocol),
        DeleteSpread(there(wish(ONLINK, "ab"))),
    ]


def test_a_dissolved_group_leads_routes_through_a_member_that_works() -> None:
    found = world({"b": [ONE]}, [], [there(wish(DEFAULT, "bc"))])
    assert list(gather(group("b"), homes(DEFAULT), found)) == [
        ReplaceRoute(DataRoute(DEFAULT, "g"), "b", OWNER)
    ]


def test_a_dissolved_group_that_has_failed_leaves_its_routes_at_home() -> None:
    found = world({"a": [ONE]}, [], [there(wish(DEFAULT, "ab"))])
    assert list(gather(group(()), homes(DEFAULT), found)) == [
        ReplaceRoute(DataRoute(DEFAULT, "g"), "a", DEFAULT.protocol)
    ]


# Whatever happens -------------------------------------------------------------------------------


class Model:
    """What the kernel makes of steps, as far as routes go; an address may go at any time."""

    def __init__(self, *routes: Route) -> None:
        self.data = Homes(
            {ONE: data_address(ONE, 0, "a")}, tuple(DataRoute(r, "g") for r in routes)
        )
        self.held = {m: [f"192.0.2.1{n}/32", f"fe80::{m}/64"] for n, m in enumerate("abc")}
        self.held["a"].insert(0, ONE)
        self.single = list(routes)
        self.spread: list[SpreadRoute] = []
        self.active = "abc"

    def snapshot(self) -> Snapshot:
        return world(self.held, self.single, self.spread)

    def steps(self, outbound: str) -> Iterator[Step]:
        """What one pass would do."""
        state, found = group(self.active), self.snapshot()
        config = GroupConfig("g", tuple("abc"), outbound=outbound)  # type: ignore[arg-type]
        placed = list(place_addresses(state, list(self.data.addresses.values()), found, {}))
        targets = {p.address.key: p.target for p in placed if p.target is not None}
        routes, spread = place_egress(config, state, self.data, targets, found)
        told = {(key, m) for m, keys in self.held.items() for key in keys}
        progress = Progress(announced=told, quiet=set("abc"))
        for batch in plan(placed, routes, found, progress, {}, spread):
            yield from batch

    def apply(self, step: Step) -> None:
        match step:
            case AddAddress(address=address, member=member):
                self.held[member].append(address.key)
            case DeleteAddress(key=key, member=member):
                led = [way for way in self.ways() if member in way]
                assert member in self.active or not led, "invariant C"
                self.held[member].remove(key)
            case ReplaceRoute(route=route, member=member, protocol=protocol, in_place=in_place):
                self.drop(route.identity, in_place)
                self.single.append(replace(route.route, member=member, protocol=protocol))
            case MakeSpread(spreading=spreading, in_place=in_place):
                self.drop(spreading.identity, in_place)
                self.spread.append(there(spreading))
            case DeleteSpread(route=gone):
                self.spread.remove(gone)
            case DeleteRoute(route=gone):
                self.single.remove(gone)

    def drop(self, which: RouteIdentity, in_place: bool) -> None:
        """What a replacement replaces: one route, which must be there."""
        same = [r for r in (*self.single, *self.spread) if r.identity == which]
        assert bool(same) is in_place
        self.single = [r for r in self.single if r not in same]
        self.spread = [r for r in self.spread if r not in same]

    def ways(self) -> list[tuple[str, ...]]:
        return [*((r.member,) for r in self.single), *(r.members for r in self.spread)]

    def run(self, outbound: str, stop: int | None = None) -> None:
        """Carry out passes until there is nothing to do, or die after so many steps."""
        for _ in range(20):
            acted = False
            for step in self.steps(outbound):
                if stop == 0:
                    return
                self.apply(step)
                assert self.snapshot().identities == {r.identity for r in self.data.routes}
                acted = acted or not isinstance(step, Announce)
                stop = stop and stop - 1
            if not acted:
                return
        raise AssertionError("it never comes to rest")


CHANGES = st.tuples(
    st.sets(st.sampled_from("abc"), min_size=1).map(sorted).map("".join),
    st.sampled_from(("single", "spread")),
    st.integers(0, 12),
)
SIX = route("2001:db8:9::/48", "b", "fe80::1", family=AF_INET6)
DEVICE = route("10.3.0.0/16", "c")


@given(st.lists(CHANGES, max_size=6), st.sampled_from(("single", "spread")))
def test_routes_are_never_lost_and_come_to_rest_wherever_it_is_interrupted(
    changes: list[tuple[str, str, int]], last: str
) -> None:
    model = Model(DEFAULT, SIX, DEVICE)
    for active, outbound, interrupted in changes:
        model.active = active
        model.run(outbound, stop=interrupted)
        model.run(outbound)
        spread = outbound == "spread" and len(active) > 1
        assert {tuple(sorted(way)) for way in model.ways() if len(way) > 1} == (
            {tuple(active)} if spread else set()
        )
        assert all(set(way) <= set(active) for way in model.ways())
    model.active = "abc"
    model.run(last)
    model.run("single")
    assert sorted(model.single, key=str) == sorted((DEFAULT, SIX, DEVICE), key=str)
    assert model.spread == []
