"""The HTTP side of the dispatcher: `POST /alerts`, health, metrics.

202 only when every host has stored its part; 503 when one has not, so that Alertmanager sends the
whole again (hosts know what they have); 4xx for what is wrong with the request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from ipmp.serving.admission import TokenFile, bearer, certificate_names
from ipmp_remediator.route import metrics as exposition
from ipmp_remediator.route.config import RouteConfig
from ipmp_remediator.route.dispatch import Dispatcher
from ipmp_remediator.route.metrics import RouteMetrics
from ipmp_remediator.route.split import NotANotificationError, Parts, split
from ipmp_remediator.route.targets import FileTargets, TemplateTargets

ALERTS = "/alerts"
_BODY_TIMEOUT = 10.0

_log = structlog.get_logger()

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Refused(Exception):
    """A request that is answered with an error status and one constant sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class RouteWeb:
    """The handlers."""

    def __init__(
        self,
        config: RouteConfig,
        targets: FileTargets | TemplateTargets,
        dispatcher: Dispatcher,
        metrics: RouteMetrics,
    ) -> None:
        self._config = config
        self._targets = targets
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._token = TokenFile(config.token_file) if config.token_file else None
        self._in_progress = 0

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(middlewares=[self._guard], client_max_size=self._config.limits.body)
        app.router.add_post(ALERTS, self._alerts)
        app.router.add_get("/-/healthy", self._healthy)
        app.router.add_get("/-/ready", self._ready)
        app.router.add_get("/metrics", self._telemetry)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Answer every error with a sentence, and count what came to /alerts."""
        started = time.perf_counter()
        try:
            response = await handler(request)
        except _Refused as refused:
            response = _sentence(refused.status, refused.sentence)
        except web.HTTPException as error:  # the router's 404 and 405
            response = _sentence(error.status, error.reason)
        except Exception:
            _log.exception("a request could not be handled")
            response = _sentence(503, "the request could not be handled now; see the log")
        if request.path == ALERTS:
            self._metrics.requests.labels(str(response.status)).inc()
            self._metrics.request_duration.observe(time.perf_counter() - started)
        return response

    async def _alerts(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        if self._in_progress >= self._config.limits.notifications:
            raise _Refused(503, "too many notifications are in progress; send it again")
        self._in_progress += 1
        try:
            with self._metrics.in_progress.track_inprogress():
                return await self._pass_on(await self._body(request))
        finally:
            self._in_progress -= 1

    async def _pass_on(self, body: bytes) -> web.Response:
        try:
            parts = split(body, self._config.host_label, self._config.limits.alerts)
        except NotANotificationError as error:
            _log.warning("a notification was refused with 400", why=str(error))
            raise _Refused(400, "not an Alertmanager notification of version 4") from error
        self._count(parts)
        if await self._dispatcher.dispatch(parts.by_host):
            raise _Refused(503, "not every host has stored its part; send it again")
        return _sentence(202, "stored by every host")

    def _count(self, parts: Parts) -> None:
        self._metrics.alerts.inc(parts.alerts)
        for reason, count in parts.unroutable.items():
            self._metrics.unroutable.labels(reason).inc(count)
            _log.warning(
                f"{count} alerts are passed on to nobody ({reason}); see label "
                f"{self._config.host_label} in their rules"
            )

    async def _body(self, request: web.Request) -> bytes:
        if request.content_type != "application/json":
            raise _Refused(415, "the Content-Type must be application/json")
        if "Content-Encoding" in request.headers:
            raise _Refused(415, "a Content-Encoding is not accepted")
        try:
            async with asyncio.timeout(_BODY_TIMEOUT):
                return await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise _Refused(413, "the body is too large (limits.body)") from error
        except TimeoutError as error:
            raise _Refused(408, "the body did not arrive in time") from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise _Refused(400, "the body could not be read") from error

    def _authenticate(self, request: web.Request) -> None:
        if self._token and not bearer(request, self._token):
            raise _Refused(401, "a valid bearer token is required")
        allowed = self._config.client_allowed_sans
        if allowed and not allowed & certificate_names(request):
            raise _Refused(403, "the name in the client's certificate is not allowed")

    async def _healthy(self, _request: web.Request) -> web.Response:
        return _sentence(200, "healthy")

    async def _ready(self, _request: web.Request) -> web.Response:
        if isinstance(self._targets, FileTargets) and not len(self._targets):
            raise _Refused(503, "no targets are known")
        return _sentence(200, "ready")

    async def _telemetry(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.render(), headers={"Content-Type": exposition.CONTENT_TYPE}
        )


def _sentence(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n")
