"""What the operators of this host ask the remediator for, over a Unix socket below mpathd's.

The permissions of the socket are the authorisation, as with the daemon's own.
"""

from __future__ import annotations

import pwd
import re
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from aiohttp import web

from ipmp_remediator.daemon_client import DaemonClient, DaemonError, DaemonUnreachableError
from ipmp_remediator.database import StoreError
from ipmp_remediator.explain import awaiting_approval, explain
from ipmp_remediator.policy import Config, lookback
from ipmp_remediator.rails.situation import Situation
from ipmp_remediator.store import Store

#: Below the run directory, in a directory that the remediator may write to: mpathd's is not.
SOCKET = "remediator/remediator.sock"
_ID = re.compile(r"[0-9a-f]{8}")
_RECENT = 10
_MODE = 0o660


class Desk:
    """The handlers; `approved` is called after an approval."""

    def __init__(
        self,
        store: Store,
        daemon: DaemonClient,
        config: Callable[[], Config],
        approved: Callable[[], None],
    ) -> None:
        self._store = store
        self._daemon = daemon
        self._config = config
        self._approved = approved

    async def serve(self, path: Path) -> web.AppRunner:
        """Listen; raise OSError when that is not possible."""
        app = web.Application(middlewares=[_guard])
        app.router.add_get("/v1/explain/{name}", self._explain)
        app.router.add_get("/v1/approvals", self._approvals)
        app.router.add_post("/v1/approvals/{id}", self._approve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.SockSite(runner, _listen(path)).start()
        return runner

    async def _explain(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        records = await self._store.decisions(_RECENT, name)
        sentences = explain(name, await self._situation(), records)
        return _json({"object": name, "sentences": sentences})

    async def _approvals(self, request: web.Request) -> web.Response:
        sentences = [
            f"{e.approval_id}  drain {e.interface} of group {e.group} for alert {e.alertname}"
            for e in awaiting_approval(await self._situation())
        ]
        return _json({"object": "approvals", "sentences": sentences})

    async def _approve(self, request: web.Request) -> web.Response:
        id, situation = request.match_info["id"], await self._situation()
        waiting = {e.approval_id: e for e in situation.memory.episodes if e.firing}
        if not _ID.fullmatch(id) or id not in waiting:
            return _problem("no open alert has this ID; `ipmp approve` lists those that wait", 404)
        await self._store.approve(id, _actor(request), time.time())
        self._approved()
        episode = waiting[id]
        sentence = f"the drain of {episode.interface} for alert {episode.alertname} is approved"
        return _json({"object": id, "sentences": [sentence]})

    async def _situation(self) -> Situation:
        memory = await self._store.memory(lookback(self._config()))
        status = await self._daemon.status()
        return Situation.of(self._config(), status, memory, time.time())


def _listen(path: Path) -> socket.socket:
    """Make the socket; one that a killed process left behind is replaced."""
    path.parent.mkdir(mode=0o750, exist_ok=True)  # as a service it is there already
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(_MODE)
    return listener


@web.middleware
async def _guard(
    request: web.Request, handler: Callable[[web.Request], object]
) -> web.StreamResponse:
    """Every failure is a problem with one sentence."""
    try:
        response = handler(request)
        return await response  # type: ignore[misc, no-any-return]
    except web.HTTPException as error:
        return _problem(error.reason, error.status)
    except (StoreError, DaemonUnreachableError, DaemonError) as error:
        return _problem(str(error), 503)


def _actor(request: web.Request) -> str:
    """Who is at the other end (SO_PEERCRED)."""
    peer: socket.socket = request.get_extra_info("socket")
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid = struct.unpack("3i", raw)[1]
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _problem(detail: str, status: int) -> web.Response:
    code = "invalid" if status < 500 else "busy"
    body = {"code": code, "detail": detail, "status": status}
    return web.Response(
        status=status, body=msgspec.json.encode(body), content_type="application/problem+json"
    )
