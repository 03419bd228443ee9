"""The requests of docs/api.md: decoded, checked, handed to the controller, answered."""

from __future__ import annotations

import re
from http import HTTPStatus
from ipaddress import ip_address
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from ipmp.api.controller import Controller
from ipmp.api.once import Once
from ipmp.api.problems import InvalidRequest, problem
from ipmp.api.sockets import Actors
from ipmp.api.stream import Streams
from ipmp.decision import Decision, Kind, Reason, Refusal
from ipmp.model import OperationRequest, ProblemCode, Status

MAX_REASON = 500  # characters
MAX_REQUEST_ID = 128

_PROGRAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@/ -]{0,63}")
_ADDRESS = re.compile(r"([0-9A-Fa-f.:]{2,45})((?:/[0-9]{1,3}(?: peer [0-9.]{7,15})?)?)")
_INTERFACE = re.compile(r"[^\s/:]{1,15}")

_encode = msgspec.json.Encoder().encode
_decode_request = msgspec.json.Decoder(OperationRequest).decode

T = TypeVar("T")


class _HistoryQuery(msgspec.Struct, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100
    since: float = 0.0
    group: str = ""
    interface: str = ""
    address: str = ""
    kind: Kind | None = None


class _EventsQuery(msgspec.Struct, forbid_unknown_fields=True):
    since: Annotated[int, Meta(ge=0)] | None = None


class Handlers:
    """One method for each request."""

    def __init__(self, controller: Controller, streams: Streams, once: Once) -> None:
        self._controller = controller
        self._streams = streams
        self._once = once
        self._actors = Actors()
        self._encoded: tuple[Status, bytes] | None = None

    def reading(self) -> list[web.RouteDef]:
        """Return the routes that change nothing."""
        return [
            web.get("/v1/status", self.status, allow_head=False),
            web.get("/v1/events", self.events, allow_head=False),
            web.get("/v1/probes", self.probes, allow_head=False),
            web.get("/v1/history", self.history, allow_head=False),
            web.get("/v1/explain/{object:.+}", self.explain, allow_head=False),
        ]

    def changing(self) -> list[web.RouteDef]:
        """Return the routes that operate."""
        return [
            web.post("/v1/interfaces/{name}/{operation:offline|online|hold|release}", self.operate),
            web.post("/v1/addresses/{address:.+}/forget", self.forget),
            web.post("/v1/pause", self.pause),
            web.post("/v1/resume", self.resume),
            web.post("/v1/reload", self.reload),
        ]

    async def status(self, request: web.Request) -> web.Response:
        """`GET /v1/status`; encoded once for each change, as 10,000 addresses take 2 ms."""
        status = self._controller.status()
        if self._encoded is None or self._encoded[0] is not status:
            self._encoded = (status, _encode(status))
        return _json(self._encoded[1])

    async def events(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/events`."""
        return await self._streams.events(request, _query(request, _EventsQuery).since)

    async def probes(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/probes`."""
        return await self._streams.probes(request)

    async def history(self, request: web.Request) -> web.Response:
        """`GET /v1/history`."""
        query = msgspec.structs.asdict(_query(request, _HistoryQuery))
        return _json(_encode(await self._controller.history.query(**query)))

    async def explain(self, request: web.Request) -> web.Response:
        """`GET /v1/explain/{object}`."""
        name = request.match_info["object"]
        sentences = await self._controller.explain(name)
        if sentences is None:
            return problem(
                HTTPStatus.NOT_FOUND,
                ProblemCode.UNKNOWN_INTERFACE,
                f"{_printable(name)} is not a group, a member or a data address of this host",
            )
        return _json(_encode({"object": name, "sentences": sentences}))

    async def operate(self, request: web.Request) -> web.Response:
        """`POST /v1/interfaces/{name}/{operation}`."""
        name, operation = request.match_info["name"], request.match_info["operation"]
        if not _INTERFACE.fullmatch(name) or not name.isprintable():
            shown = _printable(name)
            raise Refusal(Decision(Kind.REFUSED, Reason.UNKNOWN_INTERFACE, interface=shown))
        order = await _order(request)
        if operation == "hold" and not order.reason:
            raise InvalidRequest(
                "a hold needs a reason, for whoever finds it later", HTTPStatus.UNPROCESSABLE_ENTITY
            )
        return await self._carry_out(request, operation, name, order)

    async def forget(self, request: web.Request) -> web.Response:
        """`POST /v1/addresses/{address}/forget`."""
        address = _address(request.match_info["address"])
        return await self._carry_out(request, "forget", address, await _order(request))

    async def _carry_out(
        self, request: web.Request, operation: str, subject: str, order: OperationRequest
    ) -> web.Response:
        actor = await self._actors.of(request, order.actor)
        if not order.request_id:
            return _json(_encode(await self._controller.operate(operation, subject, order, actor)))
        result = await self._once.run(
            order.request_id,
            (operation, subject, order.dry_run),
            lambda: self._controller.operate(operation, subject, order, actor),
        )
        return _json(_encode(result))

    async def pause(self, request: web.Request) -> web.Response:
        """`POST /v1/pause`."""
        order = await _order(request)
        await self._controller.pause(order, await self._actors.of(request, order.actor))
        return _json(b"{}")

    async def resume(self, request: web.Request) -> web.Response:
        """`POST /v1/resume`."""
        order = await _order(request)
        await self._controller.resume(order, await self._actors.of(request, order.actor))
        return _json(b"{}")

    async def reload(self, request: web.Request) -> web.Response:
        """`POST /v1/reload`."""
        order = await _order(request)
        actor = await self._actors.of(request, order.actor)
        return _json(_encode({"generation": await self._controller.reload(actor)}))


def _address(text: str) -> str:
    """Return an address as the kernel spells it, with prefix length and peer if given."""
    match = _ADDRESS.fullmatch(text)
    try:
        if match is not None:
            return f"{ip_address(match[1])}{match[2]}"
    except ValueError:
        pass  # it only looked like one
    raise Refusal(Decision(Kind.REFUSED, Reason.UNKNOWN_ADDRESS, address=_printable(text)))


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", charset="utf-8")


def _query(request: web.Request, kind: type[T]) -> T:
    try:
        return msgspec.convert(dict(request.query), kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"the query is not valid: {error}") from None


async def _order(request: web.Request) -> OperationRequest:
    """Return the body; none is an empty one. What it says goes into logs and onto terminals."""
    body = await request.read()
    try:
        order = _decode_request(body) if body.strip() else OperationRequest()
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body is not a valid request: {error}") from None
    _require_line("reason", order.reason, MAX_REASON)
    _require_line("request_id", order.request_id, MAX_REQUEST_ID)
    if order.actor and not _PROGRAM.fullmatch(order.actor):
        raise InvalidRequest(
            "actor is the name of a program: up to 64 letters, digits, blanks or _.:@/-",
            HTTPStatus.UNPROCESSABLE_ENTITY,
        )
    return order


def _require_line(field: str, text: str, longest: int) -> None:
    if len(text) > longest or not text.isprintable():
        raise InvalidRequest(
            f"{field} must be one line of up to {longest} printable characters",
            HTTPStatus.UNPROCESSABLE_ENTITY,
        )


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:64])
