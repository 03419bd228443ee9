"""The heartbeat of the loop: a regular look at every carrier, and how late it comes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

SECONDS = 0.1
MINUTE = 60.0


class Heartbeat:
    """Calls `beat` ten times a second, also while a move is under way.

    Events of plain NICs may come a second late (linux-peers 3.2), so that carriers are polled.
    """

    def __init__(self, monotonic: Callable[[], float], beat: Callable[[], None]) -> None:
        self.lag = 0.0  # the longest time that the loop stood still during the last minute
        self._monotonic = monotonic
        self._beat = beat

    async def run(self) -> None:
        """Beat until cancelled."""
        recent = deque([0.0], maxlen=int(MINUTE / SECONDS))
        while True:
            due = self._monotonic() + SECONDS
            await asyncio.sleep(SECONDS)
            recent.append(self._monotonic() - due)
            self.lag = max(recent)
            self._beat()
