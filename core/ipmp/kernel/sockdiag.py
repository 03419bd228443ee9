"""Sockets that are bound to an interface (SO_BINDTODEVICE), asked of the kernel's sock_diag.

The kernel itself picks them out, by a one-instruction filter on the interface, so a host with a
hundred thousand connections answers as fast as an idle one. Layouts and codes:
linux:include/uapi/linux/inet_diag.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import msgspec

from ipmp.kernel.listing import NETLINK_SOCK_DIAG, dump
from ipmp.kernel.netlink import NLM_F_DUMP, attribute, request

SOCK_DIAG_BY_FAMILY = 20
INET_DIAG_REQ_BYTECODE = 1
INET_DIAG_BC_DEV_COND = 9

#: All states but those of connections that are not open yet or are over (SYN-RECV, TIME-WAIT).
LIVE_STATES = 0xFFFFFFFF & ~(1 << 3 | 1 << 6 | 1 << 12)
#: Asking for another protocol would load its module.
PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "raw": socket.IPPROTO_RAW}

REQUEST = struct.Struct("=BBBxI48x")  # family, protocol, extensions, states; no socket id
CONDITION = struct.Struct("=BBHI")  # code, jump if true, jump if false, interface index
ANSWER = struct.Struct(
    "=B3x2s2x16s16xI20x4xI"
)  # family, local port, local address, interface, inode
PORT = struct.Struct("!H")


class BoundSocket(msgspec.Struct, frozen=True):
    """One socket that sends and receives through one interface only."""

    protocol: str  # tcp, udp or raw
    address: str  # its local address
    port: int
    inode: int  # by which /proc/PID/fd names it

    @property
    def name(self) -> str:
        """As ss(8) prints it."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.protocol} {host}:{self.port}"


def bound_sockets(ifindex: int) -> list[BoundSocket]:
    """Return the sockets of this network namespace that are bound to an interface.

    Left out: those on an IPv6 link-local address, which the kernel binds by itself and which never
    moves. Raises OSError.
    """
    return [
        found
        for name, protocol in PROTOCOLS.items()
        for family in (socket.AF_INET, socket.AF_INET6)
        for payload in dump(NETLINK_SOCK_DIAG, _request(family, protocol, ifindex))
        for found in _parse(name, payload, ifindex)
    ]


def _request(family: int, protocol: int, ifindex: int) -> bytes:
    """A dump request; its filter jumps behind its end when the interface is another one."""
    length = CONDITION.size
    condition = CONDITION.pack(INET_DIAG_BC_DEV_COND, length, length + 4, ifindex)
    body = REQUEST.pack(family, protocol, 0, LIVE_STATES)
    body += attribute(INET_DIAG_REQ_BYTECODE, condition)
    return request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, body)


def _parse(protocol: str, payload: bytes, ifindex: int) -> Iterator[BoundSocket]:
    family, port, source, bound, inode = ANSWER.unpack_from(payload)
    packed = source if family == socket.AF_INET6 else source[:4]
    address = socket.inet_ntop(family, packed)
    if bound == ifindex and not address.startswith("fe80:"):
        yield BoundSocket(protocol, address, PORT.unpack(port)[0], inode)
