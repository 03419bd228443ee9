"""A service manager's end of sd_notify(3): a datagram socket that remembers what it is told."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.wait import eventually, patience


class Manager:
    """What a service has told so far: one dictionary of assignments for each datagram."""

    def __init__(self, listener: socket.socket, address: str) -> None:
        self.address = address  # for $NOTIFY_SOCKET
        self.told: list[dict[str, str]] = []
        self._listener = listener

    def hear(self) -> list[dict[str, str]]:
        """Take in everything that has arrived; returns all that was ever told."""
        while True:
            try:
                datagram = self._listener.recv(65536).decode()
            except BlockingIOError:
                return self.told
            self.told.append(dict(line.split("=", 1) for line in datagram.splitlines()))

    def times(self, name: str, value: str | None = None) -> int:
        """How often something was told; any value if none is given."""
        heard = (d[name] for d in self.hear() if name in d)
        return sum(value in (None, told) for told in heard)

    def await_told(self, name: str, value: str, times: int = 1, timeout: float = 10.0) -> None:
        """Wait until it has been told so often."""
        eventually(lambda: self.times(name, value) >= times, timeout)

    def is_told_nothing(self, seconds: float) -> bool:
        """Listen for so long, longer on slow machines; whether nothing arrived."""
        arrived, _, _ = select.select([self._listener], [], [], patience(seconds))
        return not arrived


@contextmanager
def listening(address: str) -> Iterator[Manager]:
    """Listen at a path, or at an abstract address if it begins with @."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.setblocking(False)
        listener.bind("\0" + address[1:] if address.startswith("@") else address)
        yield Manager(listener, address)


def manager_in(directory: Path) -> Iterator[Manager]:
    """Yield one in a directory; for fixtures."""
    with listening(str(directory / "notify.sock")) as manager:
        yield manager
