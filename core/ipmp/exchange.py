"""One HTTP/1.1 exchange with the daemon over a Unix socket, and what may become of it.

The little of HTTP that is needed: `Connection: close`, a body of a stated length or in chunks, and
lines of a stream. Every failure is a `ClientError` whose text is one sentence for people.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from io import BufferedReader

_LINE_LIMIT = 65536


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


class Exchange:
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

    def __enter__(self) -> Exchange:
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
