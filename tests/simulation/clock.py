"""Virtual time: one clock, one queue of what is to come, and an event loop that lives by both.

Nothing sleeps. When the loop has nothing to run, time jumps to whatever is next: a timer of the
loop or a happening of the world. There are no threads: what is handed to one is computed at once
and its result arrives later. So a simulation is a function of its seed.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from random import Random
from typing import TypeVar, TypeVarTuple, Unpack

EPOCH = 1_700_000_000.0  # Unix time at which every simulation begins
THREAD_SECONDS = 0.005  # longest time that a call in a thread takes

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Clock:
    """The time, and what happens when it comes. Implements the daemon's `Clock`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def monotonic(self) -> float:
        """Seconds since some time before the simulation."""
        return self.now

    def wall(self) -> float:
        """Unix time."""
        return EPOCH + self.now

    def after(self, seconds: float, happening: Callable[[], None]) -> None:
        """Let something happen in so many seconds; what is due at one time keeps its order."""
        self._number += 1
        heapq.heappush(self._queue, (self.now + seconds, self._number, happening))

    def step(self, until: float) -> None:
        """Jump to the next happening and let it happen, or to `until` if nothing comes before."""
        if self._queue and self._queue[0][0] <= until:
            when, _, happening = heapq.heappop(self._queue)
            self.now = max(self.now, when)
            happening()
        else:
            self.now = max(self.now, until)

    def spend(self, seconds: float) -> None:
        """Let time pass while the caller holds the loop; the world goes on meanwhile."""
        until = self.now + seconds
        while self._queue and self._queue[0][0] <= until:
            self.step(until)
        self.now = until


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio on a virtual clock."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self._virtual, self._random = clock, random
        super().__init__(_Jumps(clock))

    def time(self) -> float:
        """The loop's time is the world's."""
        return self._virtual.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run it at once, as threads would make a seed mean nothing; the result comes later."""
        future: asyncio.Future[T] = self.create_future()
        call = partial(func, *args)
        self.call_later(self._random.uniform(0, THREAD_SECONDS), _finish, future, *_outcome(call))
        return future


def _outcome(call: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return call(), None
    except Exception as error:
        return None, error


def _finish(future: asyncio.Future[T], result: T, error: Exception | None) -> None:
    if future.done():
        return  # its task was cancelled
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


class _Jumps(selectors.SelectSelector):
    """Waits for nothing: lets the world go on until the loop's next timer."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            self._clock.step(float("inf"))
            if self._clock.now == float("inf"):
                raise RuntimeError("the loop waits, and nothing is ever going to happen")
        elif timeout > 0:
            self._clock.step(self._clock.now + timeout)
        return []
