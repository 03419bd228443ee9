"""Where the daemon gets the time from; the simulator puts a virtual clock in its place."""

from __future__ import annotations

import time


class Clock:
    """The clocks of this host."""

    def monotonic(self) -> float:
        """Seconds of the clock that never goes back."""
        return time.monotonic()

    def wall(self) -> float:
        """Unix time."""
        return time.time()


SYSTEM = Clock()
