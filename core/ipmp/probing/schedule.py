"""When the probes of a path go out: a strictly periodic base, and a random part of the interval.

Each probe goes at base + 0.5 to 1.0 of an interval (ipmp-semantics 2.6), so that hosts and members
do not fall into step, and two are half an interval apart at least. Slots that have passed are
skipped, not made up for: a burst after a pause would say nothing that one probe does not.
"""

from __future__ import annotations

import math
from random import Random

EARLIEST = 0.5  # part of the interval
LATEST = 1.0


class Schedule:
    """The slots of one path; `due` is the next one."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._interval = 0.0
        self._base = 0.0
        self.due = math.inf

    def start(self, now: float, interval: float) -> None:
        """Begin anew; the first slot is anywhere within one interval."""
        self._interval = interval
        self.due = now + self._random.random() * interval
        self._base = self.due - interval * (EARLIEST + LATEST) / 2

    def stop(self) -> None:
        """No slot until `start`."""
        self.due = math.inf

    def take(self, now: float) -> int:
        """Use the slot that is due; how many slots had to be skipped because `now` is late."""
        steps = 1
        behind = now - self._base - self._interval * EARLIEST
        if behind >= self._interval:
            steps = math.floor(behind / self._interval) + 1
        self._base += steps * self._interval
        self.due = self._base + self._interval * self._random.uniform(EARLIEST, LATEST)
        return steps - 1
