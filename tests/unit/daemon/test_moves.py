"""The books: places, failovers and failbacks as entries, drift, and durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmp.daemon.durations import BOUNDS
from ipmp.daemon.moves import LEFT, MOVE_LIMIT, MOVE_WINDOW, RETURNED, Books
from ipmp.decision import Decision, Kind, Reason
from ipmp.model import MoveReason
from ipmp.world import MADE, Route, Snapshot
from tests.support.world import data_address, route, snapshot, spread

ONE, TWO, THREE = (f"192.0.2.{n}/24" for n in (1, 2, 3))
HOMELY = {key: data_address(key, n, home="a") for n, key in enumerate((ONE, TWO, THREE))}
NOWHERE: Snapshot = snapshot({})


def books(*keys: str, at: str = "a") -> Books:
    new = Books("g")
    for key in keys:
        new.seen(key, at)
    return new


def move(
    ledger: Books,
    key: str,
    target: str,
    reason: MoveReason = MoveReason.LINK,
    *,
    began: float = 10.0,
    wall: float = 1000.0,
) -> Decision | None:
    arrivals = [(HOMELY[key], target)]
    return next(iter(ledger.moved(arrivals, lambda source, target: reason, began, wall)), None)


def rerouted(ledger: Books, moved: Route, member: str, found: Snapshot) -> Decision:
    decision = ledger.rerouted(moved, (member,), found)
    assert decision is not None
    return decision


# Places -----------------------------------------------------------------------------------------


def test_the_first_place_of_an_address_is_no_move() -> None:
    ledger = books()
    assert move(ledger, ONE, "a") is None
    assert ledger.is_at(ONE, "a")
    assert (ledger.places[ONE].moves, ledger.under_way) == (0, False)


def test_a_move_is_booked_with_its_reason_and_time() -> None:
    ledger = books(ONE)
    decision = move(ledger, ONE, "b", MoveReason.OFFLINE, wall=1234.0)
    assert decision is not None
    assert (decision.kind, decision.reason, decision.interface, decision.address) == (
        Kind.ADDRESS_MOVED,
        Reason.REQUESTED,
        "b",
        ONE,
    )
    assert decision.detail == {"source": "a", "target": "b"}
    place = ledger.places[ONE]
    assert (place.member, place.moves, place.last_move) == ("b", 1, 1234.0)
    assert place.decision is decision


def test_an_address_put_back_where_it_was_is_drift_and_no_move() -> None:
    ledger = books(ONE)
    decision = ledger.restored(ONE, "a")
    assert decision is not None
    assert (decision.kind, decision.reason) == (Kind.ADDRESS_RESTORED, Reason.FOREIGN_CHANGE)
    assert ledger.drift == {"address": 1, "route": 0}
    assert (ledger.places[ONE].moves, ledger.under_way) == (0, False)


@pytest.mark.parametrize(
    ("holder", "member", "kind", "drift"),
    [
        ("a", "b", Kind.ROUTE_MOVED, 0),
        ("b", "b", Kind.ROUTE_RESTORED, 1),
        (None, "b", Kind.ROUTE_RESTORED, 1),
    ],
)
def test_a_route_moves_from_another_member_and_is_restored_otherwise(
    holder: str | None, member: str, kind: Kind, drift: int
) -> None:
    ledger = books()
    found = snapshot({}, [route("default", holder)] if holder else [])
    decision = rerouted(ledger, route("default", "a"), member, found)
    assert (decision.kind, decision.interface) == (kind, member)
    assert ledger.drift == {"address": 0, "route": drift}


def test_a_route_that_others_turn_away_is_restored_and_no_move() -> None:
    ledger, default = books(), route("default", "a")
    elsewhere = snapshot({}, [route("default", "a")])
    assert rerouted(ledger, default, "b", elsewhere).kind is Kind.ROUTE_MOVED
    again = rerouted(ledger, default, "b", elsewhere)
    assert (again.kind, again.reason) == (Kind.ROUTE_RESTORED, Reason.REROUTED)
    assert ledger.drift == {"address": 0, "route": 1}


def test_a_route_that_is_spread_names_all_its_members() -> None:
    ledger, default = books(), route("default", "a")
    decision = ledger.rerouted(default, ("a", "b"), snapshot({}, [default]))
    assert decision is not None
    assert (decision.kind, decision.interface) == (Kind.ROUTE_MOVED, "a")
    assert decision.detail["source"] == "a"
    assert decision.detail["target"] == "a and b"
    back = ledger.rerouted(default, ("a",), snapshot({}, spread=[spread(default, "ab")]))
    assert back is not None
    assert (back.kind, back.reason) == (Kind.ROUTE_MOVED, Reason.FAILBACK)
    assert back.detail["source"] == "a and b"
    assert ledger.drift["route"] == 0


def test_a_spread_route_that_disappears_or_is_turned_is_restored() -> None:
    ledger, default = books(), route("default", "a")
    ledger.rerouted(default, ("a", "b"), snapshot({}, [default]))
    for found, reason in (
        (snapshot({}), Reason.FOREIGN_CHANGE),
        (snapshot({}, [default]), Reason.REROUTED),
    ):
        decision = ledger.rerouted(default, ("b", "a"), found)
        assert decision is not None
        assert (decision.kind, decision.reason) == (Kind.ROUTE_RESTORED, reason)
    assert ledger.drift["route"] == 2
    same = snapshot({}, spread=[spread(default, "ab")])
    assert ledger.rerouted(default, ("a", "b"), same) is None, "only its source has changed"


def test_what_is_made_for_spreading_is_told_of_only_when_somebody_removes_it() -> None:
    ledger, made = books(), route("192.0.2.0/24", "a", protocol=MADE)
    there = snapshot({}, spread=[spread(made, "ab", protocol=MADE)])
    assert ledger.rerouted(made, ("a", "b"), snapshot({})) is None
    assert ledger.rerouted(made, ("a",), there) is None
    decision = ledger.rerouted(made, ("a",), snapshot({}))
    assert decision is not None
    assert decision.kind is Kind.ROUTE_RESTORED


def test_a_route_that_returns_says_that_it_fails_back() -> None:
    ledger, default = books(), route("default", "a")
    assert rerouted(ledger, default, "a", snapshot({}, [route("default", "b")])).reason is (
        Reason.FAILBACK
    )
    assert rerouted(ledger, default, "b", snapshot({}, [route("default", "a")])).reason is (
        Reason.USABLE_MEMBER
    )


def test_from_the_fourth_move_on_an_address_is_calm_when_the_window_has_passed() -> None:
    ledger = books(ONE)
    for number in range(2 * MOVE_LIMIT):
        calm_at = ledger.calm_at(ONE)
        early = number < MOVE_LIMIT
        assert calm_at == (0.0 if early else number - MOVE_LIMIT + MOVE_WINDOW)
        move(ledger, ONE, "bc"[number % 2], began=float(number))
    assert ledger.calm_at(TWO) == 0.0


# Failovers and failbacks ------------------------------------------------------------------------


def test_a_failover_is_one_entry_however_many_addresses_it_moves() -> None:
    ledger = books(ONE, TWO, THREE)
    for key in HOMELY:
        move(ledger, key, "b")
    (closed,) = ledger.settle({(key, "b") for key in HOMELY}, 10.25, 1000.25)
    assert (closed.kind, closed.reason, closed.interface) == (
        Kind.FAILOVER,
        Reason.LINK_DOWN,
        "b",
    )
    assert closed.detail == {"source": "a", "target": "b", "count": 3, "seconds": 0.25}
    assert ledger.failovers == dict.fromkeys(MoveReason, 0) | {MoveReason.LINK: 1}
    assert ledger.last_failover == 1000.25
    assert not ledger.under_way


def test_it_ends_when_the_last_address_has_been_announced_from_its_new_member() -> None:
    ledger = books(ONE, TWO)
    move(ledger, ONE, "b")
    move(ledger, TWO, "b")
    assert ledger.settle({(ONE, "b"), (TWO, "a")}, 11.0, 1001.0) == []
    assert ledger.under_way
    assert len(ledger.settle({(ONE, "b"), (TWO, "b")}, 12.0, 1002.0)) == 1


def test_it_begins_when_its_cause_was_noticed() -> None:
    ledger = books(ONE, TWO)
    move(ledger, ONE, "b", began=10.0)
    move(ledger, TWO, "b", began=10.4)
    (closed,) = ledger.settle({(ONE, "b"), (TWO, "b")}, 10.5, 1000.5)
    assert closed.detail["seconds"] == 0.5


@pytest.mark.parametrize("reason", list(MoveReason))
def test_a_failback_is_counted_apart_and_is_no_failover_duration(reason: MoveReason) -> None:
    ledger = books(ONE, at="b")
    decision = move(ledger, ONE, "a", reason)
    assert decision is not None
    assert decision.reason is Reason.FAILBACK
    (closed,) = ledger.settle({(ONE, "a")}, 10.1, 1000.1)
    assert (closed.kind, closed.reason) == (Kind.FAILBACK, RETURNED[reason])
    assert ledger.failbacks == dict.fromkeys(MoveReason, 0) | {reason: 1}
    assert ledger.failovers == dict.fromkeys(MoveReason, 0)
    assert ledger.last_failover == 0.0
    assert ledger.durations.histogram().counts[-1] == 0


def test_different_members_or_reasons_are_different_entries() -> None:
    ledger = books(ONE, TWO, THREE)
    move(ledger, ONE, "b", MoveReason.LINK)
    move(ledger, TWO, "c", MoveReason.LINK)
    move(ledger, THREE, "b", MoveReason.OFFLINE)
    closed = ledger.settle({(ONE, "b"), (TWO, "c"), (THREE, "b")}, 10.1, 1000.1)
    assert [(d.interface, d.reason) for d in closed] == [
        ("b", LEFT[MoveReason.LINK]),
        ("c", LEFT[MoveReason.LINK]),
        ("b", LEFT[MoveReason.OFFLINE]),
    ]


def test_an_address_that_moves_on_holds_up_only_its_last_move() -> None:
    ledger = books(ONE, TWO)
    move(ledger, ONE, "b")
    move(ledger, TWO, "b")
    move(ledger, ONE, "c")
    (first,) = ledger.settle({(TWO, "b")}, 10.1, 1000.1)
    assert first.interface == "b"
    assert ledger.under_way
    (second,) = ledger.settle({(TWO, "b"), (ONE, "c")}, 10.2, 1000.2)
    assert (second.interface, second.detail["source"]) == ("c", "b")


def test_a_retired_address_holds_nothing_up() -> None:
    ledger = books(ONE, TWO)
    move(ledger, ONE, "b")
    move(ledger, TWO, "b")
    ledger.forget(ONE)
    assert len(ledger.settle({(TWO, "b")}, 10.1, 1000.1)) == 1
    assert not ledger.is_at(ONE, "b")


# Durations --------------------------------------------------------------------------------------


@given(durations=st.lists(st.floats(0, 100), max_size=20))
def test_the_histogram_is_cumulative_and_counts_every_failover_once(durations: list[float]) -> None:
    ledger = books(ONE)
    for number, seconds in enumerate(durations):
        source, target = ("b", "c") if number % 2 else ("c", "b")
        ledger.seen(ONE, source)
        move(ledger, ONE, target, began=0.0)
        assert len(ledger.settle({(ONE, target)}, seconds, 0.0)) == 1
    histogram = ledger.durations.histogram()
    assert histogram.bounds == BOUNDS
    expected = [sum(seconds <= bound for seconds in durations) for bound in BOUNDS]
    assert list(histogram.counts) == [*expected, len(durations)]
    assert histogram.total == pytest.approx(sum(durations))
