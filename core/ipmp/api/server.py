"""The server: two sockets, two sets of routes, one controller."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from ipmp.api.controller import Controller
from ipmp.api.handlers import Handlers
from ipmp.api.once import Once
from ipmp.api.problems import Handler, problem, report_problems
from ipmp.api.sockets import CONTROL, STATUS, Access, listen
from ipmp.api.stream import Streams
from ipmp.model import ProblemCode

MAX_BODY = 64 * 1024
SHUTDOWN_SECONDS = 2.0  # for answers that are being written


class Server:
    """Serves `status.sock` and `control.sock` in `run_dir`."""

    def __init__(
        self, controller: Controller, run_dir: Path, streams: Streams | None = None
    ) -> None:
        self._run_dir = run_dir
        self._streams = streams or Streams(controller)
        self._once = Once()
        handlers = Handlers(controller, self._streams, self._once)
        self._apps = (
            (STATUS, _app(handlers.reading(), read_only)),
            (CONTROL, _app([*handlers.reading(), *handlers.changing()])),
        )
        self._runners: list[web.AppRunner] = []
        self._files: list[tuple[Path, int]] = []

    async def start(self) -> None:
        """Listen on both sockets; raises OSError, and then listens on none."""
        try:
            if not self._run_dir.is_dir():
                self._run_dir.mkdir(parents=True)
                self._run_dir.chmod(0o755)
            for access, app in self._apps:
                await self._serve(access, app)
        except OSError:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop listening, end the streams, and remove the socket files that are ours."""
        for path, inode in self._files:
            with contextlib.suppress(OSError):
                if path.lstat().st_ino == inode:
                    path.unlink()
        self._files.clear()
        self._streams.close()
        await self._once.close()
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def _serve(self, access: Access, app: web.Application) -> None:
        listener = listen(self._run_dir, access)
        path = self._run_dir / access.name
        self._files.append((path, path.lstat().st_ino))
        runner = web.AppRunner(
            app, handle_signals=False, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS
        )
        self._runners.append(runner)
        await runner.setup()
        await web.SockSite(runner, listener).start()


@web.middleware
async def read_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let only GET through."""
    if request.method == "GET":
        return await handler(request)
    answer = problem(
        HTTPStatus.METHOD_NOT_ALLOWED,
        ProblemCode.INVALID,
        f"status.sock only answers GET; operations go to {CONTROL.name}",
    )
    answer.headers["Allow"] = "GET"
    return answer


def _app(routes: Iterable[web.RouteDef], *middlewares: Middleware) -> web.Application:
    app = web.Application(middlewares=(report_problems, *middlewares), client_max_size=MAX_BODY)
    app.add_routes(routes)
    return app
