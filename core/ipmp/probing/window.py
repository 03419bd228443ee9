"""The last probes of a path, and what became of them.

Series are counted by walking back from the newest probe, not kept in counters: a late reply may
turn a loss into a success in the middle of one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import Enum

import msgspec

REMEMBERED = 52  # PROBE_STATS_COUNT: replies to older probes are out of the window
SEQUENCES = 1 << 16


class Fate(Enum):
    """What became of a probe."""

    OUTSTANDING = "outstanding"
    ACKED = "acked"
    LOST = "lost"
    VOID = "void"  # not counted: it breaks no series and adds to none


class Flight(msgspec.Struct, gc=False):
    """One probe that was sent."""

    sequence: int  # counts on; its low 16 bits go over the wire
    target: str
    started: float
    limit: float  # the time after which it is lost
    judge_at: float  # the same, unless judgement was put off
    direct: bool = False  # sent to one station, not to the whole link
    fate: Fate = Fate.OUTSTANDING
    counts: bool = True  # False: lost in the quiet period, or to a target that never answered

    @property
    def put_off(self) -> bool:
        """Its judgement was put off once."""
        return self.judge_at > self.limit


class Window:
    """The last probes, oldest first; at most a few are outstanding."""

    def __init__(self) -> None:
        self._flights: deque[Flight] = deque(maxlen=REMEMBERED)
        self.outstanding: list[Flight] = []

    def launch(self, flight: Flight) -> None:
        """Remember a probe that goes out now; sequences follow each other."""
        self._flights.append(flight)
        self.outstanding.append(flight)

    def settle(self, flight: Flight, fate: Fate) -> None:
        """Say what became of a probe."""
        if flight.fate is Fate.OUTSTANDING:
            self.outstanding.remove(flight)
        flight.fate = fate

    def clear(self) -> int:
        """Forget everything; how many probes were outstanding."""
        outstanding = len(self.outstanding)
        self._flights.clear()
        self.outstanding.clear()
        return outstanding

    def find(self, sequence: int) -> Flight | None:
        """The probe with this sequence number of the wire, if it is remembered."""
        if not self._flights:
            return None
        newest = self._flights[-1].sequence
        back = (newest - sequence) % SEQUENCES
        return self._flights[-1 - back] if back < len(self._flights) else None

    def awaiting(self, target: str) -> list[Flight]:
        """The probes that an answer without sequence number may be for, the newest first.

        Those that are outstanding, else the last one if it was lost.
        """
        waiting = [f for f in reversed(self.outstanding) if f.target == target]
        if waiting:
            return waiting
        last = next((f for f in self._back(target) if f.fate is not Fate.VOID), None)
        return [last] if last is not None and last.fate is Fate.LOST else []

    def answered_by_other(self, target: str) -> bool:
        """Whether another target than this one has answered."""
        return any(f.fate is Fate.ACKED and f.target != target for f in self._flights)

    def is_newest_answer(self, flight: Flight) -> bool:
        """Whether no later probe to the same target has been answered."""
        answers = (f for f in self._back(flight.target) if f.fate is Fate.ACKED)
        return next(answers, None) is flight

    def losses(self, target: str | None = None) -> int:
        """How many were lost in a row, up to now; for one target also those that do not count."""
        lost = 0
        for flight in self._back(target):
            if flight.fate is Fate.ACKED:
                break
            lost += flight.fate is Fate.LOST and (flight.counts or target is not None)
        return lost

    def successes(self, target: str | None = None) -> int:
        """How many were answered in a row, up to now, none between them outstanding."""
        answered = 0
        for flight in self._back(target):
            if flight.fate is Fate.LOST or (answered and flight.fate is Fate.OUTSTANDING):
                break
            answered += flight.fate is Fate.ACKED
        return answered

    def first_loss(self, before: float | None) -> float | None:
        """When the first of the present series was lost, None when the last probe was answered.

        `before` is what was said last: a long series outgrows the window.
        """
        first: float | None = None
        for flight in self._back(None):
            if flight.fate is Fate.ACKED:
                return first
            if flight.fate is Fate.LOST and flight.counts:
                first = flight.limit
        return first if before is None or first is None else min(before, first)

    def _back(self, target: str | None) -> Iterator[Flight]:
        for flight in reversed(self._flights):
            if target is None or flight.target == target:
                yield flight
