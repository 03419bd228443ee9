"""The heartbeat of the loop: a regular look at every carrier, and how late it comes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

SECONDS = 0.1
MINUTE = 60.0


class Heartbeat:
    """Calls `beat` ten times a second, also while a move is under way.

    Events of plain NICs may come a second late (linux-peers 3.2), so that carriers are polled. It
    is most of what an idle daemon does: so no task is woken for it, and few numbers are compared.
    """

    def __init__(self, monotonic: Callable[[], float], beat: Callable[[], None]) -> None:
        self._monotonic = monotonic
        self._beat = beat
        self._due = 0.0
        self._late = 0.0  # the most, in the second that is now
        self._second = 0
        self._seconds = deque([0.0], maxlen=int(MINUTE))  # the most in each of the last ones

    @property
    def lag(self) -> float:
        """The longest time that the loop stood still during the last minute."""
        return max(self._late, *self._seconds)

    async def run(self) -> None:
        """Beat until cancelled; raises what `beat` raises."""
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[None] = loop.create_future()
        handle: asyncio.TimerHandle

        def tick() -> None:
            nonlocal handle
            try:
                self._tick()
            except Exception as error:
                failed.set_exception(error)
            else:
                handle = self._wind(loop, tick)

        handle = self._wind(loop, tick)
        try:
            await failed
        finally:
            handle.cancel()

    def _wind(
        self, loop: asyncio.AbstractEventLoop, tick: Callable[[], None]
    ) -> asyncio.TimerHandle:
        self._due = self._monotonic() + SECONDS
        return loop.call_later(SECONDS, tick)

    def _tick(self) -> None:
        now = self._monotonic()
        if int(now) != self._second:
            self._seconds.append(self._late)
            self._second, self._late = int(now), 0.0
        self._late = max(self._late, now - self._due)
        self._beat()
