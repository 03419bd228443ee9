"""The slots of a path: strictly periodic base, random part, skipped when missed."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmp.probing.schedule import Schedule


def slots(schedule: Schedule, number: int) -> list[float]:
    times = []
    for _ in range(number):
        times.append(schedule.due)
        assert schedule.take(schedule.due) == 0
    return times


def test_nothing_is_due_before_the_start_or_after_the_stop() -> None:
    schedule = Schedule(Random(1))
    assert schedule.due == float("inf")
    schedule.start(10.0, 1.0)
    schedule.stop()
    assert schedule.due == float("inf")


def test_the_first_slots_of_members_are_spread_over_one_interval() -> None:
    random = Random(1)
    first = []
    for _ in range(300):
        schedule = Schedule(random)
        schedule.start(10.0, 1.0)
        first.append(schedule.due - 10.0)
    assert min(first) < 0.05
    assert max(first) > 0.95
    assert all(0 <= offset < 1 for offset in first)


@given(st.integers(0, 10_000), st.floats(0.01, 10.0))
def test_each_probe_is_within_the_second_half_of_its_interval(seed: int, interval: float) -> None:
    schedule = Schedule(Random(seed))
    schedule.start(100.0, interval)
    times = slots(schedule, 50)
    base = schedule._base - 49 * interval
    for number, time in enumerate(times[1:]):
        part = (time - base) / interval - number
        assert 0.5 - 1e-6 <= part <= 1.0 + 1e-6
    gaps = [b - a for a, b in pairwise(times[1:])]
    assert all(0.5 - 1e-6 <= gap / interval <= 1.5 + 1e-6 for gap in gaps)


def test_the_base_does_not_drift() -> None:
    schedule = Schedule(Random(3))
    schedule.start(0.0, 1.0)
    times = slots(schedule, 10_001)
    assert times[-1] - times[0] == pytest.approx(10_000, abs=1.0)


@given(st.integers(0, 10_000), st.floats(0.0, 1000.0))
def test_missed_slots_are_skipped_and_counted(seed: int, pause: float) -> None:
    schedule = Schedule(Random(seed))
    schedule.start(0.0, 1.0)
    due = schedule.due
    missed = schedule.take(due + pause)
    assert schedule.due > due + pause, "no burst"
    assert schedule.due <= due + pause + 1.5
    assert abs(missed - pause) <= 1.5
