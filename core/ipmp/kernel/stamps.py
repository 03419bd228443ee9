"""The kernel's stamps of packets (SO_TIMESTAMPNS) are of the wall clock; ours are monotonic."""

from __future__ import annotations

import time

READINGS = 5


def clock_offset() -> float:
    """Return by how many seconds the wall clock is ahead of the monotonic one now.

    The shortest of a few readings: what runs between two looks at the clocks would make a packet
    later or earlier by as much as it took.
    """
    readings = []
    for _ in range(READINGS):
        before, wall, after = time.monotonic(), time.time(), time.monotonic()
        readings.append((after - before, wall - (before + after) / 2))
    return min(readings)[1]
