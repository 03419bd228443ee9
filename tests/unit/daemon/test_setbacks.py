"""Steps that are refused or have no effect wait, and only they."""

from __future__ import annotations

import pytest

from ipmp.daemon.setbacks import IN_VAIN, RETRY_SECONDS, USUAL_PASSES, Setbacks
from ipmp.decision import Kind, Reason
from ipmp.kernel.protocol import Failure
from ipmp.plan import AddAnchor, DeleteAddress, Step, identity

STEP, OTHER = DeleteAddress("192.0.2.5/24", "ni0"), AddAnchor("ni1")


@pytest.fixture
def setbacks() -> Setbacks:
    return Setbacks("ipmp0")


def passes(setbacks: Setbacks, count: int, *taken: Step, now: float = 0.0) -> list[str]:
    told: list[str] = []
    for _ in range(count):
        setbacks.begin(now)
        told += (decision.sentence() for decision in setbacks.end(taken, now))
    return told


def test_a_refused_step_waits_and_is_remembered_from_its_first_refusal(setbacks: Setbacks) -> None:
    decision = setbacks.refused(Failure(STEP, 105, "No buffer space available"), 10.0)
    assert decision.reason is Reason.KERNEL_REFUSED
    assert setbacks.begin(14.9) == {identity(STEP)}
    assert list(setbacks.deadlines()) == [10.0 + RETRY_SECONDS]
    assert setbacks.begin(15.0) == set()
    setbacks.refused(Failure(STEP, 105, "No buffer space available"), 15.0)
    assert setbacks.after(10.0) == [decision]
    assert setbacks.after(10.1) == []
    setbacks.begin(20.0)
    assert setbacks.after(0.0) == [], "it was not refused again"


def test_a_step_that_is_taken_in_pass_after_pass_has_no_effect(setbacks: Setbacks) -> None:
    assert passes(setbacks, USUAL_PASSES + IN_VAIN - 1, STEP) == []
    assert setbacks.begin(0.0) == set()
    (told,) = setbacks.end([STEP, OTHER], 0.0)
    assert (told.kind, told.reason, told.interface) == (Kind.REFUSED, Reason.NO_EFFECT, "ni0")
    assert setbacks.begin(4.9) == {identity(STEP)}


def test_it_is_tried_again_without_another_row_of_passes_and_told_once(setbacks: Setbacks) -> None:
    assert len(passes(setbacks, USUAL_PASSES + IN_VAIN, STEP)) == 1
    for now in (5.0, 10.0, 15.0):
        assert setbacks.begin(now) == set()
        assert list(setbacks.end([STEP], now)) == []
        assert setbacks.begin(now) == {identity(STEP)}
        assert list(setbacks.end([], now)) == []
    assert len(setbacks.after(0.0)) == 1


def test_what_has_an_effect_at_last_starts_anew(setbacks: Setbacks) -> None:
    passes(setbacks, USUAL_PASSES + IN_VAIN, STEP)
    passes(setbacks, 2, now=5.0)  # the next reading wants nothing any more
    assert passes(setbacks, USUAL_PASSES + IN_VAIN - 1, STEP, now=11.0) == []


def test_passes_that_only_wait_for_a_drain_are_no_rest(setbacks: Setbacks) -> None:
    told: list[str] = []
    for number in range(USUAL_PASSES + IN_VAIN):
        told += passes(setbacks, 1, STEP, now=0.1 * number)
        told += passes(setbacks, 1, now=0.1 * number + 0.05)
    assert len(told) == 1


def test_many_passes_that_do_different_things_are_no_setback(setbacks: Setbacks) -> None:
    for _ in range(20):
        assert passes(setbacks, 1, STEP) + passes(setbacks, 1, OTHER) == []
    assert setbacks.begin(0.0) == set()
