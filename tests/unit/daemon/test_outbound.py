"""What one placement of routes must know of those before it, and what is done ahead of retiring."""

from __future__ import annotations

from ipmp.config import GroupConfig
from ipmp.config.schema import Probe
from ipmp.daemon.outbound import Outbound, ahead
from ipmp.decision import Kind, Reason
from ipmp.homes import Homes
from ipmp.spread import Spread
from ipmp.world import DataRoute, Snapshot
from tests.support.world import MEMBERS, data_address, group, route, snapshot, spread

ONE, TWO, GATEWAY = "192.0.2.1/24", "192.0.2.2/24", "192.0.2.254"
TESTS = {"a": "192.0.2.11/32", "b": "192.0.2.12/32", "c": "192.0.2.13/32"}
CONFIG = GroupConfig("g", MEMBERS, outbound="spread", probe=Probe(test_addresses=TESTS))
DEFAULT = route("default", "a", GATEWAY)


def homes(*keys: str, home: str = "a") -> Homes:
    data = {key: data_address(key, order, home) for order, key in enumerate(keys)}
    return Homes(data, (DataRoute(DEFAULT, "g"),))


def test_a_member_that_is_left_out_is_named_once_each_time() -> None:
    outbound = Outbound()
    without, whole = Spread(left_out=(("b", "192.0.2.0/24"),)), Spread()
    (decision,) = outbound.left_out("g", without)
    assert (decision.kind, decision.reason) == (Kind.REFUSED, Reason.NO_ADDRESS)
    assert (decision.interface, decision.detail["value"]) == ("b", "192.0.2.0/24")
    assert outbound.left_out("g", without) == []
    assert outbound.left_out("g", whole) == []
    assert len(outbound.left_out("g", without)) == 1


def test_a_route_whose_home_leaves_the_group_goes_there_until_it_is_not_spread_any_more() -> None:
    outbound, leaving = Outbound(), DataRoute(route("10.0.0.0/8", "z", GATEWAY), "g")
    outbound.part([leaving])

    def placed(found: Snapshot) -> list[tuple[str, str | None]]:
        routes, _ = outbound.place(CONFIG, group(), Homes(), {}, found)
        return [(r.route.route.key.destination, r.target) for r in routes]

    there = snapshot({}, spread=[spread(leaving.route, "ab")])
    assert placed(there) == [("10.0.0.0/8", "z")]
    assert placed(there) == [("10.0.0.0/8", "z")]
    assert placed(snapshot({})) == []
    assert placed(there) == [], "that is a new one, and another story"


def test_a_route_that_its_home_did_not_take_stays_with_the_group() -> None:
    outbound, leaving = Outbound(), DataRoute(route("10.0.0.0/8", "z", GATEWAY), "g")
    outbound.part([leaving])
    outbound.give_up({("replace route 10.0.0.0/8", "y")})
    assert outbound.leaving == {leaving.identity}
    outbound.give_up({("replace route 10.0.0.0/8", "z")})
    assert outbound.leaving == set()


def test_before_an_address_goes_what_is_spread_gets_a_source_that_stays() -> None:
    held = {member: [TESTS[member]] for member in MEMBERS}
    held["a"] = [ONE, TWO, *held["a"]]
    ways = [spread(DEFAULT, "abc", source="192.0.2.1")]
    found = snapshot(held, spread=ways)
    (step,) = ahead(CONFIG, group(), homes(ONE, TWO), {ONE}, found)
    assert step.in_place
    assert (step.spreading.route, step.spreading.source) == (DEFAULT, "192.0.2.2")
    assert ahead(CONFIG, group(), homes(ONE, TWO), {TWO}, found) == []
    assert ahead(CONFIG, group(), homes(ONE), {ONE}, found) == [], "no other address to name"
