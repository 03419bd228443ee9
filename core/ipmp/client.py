"""Client of the daemon's status and control API (docs/api.md): HTTP/1.1 over two Unix sockets.

Synchronous and light on purpose: `if_mpadm` and `ipmpstat` must start fast, so this module speaks
the little HTTP it needs itself and imports nothing but the socket and the shared model. One request
is one connection; a `Client` holds no state and may be shared between threads.

Every failure is a `ClientError` whose text is one sentence for people.
"""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

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
    from collections.abc import Iterator, Mapping
    from io import BufferedReader
    from pathlib import Path

QUERY_TIMEOUT = 5.0  # seconds; Solaris' IPMP_REQTIMEOUT
OPERATION_TIMEOUT = 120.0  # a drain is answered when verified, or when its own limit has passed
STREAM_TIMEOUT = 40.0  # the daemon sends an empty line every 15 s

Operation = Literal["offline", "online", "hold", "release"]

T = TypeVar("T")

_LINE_LIMIT = 65536
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# What the kernel accepts as a device name (dev_valid_name): short, printable, no slash, no colon.
_DEVICE_NAME = re.compile(r"(?!\.{1,2}\Z)[^\s/:\x00]{1,15}\Z")


def default_run_dir() -> str:
    """Return where the daemon's sockets are if no flag says so: $IPMP_RUN_DIR, else /run/ipmp."""
    return os.environ.get("IPMP_RUN_DIR") or "/run/ipmp"


class ClientError(Exception):
    """A request that got no usable answer; the text says why in one sentence."""


class DaemonUnavailable(ClientError):
    """Nothing listens on the socket: the daemon is not running, or runs with another run_dir."""


class AccessDenied(ClientError):
    """The permissions of the socket do not let this user in."""


class DaemonTimeout(ClientError):
    """The daemon did not answer in time."""


class ProtocolError(ClientError):
    """The answer is not what the API promises: another program or another version."""


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
        with _Exchange(path, "GET", target, b"", STREAM_TIMEOUT) as http:
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
    with _Exchange(path, method, target, body, timeout) as http:
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


class _Exchange:
    """One request and its answer; a context manager that closes the connection."""

    def __init__(self, path: str, method: str, target: str, body: bytes, timeout: float) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(timeout)
        self._input: BufferedReader = self._socket.makefile("rb")
        self._head = (
            f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode("ascii")
        self._body = body
        self.status = 0
        self.headers: Mapping[str, str] = {}

    def __enter__(self) -> _Exchange:
        try:
            self._socket.connect(self._path)
            self._socket.sendall(self._head + self._body)
            self.status, self.headers = self._read_head()
        except OSError as error:
            self.__exit__()
            raise self._failure(error) from error
        except ClientError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._input.close()
        self._socket.close()

    def read(self) -> bytes:
        """Return the whole body."""
        return b"".join(self._pieces())

    def lines(self) -> Iterator[bytes]:
        """Yield the body line by line, as it arrives."""
        rest = b""
        for piece in self._pieces():
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def _pieces(self) -> Iterator[bytes]:
        """Yield the body in the pieces that the transfer coding makes."""
        try:
            if self.headers.get("transfer-encoding", "").lower() == "chunked":
                yield from self._chunks()
            elif "content-length" in self.headers:
                yield self._exactly(_number(self.headers["content-length"], 10))
            else:
                yield self._input.read()
        except OSError as error:
            raise self._failure(error) from error

    def _chunks(self) -> Iterator[bytes]:
        while size := _number(self._line().partition(";")[0], 16):
            yield self._exactly(size)
            self._line()  # the line end after each chunk
        while self._line():  # trailers
            pass

    def _read_head(self) -> tuple[int, dict[str, str]]:
        version, _, rest = self._line().partition(" ")
        if not version.startswith("HTTP/1."):
            raise ProtocolError(f"what answers at {self._path} is not mpathd")
        headers = {}
        while line := self._line():
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return _number(rest[:3], 10), headers

    def _line(self) -> str:
        raw = self._input.readline(_LINE_LIMIT)
        if not raw.endswith(b"\n"):
            raise self._cut()
        return raw.rstrip(b"\r\n").decode("latin-1")

    def _exactly(self, size: int) -> bytes:
        data = self._input.read(size)
        if len(data) != size:
            raise self._cut()
        return data

    def _cut(self) -> ProtocolError:
        return ProtocolError(f"mpathd closed the connection at {self._path} before it had answered")

    def _failure(self, error: OSError) -> ClientError:
        """Translate what the socket layer said."""
        if isinstance(error, TimeoutError | BlockingIOError):  # the latter: its backlog is full
            return DaemonTimeout(f"mpathd at {self._path} did not answer in time")
        if isinstance(error, PermissionError):
            group = "ipmp-admin" if self._path.endswith("control.sock") else "ipmp"
            return AccessDenied(
                f"no permission to use {self._path}: be root or join the group {group}"
            )
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return DaemonUnavailable(f"cannot contact mpathd at {self._path}: is it running?")
        if isinstance(error, ConnectionResetError | BrokenPipeError):
            return self._cut()
        return DaemonUnavailable(f"cannot contact mpathd at {self._path}: {error}")


def _number(text: str, base: int) -> int:
    try:
        value = int(text, base)
    except ValueError:
        value = -1
    if value < 0:
        raise ProtocolError(f"the answer of mpathd has no number where {text!r} stands")
    return value
