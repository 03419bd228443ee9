"""Durations counted in buckets, as Prometheus' classic histograms are. Pure."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from ipmp.model import Histogram

#: Upper bounds of all duration histograms, seconds.
BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Durations:
    """The durations of one kind of event so far."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._total = 0.0

    def note(self, seconds: float) -> None:
        """Count one event."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._total += seconds

    def histogram(self) -> Histogram:
        """Return them as a value; its counts are cumulative."""
        return Histogram(BOUNDS, tuple(accumulate(self._counts)), self._total)
