"""Sockets that are bound to an interface (SO_BINDTODEVICE), asked of the kernel's sock_diag.

The kernel itself picks them out, by a one-instruction filter on the interface, so a host with a
hundred thousand connections answers as fast as an idle one. Layouts and codes:
linux:include/uapi/linux/inet_diag.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from ipmp.kernel.listing import NETLINK_SOCK_DIAG, dump
from ipmp.kernel.netlink import NLM_F_DUMP, attribute, request

PROC = Path("/proc")

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
    port: int  # of a raw one: its protocol
    inode: int  # by which /proc/PID/fd names it
    owner: str = ""  # "dnsmasq (pid 71)", when that was asked for

    @property
    def name(self) -> str:
        """What it is, and whose."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        whose = f" of {self.owner}" if self.owner else ""
        return f"{self.protocol} {host}:{self.port}{whose}"


def bound_sockets(ifindex: int) -> list[BoundSocket]:
    """Return the sockets of this network namespace that are bound to an interface.

    Left out: those on an IPv6 link-local address, which the kernel binds by itself and which never
    moves, and those that ping through it, such as our own probes. Raises OSError.
    """
    return [
        found
        for name, protocol in PROTOCOLS.items()
        for family in (socket.AF_INET, socket.AF_INET6)
        for payload in dump(NETLINK_SOCK_DIAG, _request(family, protocol, ifindex))
        for found in _parse(name, payload, ifindex)
    ]


def with_owners(sockets: Iterable[BoundSocket]) -> tuple[BoundSocket, ...]:
    """Find out which program has each socket: a walk through /proc/*/fd, for root and for people.

    Those of other users' programs stay without an owner where we may not look.
    """
    wanted = {f"socket:[{found.inode}]": found for found in sockets}
    owned: dict[str, BoundSocket] = {}
    for process in PROC.glob("[0-9]*") if wanted else ():
        with suppress(OSError):  # it has ended, or is not ours to look into
            for name in wanted.keys() & _open_files(process):
                program = (process / "comm").read_text().strip()
                owner = f"{program} (pid {process.name})"
                owned.setdefault(name, msgspec.structs.replace(wanted[name], owner=owner))
    return tuple(owned.get(name, found) for name, found in wanted.items())


def _open_files(process: Path) -> set[str]:
    found = set()
    for descriptor in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # just closed
            found.add(os.readlink(descriptor))
    return found


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
    address, number = socket.inet_ntop(family, packed), PORT.unpack(port)[0]
    pings = protocol == "raw" and number in (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6)
    if bound == ifindex and not pings and not address.startswith("fe80:"):
        yield BoundSocket(protocol, address, number, inode)
