"""The sleep of a group's loop, and what ends it early.

A call asks for a pass. An urgent one is heard at once, also in the middle of a plan; the others may
have to wait until the sleep is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress


class Waker:
    """Calls that have not been answered yet, and the sleep that they end."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.called = False
        self.urgent = False  # one of the calls is
        self._monotonic = monotonic
        self._stir = asyncio.Event()

    def call(self, *, urgent: bool) -> None:
        """Ask for a pass."""
        self.called = True
        self.urgent = self.urgent or urgent
        self._stir.set()

    def answer(self) -> None:
        """A pass begins: what is called from now on asks for another."""
        self.called = self.urgent = False

    async def sleep(self, seconds: float, *, urgent_only: bool) -> None:
        """Sleep, at most until there is a call, or an urgent one."""
        end = self._monotonic() + seconds
        while not (self.called and (self.urgent or not urgent_only)):
            left = end - self._monotonic()
            if left <= 0:
                return
            self._stir.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._stir.wait()
