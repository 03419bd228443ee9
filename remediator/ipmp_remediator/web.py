"""The HTTP side: `POST /alerts`, the decisions, health, metrics and a landing page.

What Alertmanager does with an answer decides which one it gets (4xx: again at the next interval;
5xx: again at once; 3xx: lost): 202 once everything is on disk, 4xx for what is wrong with the
request, 503 for what is wrong with us. Never 500, never a redirect, and no answer repeats anything
of the request.
"""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog
from aiohttp import web

from ipmp_remediator import metrics as exposition
from ipmp_remediator.access import Credentials, Gate, SecretError, Verdict
from ipmp_remediator.database import StoreError
from ipmp_remediator.intake import Rules
from ipmp_remediator.metrics import Metrics
from ipmp_remediator.payload import MAX_BODY_BYTES, PayloadError, parse
from ipmp_remediator.receiver import QueueFullError, Receiver
from ipmp_remediator.store import Store

ALERTS = "/alerts"
DECISIONS = "/v1/decisions"
HEALTHY = "/-/healthy"
READY = "/-/ready"
RESERVED_PATHS = ("/", ALERTS, DECISIONS, HEALTHY, READY)
_BODY_TIMEOUT = 10.0
_MAX_DECISIONS = 1000

_log = structlog.get_logger()

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """A request that is answered with an error status and one constant sentence."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers or {}


class Web:
    """The handlers; `gate` and `rules` are asked for each request, they may change."""

    def __init__(
        self,
        store: Store,
        receiver: Receiver,
        metrics: Metrics,
        *,
        gate: Callable[[], Gate],
        rules: Callable[[], Rules],
        received: Callable[[], None],
        telemetry_path: str,
        version: str,
    ) -> None:
        self._store = store
        self._receiver = receiver
        self._metrics = metrics
        self._gate = gate
        self._rules = rules
        self._received = received
        self._telemetry_path = telemetry_path
        self._version = version

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_BODY_BYTES)
        app.router.add_post(ALERTS, self._alerts)
        app.router.add_get(DECISIONS, self._decisions)
        app.router.add_get(HEALTHY, self._healthy)
        app.router.add_get(READY, self._ready)
        app.router.add_get(self._telemetry_path, self._telemetry)
        app.router.add_get("/", self._landing)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Answer every error with a sentence, and count what came to /alerts."""
        started = time.perf_counter()
        try:
            response = await handler(request)
        except Refused as refused:
            response = _sentence(refused.status, refused.sentence, refused.headers)
        except web.HTTPException as error:  # the router's 404 and 405
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            response = _sentence(error.status, error.reason, allow)
        except Exception:
            _log.exception("a request could not be handled")
            response = _sentence(503, "the request could not be handled now; see the log")
        if request.path == ALERTS:
            self._metrics.requests.labels(str(response.status)).inc()
            self._metrics.request_duration.observe(time.perf_counter() - started)
        return response

    async def _alerts(self, request: web.Request) -> web.Response:
        gate, credentials = self._gate(), _credentials(request)
        signed = gate.needs_body(credentials)  # else nobody is read from who is not known
        if not signed:
            await self._authenticate(request, gate, credentials, None)
        body = await _body(request)
        if signed:
            await self._authenticate(request, gate, credentials, body)
        try:
            notification = parse(body)
        except PayloadError as error:
            _log.warning("a notification was refused with 400", why=str(error))
            raise Refused(400, "not an Alertmanager notification of version 4") from error
        try:
            await self._receiver.receive(notification, self._rules())
        except StoreError as error:
            _log.error(f"a notification cannot be stored: {error}")
            raise Refused(503, "the notification cannot be stored now; send it again") from error
        except QueueFullError as error:
            _log.error("the queue is full (max_pending); the sender was told to try again")
            raise Refused(503, "the queue is full; send it again") from error
        if notification.truncated_alerts:
            _log.warning(
                "the sender left alerts out; set max_alerts to 0 in its webhook configuration",
                count=notification.truncated_alerts,
            )
        self._received()
        return _sentence(202, "stored")

    async def _decisions(self, request: web.Request) -> web.Response:
        await self._authenticate(request, self._gate(), _credentials(request), None)
        text = request.query.get("limit", "100")
        limit = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
        if not 1 <= limit <= _MAX_DECISIONS:
            raise Refused(400, f"limit must be a whole number from 1 to {_MAX_DECISIONS}")
        try:
            records = await self._store.decisions(limit)
        except StoreError as error:
            raise Refused(503, "the decisions cannot be read now") from error
        return web.Response(body=msgspec.json.encode(records), content_type="application/json")

    async def _healthy(self, _request: web.Request) -> web.Response:
        return _sentence(200, "healthy")

    async def _ready(self, _request: web.Request) -> web.Response:
        try:
            await self._store.pending()
        except StoreError as error:
            raise Refused(503, "the store cannot be read") from error
        return _sentence(200, "ready")

    async def _telemetry(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.render(), headers={"Content-Type": exposition.CONTENT_TYPE}
        )

    async def _landing(self, _request: web.Request) -> web.Response:
        path = html.escape(self._telemetry_path)
        text = _LANDING.format(version=html.escape(self._version), path=path)
        return web.Response(text=text, content_type="text/html")

    async def _authenticate(
        self, request: web.Request, gate: Gate, credentials: Credentials, body: bytes | None
    ) -> None:
        try:
            verdict = await gate.judge(credentials, body)
        except SecretError as error:
            _log.error(f"nobody can be authenticated: {error}")
            raise Refused(503, "authentication is not possible now; see the log") from error
        if verdict is Verdict.ADMITTED:
            return
        if request.path == ALERTS:
            self._metrics.authentication_failures.labels(verdict.value).inc()
        if verdict is Verdict.WRONG_CERTIFICATE:
            raise Refused(403, "no name of the client's certificate is allowed here")
        raise Refused(401, "valid credentials are required", {"WWW-Authenticate": gate.challenge})


def _credentials(request: web.Request) -> Credentials:
    return Credentials(request.headers, request.get_extra_info("peercert"))


async def _body(request: web.Request) -> bytes:
    """Read the body of a notification within the limits; raise Refused."""
    if request.content_type != "application/json":
        raise Refused(415, "the Content-Type must be application/json")
    if "Content-Encoding" in request.headers:
        raise Refused(415, "a Content-Encoding is not accepted")
    try:
        async with asyncio.timeout(_BODY_TIMEOUT):
            return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise Refused(413, f"the body must not exceed {MAX_BODY_BYTES} bytes") from error
    except TimeoutError as error:
        raise Refused(408, "the body did not arrive in time") from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise Refused(400, "the body could not be read") from error


def _sentence(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers=headers)


_LANDING = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>IPMP remediator</title></head>
<body>
<h1>IPMP remediator</h1>
<p>Takes interfaces offline, and online again, when Alertmanager says so. Version {version}.</p>
<ul>
<li><a href="{path}">Metrics</a></li>
<li><a href="/v1/decisions">Decisions</a> (needs credentials)</li>
<li><a href="/-/healthy">Healthy</a>, <a href="/-/ready">ready</a></li>
<li><code>POST /alerts</code>: Alertmanager notifications, version 4</li>
</ul>
</body>
</html>
"""
