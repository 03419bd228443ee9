"""The HTTP side: FleetLock v1, the list of holders, the operator's release, health and metrics.

200 is granted, and whatever else is not: 409 while all slots are taken, 4xx for what is wrong with
the request, 503 when etcd has not answered (then a slot may or may not have been taken, and both
calls may be repeated). The body of every error has `kind` and `value`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import structlog
from aiohttp import web

from ipmp.fleetlock import values
from ipmp.fleetlock.values import (
    ClientParams,
    ErrorKind,
    ErrorReply,
    GroupStatus,
    LockRequest,
    ReleaseRequest,
)
from ipmp.serving.admission import TokenFile, bearer, certificate_names
from ipmp_fleetlock import metrics as exposition
from ipmp_fleetlock.config import FleetlockConfig
from ipmp_fleetlock.etcd import StoreError
from ipmp_fleetlock.metrics import FleetlockMetrics
from ipmp_fleetlock.slots import Outcome, Slots

_MAX_BODY = 16 * 1024
_BODY_TIMEOUT = 5.0
_OPERATIONS = {
    values.TAKE_PATH: "take",
    values.GIVE_BACK_PATH: "give_back",
    values.RELEASE_PATH: "release",
}

_log = structlog.get_logger()

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Message = TypeVar("_Message", LockRequest, ReleaseRequest)


class _Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, kind: ErrorKind, value: str) -> None:
        super().__init__(value)
        self.status = status
        self.reply = ErrorReply(kind=kind, value=value)


class FleetlockWeb:
    """The handlers; the configuration is asked for each time, it may change."""

    def __init__(
        self, config: Callable[[], FleetlockConfig], slots: Slots, metrics: FleetlockMetrics
    ) -> None:
        self._config = config
        self._slots = slots
        self._metrics = metrics

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(middlewares=[self._guard], client_max_size=_MAX_BODY)
        app.router.add_post(values.TAKE_PATH, self._take)
        app.router.add_post(values.GIVE_BACK_PATH, self._give_back)
        app.router.add_get(values.GROUPS_PATH, self._groups)
        app.router.add_post(values.RELEASE_PATH, self._release)
        app.router.add_get("/-/healthy", self._healthy)
        app.router.add_get("/-/ready", self._ready)
        app.router.add_get("/metrics", self._telemetry)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Answer every error as the protocol wants it, and count the three operations."""
        started = time.perf_counter()
        reply: ErrorReply | None = None
        try:
            response = await handler(request)
        except _Refused as refused:
            reply, response = refused.reply, _error(refused.status, refused.reply)
        except StoreError as error:
            _log.error(f"etcd cannot be asked: {error}")
            reply = ErrorReply(ErrorKind.STORE_UNAVAILABLE, "etcd does not answer; try again")
            response = _error(503, reply)
        except web.HTTPException as error:  # the router's 404 and 405
            reply = ErrorReply(ErrorKind.INVALID_REQUEST, error.reason)
            response = _error(error.status, reply)
        except Exception:
            _log.exception("a request could not be handled")
            reply = ErrorReply(ErrorKind.INTERNAL, "the request could not be handled; see the log")
            response = _error(500, reply)
        if operation := _OPERATIONS.get(request.path):
            self._metrics.duration.observe(time.perf_counter() - started)
            if reply:
                self._metrics.refusals.labels(operation, reply.kind).inc()
            else:
                self._metrics.requests.labels(operation).inc()
        return response

    async def _take(self, request: web.Request) -> web.Response:
        client = await self._client(request)
        slots = self._config().slots_of(client.group)
        if slots == 0:
            raise _Refused(
                403, ErrorKind.UNKNOWN_GROUP, f"group {client.group} has no slots on this server"
            )
        if await self._slots.take(client.group, client.id, slots) is Outcome.FULL:
            raise _Refused(409, ErrorKind.FULL, f"all slots of {client.group} are taken: {slots}")
        _log.info("a slot is held", group=client.group, id=client.id)
        return web.json_response({})

    async def _give_back(self, request: web.Request) -> web.Response:
        client = await self._client(request)
        if await self._slots.give_back(client.group, client.id) is Outcome.DONE:
            _log.info("a slot was given back", group=client.group, id=client.id)
        return web.json_response({})

    async def _release(self, request: web.Request) -> web.Response:
        names = self._authenticate(request)
        config = self._config()
        if config.mutual and not config.operators & names:
            raise _Refused(
                403, ErrorKind.NOT_ALLOWED, "no name in the certificate is one of the operators"
            )
        order = await _message(request, ReleaseRequest)
        if await self._slots.give_back(order.group, order.id) is Outcome.NOT_A_HOLDER:
            raise _Refused(404, ErrorKind.NOT_A_HOLDER, f"{order.id} has no slot of {order.group}")
        _log.warning(
            "a slot was released by an operator",
            group=order.group,
            id=order.id,
            reason=order.reason,
            operator=", ".join(sorted(names)),
        )
        return web.json_response({})

    async def _groups(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        body = msgspec.json.encode(await self._status())
        return web.Response(body=body, content_type="application/json")

    async def _status(self) -> list[GroupStatus]:
        """Every group that is configured or has been used."""
        config, stored, now = self._config(), await self._slots.groups(), time.time()
        return [
            GroupStatus(
                group=group,
                slots=config.slots_of(group),
                holders=stored[group].holders if group in stored else (),
                now=now,
            )
            for group in sorted({*config.slots, *stored})
        ]

    async def _client(self, request: web.Request) -> ClientParams:
        """Read who asks, and hold it against the certificate."""
        names = self._authenticate(request)
        if request.headers.get(values.HEADER) != "true":
            raise _Refused(
                400, ErrorKind.INVALID_REQUEST, f"the header {values.HEADER} must be true"
            )
        client = (await _message(request, LockRequest)).client_params
        config = self._config()
        if config.mutual and config.bind_ids and client.id.partition("/")[0] not in names:
            raise _Refused(
                403, ErrorKind.NOT_ALLOWED, "the host in the id is not in the client's certificate"
            )
        return client

    def _authenticate(self, request: web.Request) -> frozenset[str]:
        """Return the names in the client's certificate."""
        file = self._config().token_file
        if file and not bearer(request, TokenFile(file)):
            raise _Refused(401, ErrorKind.NOT_ALLOWED, "a valid bearer token is required")
        return certificate_names(request)

    async def _healthy(self, _request: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    async def _ready(self, _request: web.Request) -> web.Response:
        await self._slots.groups()
        return web.Response(text="ready\n")

    async def _telemetry(self, _request: web.Request) -> web.Response:
        try:
            self._metrics.show(await self._status())
        except StoreError as error:
            _log.error(f"etcd cannot be asked: {error}")
            self._metrics.show(None)
        return web.Response(
            body=self._metrics.render(), headers={"Content-Type": exposition.CONTENT_TYPE}
        )


async def _message(request: web.Request, kind: type[_Message]) -> _Message:
    try:
        async with asyncio.timeout(_BODY_TIMEOUT):
            return msgspec.json.decode(await request.read(), type=kind)
    except web.HTTPRequestEntityTooLarge as error:
        raise _Refused(413, ErrorKind.INVALID_REQUEST, "the body is too large") from error
    except TimeoutError as error:
        raise _Refused(408, ErrorKind.INVALID_REQUEST, "the body did not arrive in time") from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise _Refused(400, ErrorKind.INVALID_REQUEST, "the body could not be read") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _Refused(
            400, ErrorKind.INVALID_REQUEST, "the body is no JSON of this protocol"
        ) from error


def _error(status: int, reply: ErrorReply) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(reply), content_type="application/json"
    )
