"""The page kept up to date: server-sent events (HTML standard, section 9.2) at `/-/live`.

However many people look, the daemon is asked once: one task follows its events and reads its state
when something has happened, and otherwise every other second, because round trip times change
without an event. It runs only while somebody looks. A viewer that is slow misses states, never the
newest one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from aiohttp import web

from ipmp_exporter.events import happenings

LIVE_PATH = "/-/live"
MAX_VIEWERS = 32

_AT_LEAST = 2.0  # seconds between two readings when nothing happens
_AT_MOST = 0.25  # seconds between two readings, however much happens
_SIGN_OF_LIFE = 15.0
_PATIENCE = 10.0  # seconds that a viewer may take nothing before it is dropped
_AGAIN = 1.0  # seconds until a daemon that was away is tried again


class Live:
    """The viewers, and the task that serves them; `render` returns the page's `<main>`."""

    def __init__(self, socket: Path, render: Callable[[], Awaitable[str]]) -> None:
        self._socket = socket
        self._render = render
        self._viewers = 0
        self._shown = ""
        self._number = 0  # of the state that is shown; viewers wait for a greater one
        self._news = asyncio.Condition()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Send the state, and each new one, until the viewer goes or the exporter stops."""
        if self._viewers >= MAX_VIEWERS:
            raise web.HTTPServiceUnavailable(text=f"{MAX_VIEWERS} pages are live already.\n")
        response = web.StreamResponse(headers={"Cache-Control": "no-store"})
        response.content_type = "text/event-stream"
        self._viewers += 1
        try:
            await response.prepare(request)
            if self._task is None:
                self._task = asyncio.create_task(self._keep_fresh(), name="live page")
            await self._serve(request, response)
        except ConnectionError:
            pass  # the viewer has gone
        finally:
            self._viewers -= 1
            if not self._viewers:
                await self._rest()
        return response

    async def close(self) -> None:
        """End every stream."""
        self._closing = True
        async with self._news:
            self._news.notify_all()
        await self._rest()

    async def _serve(self, request: web.Request, response: web.StreamResponse) -> None:
        seen = 0
        while not self._closing:
            text = ": nothing new\n\n"
            if await self._newer_than(seen):
                seen = self._number
                lines = "".join(f"data: {line}\n" for line in self._shown.splitlines())
                text = f"event: state\n{lines}\n"
            if self._closing:
                return
            try:
                async with asyncio.timeout(_PATIENCE):
                    await response.write(text.encode())
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()
                return

    async def _newer_than(self, seen: int) -> bool:
        """Wait for a state that the viewer has not seen; not longer than it may hear nothing."""
        try:
            async with asyncio.timeout(_SIGN_OF_LIFE), self._news:
                await self._news.wait_for(lambda: self._number > seen or self._closing)
        except TimeoutError:
            return False
        return True

    async def _rest(self) -> None:
        """Ask the daemon nothing while nobody looks."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._shown, self._number = "", 0

    async def _keep_fresh(self) -> None:
        happened = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(happened))
            while True:
                happened.clear()
                text = await self._render()
                if text != self._shown:
                    async with self._news:
                        self._shown, self._number = text, self._number + 1
                        self._news.notify_all()
                await asyncio.sleep(_AT_MOST)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_AT_LEAST - _AT_MOST):
                        await happened.wait()

    async def _follow(self, happened: asyncio.Event) -> None:
        """Set `happened` for every event; a daemon that stops or is away is tried again."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async for _ in happenings(self._socket):
                    happened.set()
            happened.set()
            await asyncio.sleep(_AGAIN)
