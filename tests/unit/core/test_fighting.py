"""How often a repair is made that another program undoes, and what is said about it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipmp.decision import Decision, Kind, Reason
from ipmp.fighting import CALM_SECONDS, Fights, is_repair

ADD = ("add 192.0.2.5/24", "ni0")
RESTORED = Decision(
    Kind.ADDRESS_RESTORED, Reason.FOREIGN_CHANGE, "ipmp0", "ni0", address="192.0.2.5/24"
)


def fight(undone_after: float, until: float, fights: Fights | None = None) -> list[float]:
    """Repair as soon as allowed what somebody undoes `undone_after` each repair; when it was so."""
    fights = fights or Fights()
    repairs, now = [], 0.0
    while now < until:
        held = fights.held(now)
        if ADD in held:
            now = min(deadline for deadline in fights.deadlines() if deadline > now)
            continue
        fights.note(ADD, RESTORED, now)
        repairs.append(now)
        now += undone_after
    return repairs


def test_the_wait_doubles_up_to_a_minute() -> None:
    repairs = fight(0.0, 400.0)
    waits = [round(b - a, 3) for a, b in pairwise(repairs)]
    assert waits[:10] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2]
    assert set(waits[10:]) == {60.0}


@pytest.mark.parametrize("period", [2.0, 10.0, 50.0])
def test_who_is_slow_is_answered_at_once(period: float) -> None:
    assert fight(period, 300.0) == [n * period for n in range(len(fight(period, 300.0)))]


@settings(deadline=None)
@given(st.lists(st.floats(0, 30), min_size=30, max_size=30))
def test_whatever_the_other_does_repairs_are_bounded(undone: list[float]) -> None:
    fights, now, repairs = Fights(), 0.0, []
    for wait in undone:
        now += wait
        if ADD in fights.held(now):
            now = min(fights.deadlines())
            assert ADD not in fights.held(now)
        fights.note(ADD, RESTORED, now)
        repairs.append(now)
    for start in repairs:
        assert sum(start <= moment < start + 1.0 for moment in repairs) <= 5


def test_three_repairs_are_no_fight_four_are_told_once() -> None:
    fights = Fights()
    for number, now in enumerate((0.0, 0.2, 0.5), 1):
        fights.note(ADD, RESTORED, now)
        assert fights.news("ipmp0", now) == [], number
    assert fights.current("ipmp0") == ()
    fights.note(ADD, RESTORED, 1.1)
    (told,) = fights.news("ipmp0", 1.1)
    assert (told.kind, told.reason, told.group) == (Kind.FIGHTING, Reason.REMOVED, "ipmp0")
    assert told.sentence() == (
        "another program keeps removing 192.0.2.5/24 from ni0: it was put back 4 times in 1.1 s, "
        "further repairs wait up to 60 s; `ipmp check` looks for that program"
    )
    fights.note(ADD, RESTORED, 2.0)
    assert fights.news("ipmp0", 2.0) == []
    (current,) = fights.current("ipmp0")
    assert (current.subject, current.interface, current.repairs) == ("192.0.2.5/24", "ni0", 5)
    assert "5 times in 2.0 s" in current.sentence


def test_the_end_is_told_after_a_minute_of_calm() -> None:
    fights = Fights()
    last = fight(0.0, 1.0, fights)[-1]
    assert len(fights.news("ipmp0", last)) == 1
    fights.held(last + 10)
    (over,) = fights.deadlines()
    assert last + CALM_SECONDS < over < last + CALM_SECONDS + 10
    assert fights.news("ipmp0", over - 0.1) == []
    (told,) = fights.news("ipmp0", over)
    assert told.sentence() == (
        "nobody has touched 192.0.2.5/24 on ni0 for 60 s; it had been put right 4 times in 0.7 s"
    )
    assert fights.current("ipmp0") == ()
    assert list(fights.deadlines()) == []
    assert fights.news("ipmp0", over + 1) == []


def test_a_repair_after_calm_is_made_at_once_and_begins_anew() -> None:
    fights = Fights()
    last = fight(0.0, 100.0, fights)[-1]
    later = last + 200.0
    assert fights.held(later) == set()
    fights.note(ADD, RESTORED, later)
    assert min(fights.deadlines()) == pytest.approx(later + 0.1)


def test_a_thousand_addresses_are_told_in_one_sentence() -> None:
    fights = Fights()
    for now in (0.0, 0.2, 0.5, 1.0):
        for number in range(1000):
            key = f"192.0.2.{number}/24"
            decision = Decision(
                Kind.ADDRESS_RESTORED, Reason.FOREIGN_CHANGE, "g", "ni0", address=key
            )
            fights.note((f"add {key}", "ni0"), decision, now)
    (told,) = fights.news("g", 1.0)
    assert "keeps removing 192.0.2.0/24 and 999 more from ni0" in told.sentence()


def test_other_decisions_are_no_repairs() -> None:
    moved = Decision(Kind.ADDRESS_MOVED, Reason.OPERATOR, "g", "ni0", address="192.0.2.5/24")
    assert not is_repair(moved)
    assert is_repair(RESTORED)


def test_routes_are_named_in_words() -> None:
    fights = Fights()
    detail = {"value": "route default", "source": "ni1"}
    back = Decision(Kind.ROUTE_RESTORED, Reason.REROUTED, "g", "ni0", detail=detail)
    for now in (0.0, 0.2, 0.5, 1.0):
        fights.note(("replace route default", "ni0"), back, now)
    (told,) = fights.news("g", 1.0)
    assert told.sentence().startswith(
        "another program keeps changing route default: it was turned back to ni0 4 times in 1.0 s"
    )
