"""The failure detection time of a group: what was asked for, and what the round-trip times allow.

A path fails after `LOSSES` probes in a row; the interval is chosen so that they and the randomness
of their slots fit into the detection time. When the targets answer too slowly for the interval it
is raised, for the whole group; it comes down in steps when they have become fast, but not before
it has stood for a while (ipmp-semantics 2.6).
"""

from __future__ import annotations

from collections.abc import Iterable

LOSSES = 5  # in a row: failed
SUCCESSES = 10  # in a row: repaired
PROVING = 0.2  # seconds: the longest interval while a link that returned proves itself
INTERVALS = LOSSES + 2  # in a detection time
STEP = 2  # head-room when raising, divisor when lowering
LOWER_BELOW = 1 / 4  # of the interval
SETTLING = 60.0  # seconds from a raise to the next decrease


class Detection:
    """Configured and present failure detection time, seconds."""

    def __init__(self, configured: float) -> None:
        self.configured = configured
        self.time = configured
        self._raised_at = 0.0

    @property
    def interval(self) -> float:
        """Seconds between two probes of a path."""
        return self.time / INTERVALS

    @property
    def raised(self) -> bool:
        """It is longer than asked for."""
        return self.time > self.configured

    def raise_for(self, conservative: float, now: float) -> None:
        """Make room for a target whose conservative round-trip time exceeds the interval."""
        self.time = STEP * conservative * INTERVALS
        self._raised_at = now

    def lower(self, conservative: Iterable[float], now: float) -> bool:
        """Come down by one step if all these round-trip times allow it; whether it did."""
        if not self.raised or now < self._raised_at + SETTLING:
            return False
        limit = self.interval * LOWER_BELOW
        if any(time >= limit for time in conservative):
            return False
        self.time = max(self.time / STEP, self.configured)
        return True
