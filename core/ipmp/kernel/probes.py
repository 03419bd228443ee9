"""The sockets of probing: a path's probes go out of its member only, and answers come in there.

All sockets of a group hang on one epoll descriptor, so that one reader serves them and one call
drains them.
"""

from __future__ import annotations

import asyncio
import errno
import select
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from ipmp.kernel.channels import Channel, EchoChannel, FrameChannel
from ipmp.kernel.stamps import clock_offset
from ipmp.model import Family
from ipmp.probing import Method, Path, Probe, Reply

READ_AT_ONCE = 256  # packets of each socket

Key = tuple[str, Family, Method]


class ProbeSockets:
    """The sockets of all paths of a group."""

    def __init__(self, readable: Callable[[], None]) -> None:
        """`readable` is called by the running loop while any reply waits."""
        self._epoll = select.epoll()
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), readable)
        self._channels: dict[Key, Channel] = {}
        self._by_descriptor: dict[int, Channel] = {}
        self._heard: frozenset[str] = frozenset()

    def sync(self, paths: Iterable[Path]) -> list[tuple[Path, OSError]]:
        """Open what is missing and close what is gone; returns the paths that could not be opened.

        Those are tried again by the next call. A path whose link goes down and up stays open.
        """
        wanted = {
            (path.member, path.family, method): replace(path, link=True)
            for path in paths
            for method in _methods(path)
        }
        for key in [*self._channels]:
            if wanted.get(key) != self._channels[key].path:
                self._close(key)
        refused: list[tuple[Path, OSError]] = []
        for key, path in wanted.items():
            if key not in self._channels:
                try:
                    self._open(key, path)
                except OSError as error:
                    refused.append((path, error))
        return refused

    def listen(self, heard: frozenset[str]) -> None:
        """Also take in what these silent targets say of their own (`Engine.silent`)."""
        if heard == self._heard:
            return
        self._heard = heard
        for channel in self._channels.values():
            if isinstance(channel, FrameChannel):
                channel.listen(heard)

    def send(self, probe: Probe) -> OSError | None:
        """Send one probe; the error if the kernel refused it.

        A full queue is no error: the probe counts as sent, so that a stuck driver is noticed.
        """
        channel = self._channels.get((probe.member, probe.family, probe.method))
        if channel is None:
            return OSError(errno.ENODEV, "its socket is not open")
        try:
            channel.send(probe)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ENOBUFS):
                return error
        return None

    def read(self) -> list[Reply]:
        """Every reply that waits (of a flood, the first ones: it must not hold the loop)."""
        replies: list[Reply] = []
        offset = clock_offset()
        for _ in range(READ_AT_ONCE):
            ready = self._epoll.poll(0)
            if not ready:
                break
            for descriptor, _ in ready:
                reply = self._by_descriptor[descriptor].read(offset)
                if reply is not None:
                    replies.append(reply)
        return replies

    def close(self) -> None:
        """Close all sockets."""
        for key in [*self._channels]:
            self._close(key)
        asyncio.get_running_loop().remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _open(self, key: Key, path: Path) -> None:
        kind: Callable[[Path], Channel] = EchoChannel if key[2] is Method.ICMP else FrameChannel
        channel = kind(path)
        if isinstance(channel, FrameChannel) and self._heard:
            channel.listen(self._heard)
        self._channels[key] = self._by_descriptor[channel.socket.fileno()] = channel
        self._epoll.register(channel.socket.fileno(), select.EPOLLIN)

    def _close(self, key: Key) -> None:
        channel = self._channels.pop(key)
        self._epoll.unregister(channel.socket.fileno())
        del self._by_descriptor[channel.socket.fileno()]
        channel.socket.close()


def _methods(path: Path) -> tuple[Method, ...]:
    """ICMPv6 can only ask link-local targets; a path of it asks the others by solicitation."""
    if path.method is Method.ICMP and path.family is Family.IPV6:
        return Method.ICMP, Method.ARP
    return (path.method,)
