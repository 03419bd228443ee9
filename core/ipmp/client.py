"""Client of the daemon's status and control API (docs/api.md): HTTP/1.1 over two Unix sockets.

Synchronous and light on purpose: `if_mpadm` and `ipmpstat` must start fast, so nothing is imported
but the socket (`exchange`) and the shared model. One request is one connection; a `Client` holds no
state and may be shared between threads.

Every failure is a `ClientError` whose text is one sentence for people.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from ipmp.exchange import (
    AccessDenied,
    ClientError,
    DaemonTimeout,
    DaemonUnavailable,
    Exchange,
    ProtocolError,
)
from ipmp.model import (
    Event,
    OperationRequest,
    OperationResult,
    ProbeReport,
    Problem,
    ProblemCode,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "OPERATION_TIMEOUT",
    "QUERY_TIMEOUT",
    "STREAM_TIMEOUT",
    "AccessDenied",
    "Client",
    "ClientError",
    "DaemonTimeout",
    "DaemonUnavailable",
    "Operation",
    "ProblemError",
    "ProtocolError",
    "default_run_dir",
    "is_device_name",
    "quote",
]

QUERY_TIMEOUT = 5.0  # seconds; Solaris' IPMP_REQTIMEOUT
OPERATION_TIMEOUT = 120.0  # a drain is answered when verified, or when its own limit has passed
STREAM_TIMEOUT = 40.0  # the daemon sends an empty line every 15 s

Operation = Literal["offline", "online", "hold", "release"]

T = TypeVar("T")

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# What the kernel accepts as a device name (dev_valid_name): short, printable, no slash, no colon.
_DEVICE_NAME = re.compile(r"(?!\.{1,2}\Z)[^\s/:\x00]{1,15}\Z")


def default_run_dir() -> str:
    """Return where the daemon's sockets are if no flag says so: $IPMP_RUN_DIR, else /run/ipmp."""
    return os.environ.get("IPMP_RUN_DIR") or "/run/ipmp"


