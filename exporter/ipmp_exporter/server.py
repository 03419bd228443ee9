"""The web server: `/metrics` for Prometheus, `/` for people, `/-/healthy` for a supervisor.

A request costs one reading of the daemon. What takes long for many addresses (about 4 us a sample)
runs in a thread, so that the loop goes on answering; one thread, because rendering is pure Python
and a second one would only take the interpreter away from the loop.
"""

from __future__ import annotations

import asyncio
import gzip
import math
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog
from aiohttp import web

from ipmp_exporter.daemon import Reading, read_status
from ipmp_exporter.exposition import VERSION, exposition
from ipmp_exporter.negotiation import accepts_gzip, choose_format
from ipmp_exporter.page import HEADERS as PAGE_HEADERS
from ipmp_exporter.page import page

HEALTH_PATH = "/-/healthy"

_DEADLINE = 5.0  # seconds for reading the daemon when the scraper does not say how long it waits
_LONGEST_DEADLINE = 60.0
_SCRAPE_OFFSET = 0.5  # seconds kept for rendering and the way back

# Fast rather than small: Prometheus is near, and the CPU belongs to the host's own work.
_GZIP_LEVEL = 3

_Result = TypeVar("_Result")
_log = structlog.get_logger("ipmp_exporter")


class Exporter:
    """The handlers, and what they share: the daemon's socket, the thread, the last complaint."""

    def __init__(self, run_dir: Path, telemetry_path: str = "/metrics") -> None:
        self._socket = run_dir / "status.sock"
        self._telemetry_path = telemetry_path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="render")
        self._last_error = ""

    def app(self) -> web.Application:
        """Return the application; a telemetry path of `/` takes the place of the page."""
        app = web.Application()
        app.router.add_get(self._telemetry_path, self.metrics)
        app.router.add_get(HEALTH_PATH, self.healthy)
        if self._telemetry_path != "/":
            app.router.add_get("/", self.landing)
        app.cleanup_ctx.append(self._lifetime)
        app.on_response_prepare.append(_common_headers)
        return app

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer a scrape; a daemon that is away is `ipmp_up 0`, not an HTTP error."""
        wanted = choose_format(",".join(request.headers.getall("Accept", [])))
        compress = accepts_gzip(",".join(request.headers.getall("Accept-Encoding", [])))
        names = request.query.getall("name[]", [])
        reading = await self._read(_deadline(request))

        def render() -> bytes:
            body = exposition(reading, wanted, names)
            return gzip.compress(body, _GZIP_LEVEL, mtime=0) if compress else body

        headers = {"Content-Type": wanted.content_type, "Vary": "Accept, Accept-Encoding"}
        if compress:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=await self._off_the_loop(render), headers=headers)

    async def landing(self, request: web.Request) -> web.Response:
        """Answer with the page of groups, interfaces and addresses."""
        reading = await self._read(_DEADLINE)
        text = await self._off_the_loop(lambda: page(reading, VERSION, self._telemetry_path))
        return web.Response(text=text, content_type="text/html", headers=PAGE_HEADERS)

    async def healthy(self, request: web.Request) -> web.Response:
        """Answer that this process works, whatever the daemon does."""
        return web.Response(text="ipmp_exporter is healthy.\n")

    async def _read(self, deadline: float) -> Reading:
        """Read the daemon; log a change between working and not, and nothing in between."""
        reading = await read_status(self._socket, deadline)
        if reading.error != self._last_error:
            if reading.error:
                _log.warning(reading.error)
            else:
                _log.info("mpathd answers again")
            self._last_error = reading.error
        return reading

    async def _off_the_loop(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _lifetime(self, app: web.Application) -> AsyncIterator[None]:
        yield
        self._thread.shutdown(wait=False, cancel_futures=True)


def _deadline(request: web.Request) -> float:
    """Return how long the daemon may take: a little less than the scraper is willing to wait."""
    try:
        timeout = float(request.headers.get("X-Prometheus-Scrape-Timeout-Seconds", ""))
    except ValueError:
        return _DEADLINE
    if not (math.isfinite(timeout) and timeout > 0):
        return _DEADLINE
    return min(max(timeout - _SCRAPE_OFFSET, timeout / 2), _LONGEST_DEADLINE)


async def _common_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "ipmp_exporter"  # not the versions of what it is built with
