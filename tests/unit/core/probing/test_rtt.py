"""Smoothed round-trip times, and the spike rule."""

from __future__ import annotations

import pytest

from ipmp.probing.rtt import GRANULARITY, RoundTrip

INTERVAL = 1.0


def test_nothing_measured_means_unknown() -> None:
    assert RoundTrip().conservative == 0.0


def test_the_first_time_is_the_average_and_half_of_it_the_deviation() -> None:
    times = RoundTrip()
    assert times.take(0.1, INTERVAL)
    assert (times.average, times.deviation) == (0.1, 0.05)
    assert times.conservative == pytest.approx(0.3)


def test_jacobson_gains_are_an_eighth_and_a_quarter() -> None:
    times = RoundTrip(average=0.1, deviation=0.02)
    times.take(0.18, INTERVAL)
    assert times.average == pytest.approx(0.11)
    assert times.deviation == pytest.approx(0.02 + (0.08 - 0.02) / 4)


def test_a_steady_target_still_has_a_millisecond_of_room() -> None:
    times = RoundTrip()
    for _ in range(200):
        times.take(0.0002, INTERVAL)
    assert times.conservative == pytest.approx(0.0002 + GRANULARITY)


def test_one_spike_is_held_back_and_then_forgotten() -> None:
    times = RoundTrip(average=0.01, deviation=0.001)
    assert not times.take(3.0, INTERVAL)
    assert times.average == 0.01
    assert times.take(0.01, INTERVAL)
    assert times.average == pytest.approx(0.01)
    assert not times.take(3.0, INTERVAL), "the next one is a first one again"


def test_a_second_spike_in_a_row_is_believed_with_the_first() -> None:
    times = RoundTrip(average=0.01, deviation=0.001)
    both = RoundTrip(average=0.01, deviation=0.001)
    assert not times.take(3.0, INTERVAL)
    assert times.take(4.0, INTERVAL)
    both.average, both.deviation = both._with(3.0)
    both.average, both.deviation = both._with(4.0)
    assert (times.average, times.deviation) == (both.average, both.deviation)
    assert times.conservative > INTERVAL


def test_what_is_slow_already_is_no_spike() -> None:
    times = RoundTrip(average=2.0, deviation=0.5)
    assert times.take(5.0, INTERVAL)
