"""A stand-in for mpathd's status socket: a real HTTP server that answers what a test tells it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import web

from ipmp.decision import Decision
from ipmp.model import Event, Status


class FakeDaemon:
    """Answers status, history and events.

    `answer`, `http_status`, `may_answer` and `happens` are the test's handles.
    """

    def __init__(self, run_dir: Path, answer: Status | bytes) -> None:
        self.run_dir = run_dir
        self.answer = answer
        self.http_status = 200
        self.requests = 0
        self.happened: list[Event] = []
        self.followers: set[asyncio.Queue[Event]] = set()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    @property
    def socket(self) -> Path:
        return self.run_dir / "status.sock"

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/v1/status", self._status)
        app.router.add_get("/v1/history", self._history)
        app.router.add_get("/v1/events", self._events)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(self.socket)).start()
        try:
            yield
        finally:
            self.may_answer.set()
            await runner.cleanup()
            self.socket.unlink(missing_ok=True)

    def happens(self, *decisions: Decision) -> None:
        """Record decisions as events, and tell who follows."""
        for decision in decisions:
            number = len(self.happened) + 1
            event = Event(number, 1_790_000_100.0 + number, decision, decision.sentence())
            self.happened.append(event)
            for queue in self.followers:
                queue.put_nowait(event)

    async def _history(self, request: web.Request) -> web.Response:
        newest = self.happened[-int(request.query["limit"]) :]
        return web.Response(body=msgspec.json.encode(newest), content_type="application/json")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self.followers.add(queue)
        try:
            while True:
                await response.write(msgspec.json.encode(await queue.get()) + b"\n")
        finally:
            self.followers.discard(queue)

    async def _status(self, request: web.Request) -> web.Response:
        self.requests += 1
        answer = self.answer  # as it was when the request came
        await self.may_answer.wait()
        body = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
        return web.Response(body=body, status=self.http_status, content_type="application/json")


@asynccontextmanager
async def short_directory() -> AsyncIterator[Path]:
    """A new directory whose name leaves room for a socket's within the kernel's 107 bytes."""
    directory = Path(tempfile.mkdtemp(prefix="ipmp-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)
