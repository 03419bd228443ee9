"""What came through: loss, duplicates and gaps of a numbered stream. Pure; times are given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Arrived:
    """A stream as its receiver saw it, out of `sent` packets numbered from 0."""

    sent: int
    received: int  # different numbers
    lost: int
    duplicates: int
    longest_gap_ms: float
    first_lost: int | None
    last_lost: int | None


class Arrivals:
    """Collects arrivals (number, time in seconds) of a stream with a nominal `interval`.

    The longest gap is the longest time without an arrival, less the interval at which packets
    should come: 0 for a perfect stream. What is missing at the beginning or the end counts as
    interval x packets, so an outage that never ends is seen as well.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._seen = bytearray()
        self._received = 0
        self._duplicates = 0
        self._last_time: float | None = None
        self._longest = 0.0

    @property
    def received(self) -> int:
        """How many different numbers have arrived."""
        return self._received

    def add(self, number: int, time: float) -> None:
        """Take note that packet `number` arrived at `time`."""
        if number >= len(self._seen):
            self._seen.extend(bytes(number + 1 - len(self._seen)))
        if self._seen[number]:
            self._duplicates += 1
            return
        self._seen[number] = 1
        self._received += 1
        if self._last_time is not None:
            self._longest = max(self._longest, time - self._last_time - self._interval)
        self._last_time = time

    def result(self, sent: int) -> Arrived:
        """Return the account, now that it is known how many packets were sent."""
        seen = bytes(self._seen[:sent]).ljust(sent, b"\0")
        at_start = len(seen) - len(seen.lstrip(b"\0"))
        at_end = len(seen) - len(seen.rstrip(b"\0"))
        gap = max(self._longest, at_start * self._interval, at_end * self._interval)
        first = seen.find(b"\0")
        return Arrived(
            sent=sent,
            received=self._received,
            lost=sent - self._received,
            duplicates=self._duplicates,
            longest_gap_ms=round(gap * 1000, 3),
            first_lost=None if first < 0 else first,
            last_lost=None if first < 0 else seen.rfind(b"\0"),
        )