class ProblemError(ClientError):
    """The daemon refused; `problem` is its answer."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class _Explanation(msgspec.Struct):
    sentences: tuple[str, ...]


class _Generation(msgspec.Struct):
    generation: int


class Client:
    """Speaks to the daemon whose sockets are in `run_dir` (default: $IPMP_RUN_DIR, /run/ipmp)."""

    def __init__(self, run_dir: Path | str | None = None) -> None:
        self.run_dir = os.fspath(run_dir or default_run_dir())

    def status(self, timeout: float = QUERY_TIMEOUT) -> Status:
        """Return one consistent snapshot of groups, members, addresses and the daemon."""
        return _decode(self._get("/v1/status", timeout), Status)

    def history(
        self,
        *,
        limit: int | None = None,
        since: float | None = None,
        group: str | None = None,
        interface: str | None = None,
        address: str | None = None,
        kind: str | None = None,
    ) -> list[Event]:
        """Return what happened, newest last; `since` is Unix time, `limit` the last so many."""
        query = _query(
            limit=limit, since=since, group=group, interface=interface, address=address, kind=kind
        )
        return _decode(self._get("/v1/history" + query, QUERY_TIMEOUT), list[Event])

    def events(self, since: int | None = None) -> Iterator[Event]:
        """Yield the events after number `since`, then live ones, until the daemon stops."""
        return self._stream("/v1/events" + _query(since=since), Event)

    def probes(self) -> Iterator[ProbeReport]:
        """Yield the probes that are answered or lost from now on, until the daemon stops."""
        return self._stream("/v1/probes", ProbeReport)

    def explain(self, name: str) -> tuple[str, ...]:
        """Return the sentences that explain a group, an interface or an address."""
        return _decode(
            self._get(f"/v1/explain/{quote(name)}", QUERY_TIMEOUT), _Explanation
        ).sentences

    def operate(
        self, operation: Operation, interface: str, request: OperationRequest | None = None
    ) -> OperationResult:
        """Take `interface` offline or online, hold or release it; raise ProblemError if refused."""
        if not is_device_name(interface):
            raise ProblemError(_not_a_device(interface))
        target = f"/v1/interfaces/{quote(interface)}/{operation}"
        return _decode(self._post(target, request or OperationRequest()), OperationResult)

    def forget(self, address: str, request: OperationRequest | None = None) -> OperationResult:
        """Retire an adopted data address: it is removed from its member. ProblemError if refused.

        `address` with or without its prefix length.
        """
        target = f"/v1/addresses/{quote(address)}/forget"
        return _decode(self._post(target, request or OperationRequest()), OperationResult)

    def pause(self, request: OperationRequest) -> None:
        """Pause remediation on this host; the daemon's own failover goes on."""
        self._post("/v1/pause", request)

    def resume(self, request: OperationRequest | None = None) -> None:
        """Let remediation act again."""
        self._post("/v1/resume", request or OperationRequest())

    def remediation(self, name: str) -> tuple[str, ...]:
        """Return what the remediator of this host says about an interface or a group."""
        return self._remediator("GET", f"/v1/explain/{quote(name)}")

    def approvals(self) -> tuple[str, ...]:
        """Return the drains that wait for an approval, a line for each."""
        return self._remediator("GET", "/v1/approvals")

    def approve(self, id: str) -> tuple[str, ...]:
        """Let a drain that waits for it go on; ProblemError when none has this ID."""
        return self._remediator("POST", f"/v1/approvals/{quote(id)}")

    def reload(self) -> int:
        """Make the daemon read its configuration again; return the new generation."""
        return _decode(self._post("/v1/reload", OperationRequest()), _Generation).generation

    def _remediator(self, method: str, target: str) -> tuple[str, ...]:
        path = self._socket("remediator/remediator.sock")
        return _decode(_request(path, method, target, b"", QUERY_TIMEOUT), _Explanation).sentences

    def _socket(self, name: str) -> str:
        return os.path.join(self.run_dir, name)

    def _stream(self, target: str, kind: type[T]) -> Iterator[T]:
        path = self._socket("status.sock")
        with Exchange(path, "GET", target, b"", STREAM_TIMEOUT) as http:
            if http.status != 200:
                raise _refusal(http.status, http.read())
            for line in http.lines():
                if line.strip():
                    yield _decode(line, kind)

    def _get(self, target: str, timeout: float) -> bytes:
        return _request(self._socket("status.sock"), "GET", target, b"", timeout)

    def _post(self, target: str, request: OperationRequest) -> bytes:
        body = msgspec.json.encode(request)
        return _request(self._socket("control.sock"), "POST", target, body, OPERATION_TIMEOUT)


def is_device_name(name: str) -> bool:
    """Say whether the kernel could have an interface of this name."""
    return bool(_DEVICE_NAME.match(name)) and len(os.fsencode(name)) <= 15


def _not_a_device(name: str) -> Problem:
    """What the daemon would say; `ni0:1` is the name of a logical interface, as Solaris has it."""
    if ":" in name:
        detail = f"{name} is a logical interface, not a member of a group"
        return Problem(ProblemCode.NOT_IN_GROUP, detail, 409)
    detail = f"{name!r} cannot be the name of an interface"
    return Problem(ProblemCode.UNKNOWN_INTERFACE, detail, 404)


def quote(text: str) -> str:
    """Percent-encode one path segment or query value (RFC 3986, everything but unreserved)."""
    raw = text.encode(errors="surrogateescape")
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in raw)


def _query(**fields: str | float | None) -> str:
    given = [f"{name}={quote(str(value))}" for name, value in fields.items() if value is not None]
    return "?" + "&".join(given) if given else ""


def _request(path: str, method: str, target: str, body: bytes, timeout: float) -> bytes:
    """Return the body of a successful answer, or raise what the failure means."""
    with Exchange(path, method, target, body, timeout) as http:
        answer = http.read()
    if http.status // 100 != 2:
        raise _refusal(http.status, answer)
    return answer


def _decode(raw: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"the answer of mpathd is not understood ({error})") from error


def _refusal(status: int, body: bytes) -> ClientError:
    try:
        return ProblemError(msgspec.json.decode(body, type=Problem))
    except msgspec.DecodeError:
        return ProtocolError(f"mpathd answered with HTTP status {status}")
