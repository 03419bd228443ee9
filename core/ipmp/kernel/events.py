"""NETLINK_ROUTE events: what anybody changed, as the kernel tells it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from ipmp.kernel import bpf, codec, route_codec
from ipmp.kernel.netlink import (
    HEADER,
    RECEIVE_BYTES,
    SOL_NETLINK,
    Message,
    attributes,
    messages,
    open_socket,
)
from ipmp.world import AF_INET

NETLINK_ADD_MEMBERSHIP = 1
NETLINK_DROP_MEMBERSHIP = 2

EVENT_BUFFER_BYTES = 8 << 20
#: Where a message has its type, who caused it, and a route its table.
TYPE, PORT, TABLE = 4, 12, HEADER.size + 4
EVENT_DATAGRAMS = 256  # read at a stretch


class Events:
    """The event socket; never used for requests (pyroute2-eval 1.2: the two get mixed up)."""

    def __init__(self, groups: Sequence[int], ignored_port: int | None = None) -> None:
        """Listen to some groups; with a port, not to what it caused, nor to local routes."""
        self._socket = open_socket(EVENT_BUFFER_BYTES)
        self._socket.setblocking(False)
        if ignored_port is not None:
            bpf.attach(self._socket, _all_but(ignored_port))
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


def _all_but(port: int) -> list[bpf.Instruction]:
    """Neither what this port has caused nor the local table, which follows the addresses.

    A move of thousands of addresses would wake the loop four times for each. BPF loads network byte
    order, netlink has the host's.
    """
    return [
        (bpf.LD_W_ABS, 0, 0, PORT),
        (bpf.JEQ_K, 6, 0, socket.htonl(port)),
        (bpf.LD_H_ABS, 0, 0, TYPE),
        (bpf.JEQ_K, 1, 0, socket.htons(codec.RTM_NEWROUTE)),
        (bpf.JEQ_K, 0, 2, socket.htons(codec.RTM_DELROUTE)),
        (bpf.LD_B_ABS, 0, 0, TABLE),
        (bpf.JEQ_K, 1, 0, route_codec.TABLE_LOCAL),
        (bpf.RET_K, 0, 0, RECEIVE_BYTES),
        (bpf.RET_K, 0, 0, 0),
    ]


def is_local_route(message: Message) -> tuple[int, str] | None:
    """(ifindex, address) when this is the kernel's own local route of an IPv6 address."""
    if message.type != codec.RTM_NEWROUTE:
        return None
    family, length, _, _, table, _, _, _, _ = route_codec.RTMSG.unpack_from(message.payload)
    if family == AF_INET or length != 128 or table != route_codec.TABLE_LOCAL:
        return None
    found = dict(attributes(message.payload, route_codec.RTMSG.size))
    if route_codec.RTA_OIF not in found or route_codec.RTA_DST not in found:
        return None
    address = socket.inet_ntop(socket.AF_INET6, found[route_codec.RTA_DST])
    return int(codec.U32.unpack(found[route_codec.RTA_OIF])[0]), address
