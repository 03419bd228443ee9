"""The web server: `/metrics` for Prometheus, `/` for people, `/-/healthy` for a supervisor.

A request costs one reading of the daemon, which it may share with others (`sharing`). What takes
long for many addresses (about 4 us a sample) runs in a thread, so that the loop goes on answering;
one thread, because rendering is pure Python and a second one would only take the interpreter away
from the loop.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from ipmp_exporter.collectors import DEFAULT
from ipmp_exporter.collectors.family import Subject
from ipmp_exporter.daemon import Reading, late, read_status
from ipmp_exporter.events import read_recent
from ipmp_exporter.exposition import VERSION, exposition
from ipmp_exporter.live import LIVE_PATH, Live
from ipmp_exporter.negotiation import accepts_gzip, choose_format
from ipmp_exporter.page import HEADERS as PAGE_HEADERS
from ipmp_exporter.page import main_part, page
from ipmp_exporter.selection import Selection, SelectionError, deadline, select
from ipmp_exporter.sharing import Renderings, Shared

HEALTH_PATH = "/-/healthy"
MAX_REQUESTS = 40  # scrapes at a time, unless a flag says otherwise

_PAGE_DEADLINE = 5.0  # seconds for reading the daemon when a person asks

# Fast rather than small: Prometheus is near, and the CPU belongs to the host's own work.
_GZIP_LEVEL = 3

_Result = TypeVar("_Result")
_log = structlog.get_logger("ipmp_exporter")


class Exporter:
    """The handlers, and what they share: the daemon's socket, the thread, the last complaint."""

    def __init__(
        self,
        run_dir: Path,
        telemetry_path: str = "/metrics",
        subjects: Sequence[Subject] = DEFAULT,
        *,
        max_requests: int = MAX_REQUESTS,
        own_process: bool = True,
    ) -> None:
        """`max_requests`: scrapes at a time, 0 for any number; `own_process`: tell of ourselves."""
        self._socket = run_dir / "status.sock"
        self._telemetry_path = telemetry_path
        self._subjects = subjects
        self._max_requests = max_requests
        self._own_process = own_process
        self._scrapes = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="render")
        self._last_error = ""
        self._readings = Shared(lambda seconds: read_status(self._socket, seconds))
        self._renderings = Renderings()
        self._live = Live(self._socket, self._main_part)

    def app(self, *middlewares: Middleware) -> web.Application:
        """Return the application; a telemetry path of `/` takes the place of the page."""
        app = web.Application(middlewares=middlewares)
        app.router.add_get(self._telemetry_path, self.metrics)
        app.router.add_get(HEALTH_PATH, self.healthy)
        if self._telemetry_path != "/":
            app.router.add_get("/", self.landing)
            app.router.add_get(LIVE_PATH, self._live.answer, allow_head=False)
        app.cleanup_ctx.append(self._lifetime)
        app.on_shutdown.append(self._end_streams)
        app.on_response_prepare.append(_common_headers)
        return app

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer a scrape; a daemon that is away is `ipmp_up 0`, not an HTTP error."""
        if 0 < self._max_requests <= self._scrapes:
            raise web.HTTPServiceUnavailable(
                text=f"{self._scrapes} scrapes are under way (--web.max-requests); try again\n"
            )
        self._scrapes += 1
        try:
            return await self._scrape(request, select(request.query, self._subjects))
        except SelectionError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        finally:
            self._scrapes -= 1

    async def _scrape(self, request: web.Request, selection: Selection) -> web.Response:
        limit = deadline(request.headers.get("X-Prometheus-Scrape-Timeout-Seconds", ""))
        until = time.perf_counter() + limit
        wanted = choose_format(",".join(request.headers.getall("Accept", [])))
        compress = accepts_gzip(",".join(request.headers.getall("Accept-Encoding", [])))
        reading = await self._read(limit)

        def render() -> bytes:
            body = exposition(reading, wanted, selection, until, own_process=self._own_process)
            return gzip.compress(body, _GZIP_LEVEL, mtime=0) if compress else body

        form = wanted, compress, limit, selection.key
        body = await self._renderings.of(reading, form, lambda: self._off_the_loop(render))
        headers = {"Content-Type": wanted.content_type, "Vary": "Accept, Accept-Encoding"}
        if compress:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)

    async def landing(self, request: web.Request) -> web.Response:
        """Answer with the page of groups, interfaces and addresses."""
        reading = await self._read(_PAGE_DEADLINE)
        recent = await read_recent(self._socket, _PAGE_DEADLINE)
        text = await self._off_the_loop(
            lambda: page(reading, VERSION, self._telemetry_path, recent)
        )
        return web.Response(text=text, content_type="text/html", headers=PAGE_HEADERS)

    async def _main_part(self) -> str:
        reading = await self._read(_PAGE_DEADLINE)
        recent = await read_recent(self._socket, _PAGE_DEADLINE)
        return await self._off_the_loop(lambda: main_part(reading, recent))

    async def healthy(self, request: web.Request) -> web.Response:
        """Answer that this process works, whatever the daemon does."""
        return web.Response(text="ipmp_exporter is healthy.\n")

    async def _read(self, seconds: float) -> Reading:
        """Read the daemon; log a change between working and not, and nothing in between."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(seconds):
                reading = await self._readings.result(seconds)
        except TimeoutError:  # it waited for a reading that had begun before
            reading = late(self._socket, seconds, began)
        if reading.error != self._last_error:
            if reading.error:
                _log.warning(reading.error)
            else:
                _log.info("mpathd answers again")
            self._last_error = reading.error
        return reading

    async def _off_the_loop(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _end_streams(self, app: web.Application) -> None:
        await self._live.close()

    async def _lifetime(self, app: web.Application) -> AsyncIterator[None]:
        yield
        self._thread.shutdown(wait=False, cancel_futures=True)


async def _common_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "ipmp_exporter"  # not the versions of what it is built with
