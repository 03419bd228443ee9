"""NETLINK_ROUTE events: what anybody changed, as the kernel tells it."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from ipmp.kernel.netlink import RECEIVE_BYTES, SOL_NETLINK, Message, messages, open_socket

NETLINK_ADD_MEMBERSHIP = 1
NETLINK_DROP_MEMBERSHIP = 2

EVENT_BUFFER_BYTES = 8 << 20
EVENT_DATAGRAMS = 256  # read at a stretch


class Events:
    """The event socket; never used for requests (pyroute2-eval 1.2: the two get mixed up)."""

    def __init__(self, groups: Sequence[int]) -> None:
        self._socket = open_socket(EVENT_BUFFER_BYTES)
        self._socket.setblocking(False)
        for group in groups:
            self.join(group)

    def fileno(self) -> int:
        """File descriptor, for the loop's reader."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def join(self, group: int) -> None:
        """Listen to a multicast group (RTNLGRP_*)."""
        self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

    def leave(self, group: int) -> None:
        """Stop listening to a multicast group."""
        self._socket.setsockopt(SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, group)

    def read(self) -> tuple[list[Message], bool]:
        """Events that wait, and whether the kernel had to drop some (ENOBUFS).

        Bounded, so that a storm does not hold the loop: call again while it is readable.
        """
        found: list[Message] = []
        overrun = False
        for _ in range(EVENT_DATAGRAMS):
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                overrun = True
                continue
            found.extend(messages(data))
        return found, overrun
