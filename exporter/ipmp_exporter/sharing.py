"""What scrapes at the same time share: one reading of the daemon, one rendering of it.

Twenty scrapers must not cost the daemon twenty readings, nor this host twenty times the rendering.
Nobody is shown less than it would have seen alone: a reading begins after each of those who get it
has asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

_Result = TypeVar("_Result")


class Shared(Generic[_Result]):
    """Runs `work`, at most one at a time for each argument, and one more when somebody waits."""

    def __init__(self, work: Callable[[float], Awaitable[_Result]]) -> None:
        self._work = work
        self._running: dict[float, asyncio.Task[_Result]] = {}
        self._waiting: dict[float, asyncio.Task[_Result]] = {}

    async def result(self, argument: float) -> _Result:
        """Return what work brings that has not begun yet; raises what it raises."""
        task = self._waiting.get(argument)
        if task is None:
            task = asyncio.create_task(self._run(argument))
            self._waiting[argument] = task
        return await asyncio.shield(task)

    async def _run(self, argument: float) -> _Result:
        before = self._running.get(argument)
        if before is not None:
            await asyncio.wait((before,))
        task = self._running[argument] = self._waiting.pop(argument)
        try:
            return await self._work(argument)
        finally:
            if self._running[argument] is task:
                del self._running[argument]


class Renderings:
    """The renderings under way; what is rendered is not kept, it may be megabytes."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[bytes]] = {}

    async def of(
        self, reading: object, form: Hashable, render: Callable[[], Coroutine[Any, Any, bytes]]
    ) -> bytes:
        """Return a reading in this form, rendered once for all who ask meanwhile."""
        what = id(reading), form  # `render` keeps the reading, so nothing else has its id
        task = self._tasks.get(what)
        if task is None:
            task = self._tasks[what] = asyncio.create_task(render())
            task.add_done_callback(lambda _: self._tasks.pop(what))
        return await asyncio.shield(task)
