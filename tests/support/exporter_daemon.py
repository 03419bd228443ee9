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

from ipmp.model import Status


class FakeDaemon:
    """Answers `GET /v1/status`; `answer`, `http_status` and `may_answer` are the test's handles."""

    def __init__(self, run_dir: Path, answer: Status | bytes) -> None:
        self.run_dir = run_dir
        self.answer = answer
        self.http_status = 200
        self.requests = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    @property
    def socket(self) -> Path:
        return self.run_dir / "status.sock"

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/v1/status", self._status)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(self.socket)).start()
        try:
            yield
        finally:
            self.may_answer.set()
            await runner.cleanup()
            self.socket.unlink(missing_ok=True)

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
