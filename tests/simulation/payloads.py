"""Addresses and routes as the simulated kernel holds them, and the netlink payloads of their dumps.

Payloads are real ones: the daemon learns what it knows of an address or route through its own
codec, and what it sends back is decoded here from the bytes that it would send to Linux.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from functools import lru_cache

from ipmp.kernel import codec
from ipmp.kernel.netlink import HEADER, attribute, attributes
from ipmp.world import (
    AF_INET,
    AF_INET6,
    IFA_F_PERMANENT,
    IFA_F_TENTATIVE,
    SCOPE_LINK,
    Address,
    Route,
    RouteKey,
)

IFA_BROADCAST, IFA_RT_PRIORITY = 4, 9
RTA_METRICS, RTA_PREF = 8, 20
TABLE_COMPAT = 252
FOREVER = 0xFFFFFFFF
#: Flags that IPv4 does not keep (linux:net/ipv4/devinet.c, IPV6ONLY_FLAGS).
IPV6_ONLY = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x100


class Held:
    """One address on one device."""

    __slots__ = (
        "_address",
        "_flags",
        "extra",
        "family",
        "ifindex",
        "key",
        "label",
        "outside",
        "proto",
        "scope",
        "text",
    )

    def __init__(
        self,
        key: str,
        ifindex: int,
        *,
        flags: int = IFA_F_PERMANENT,
        scope: int = 0,
        proto: int = 0,
        label: str = "",
        extra: bytes = b"",
    ) -> None:
        self.key = key
        self.text = key.partition("/")[0]
        self.family = AF_INET6 if ":" in key else AF_INET
        self.ifindex = ifindex
        self.scope, self.proto, self.label, self.extra = scope, proto, label, extra
        self.outside = False  # somebody else than the daemon has put it there
        self._flags = flags & ~IPV6_ONLY if self.family == AF_INET else flags
        self._address: Address | None = None

    @property
    def flags(self) -> int:
        """IFA_FLAGS as a dump shows them."""
        return self._flags

    @flags.setter
    def flags(self, flags: int) -> None:
        self._flags, self._address = flags, None

    @property
    def usable(self) -> bool:
        """Packets for it are taken: no duplicate address detection stands in the way."""
        return not self._flags & IFA_F_TENTATIVE

    def address(self, member: str) -> Address:
        """What the daemon makes of the dump."""
        if self._address is None:
            self._address = codec.parse_address(self._payload(), member)
        return self._address

    @property
    def configuration(self) -> tuple[object, ...]:
        """What must survive a move unchanged."""
        return self.key, self.scope, self._flags & codec.PORTABLE_FLAGS & ~0x02, self.extra

    def _payload(self) -> bytes:
        packed = socket.inet_pton(self.family, self.text)
        prefixlen = int(self.key.rpartition("/")[2])
        head = codec.IFADDRMSG.pack(
            self.family, prefixlen, self._flags & 0xFF, self.scope, self.ifindex
        )
        body = attribute(codec.IFA_ADDRESS, packed)
        if self.family == AF_INET:
            body += attribute(codec.IFA_LOCAL, packed)
        body += self.extra
        if self.family == AF_INET:
            body += attribute(codec.IFA_LABEL, self.label.encode() + b"\0")
        body += attribute(codec.IFA_FLAGS, codec.U32.pack(self._flags))
        if self.proto:
            body += attribute(codec.IFA_PROTO, bytes((self.proto,)))
        lifetime = FOREVER if self._flags & IFA_F_PERMANENT else 3600
        return (
            head + body + attribute(codec.IFA_CACHEINFO, codec.U32.pack(lifetime) * 2 + b"\0" * 8)
        )


def requested_address(message: bytes, name: str) -> Held:
    """What a RTM_NEWADDR message asks for, on the device called `name`."""
    payload = message[HEADER.size :]
    family, prefixlen, flags, scope, ifindex = codec.IFADDRMSG.unpack_from(payload)
    known = dict(attributes(payload, codec.IFADDRMSG.size))
    text = socket.inet_ntop(family, known.pop(codec.IFA_LOCAL, known[codec.IFA_ADDRESS]))
    del known[codec.IFA_ADDRESS]
    if codec.IFA_FLAGS in known:
        flags = codec.U32.unpack(known.pop(codec.IFA_FLAGS))[0]
    label = known.pop(codec.IFA_LABEL, name.encode() + b"\0")[:-1].decode()
    proto = known.pop(codec.IFA_PROTO, b"\0")[0]
    return Held(
        f"{text}/{prefixlen}",
        ifindex,
        flags=flags | IFA_F_PERMANENT,
        scope=scope,
        proto=proto,
        label=label,
        extra=_joined(known),
    )


class Entry:
    """One route in one table."""

    __slots__ = ("gateway", "ifindex", "key", "onlink", "parsed", "protocol", "raw", "source")

    def __init__(self, raw: bytes, device: str) -> None:
        head, known = codec.RTMSG.unpack_from(raw), dict(attributes(raw, codec.RTMSG.size))
        family, length, _, tos, table, self.protocol, _, _, flags = head
        if codec.RTA_TABLE in known:
            table = codec.U32.unpack(known[codec.RTA_TABLE])[0]
        metric = codec.U32.unpack(known.get(codec.RTA_PRIORITY, b"\0\0\0\0"))[0]
        destination = "default"
        if length:
            destination = f"{socket.inet_ntop(family, known[codec.RTA_DST])}/{length}"
        self.raw = raw
        self.key = RouteKey(family, table, destination, tos, metric)
        self.ifindex = codec.U32.unpack(known[codec.RTA_OIF])[0]
        self.gateway = _address(family, known.get(codec.RTA_GATEWAY))
        self.source = _address(family, known.get(codec.RTA_PREFSRC))
        self.onlink = bool(flags & codec.RTNH_F_ONLINK)
        self.parsed: Route | None = codec.parse_route(raw, device)

    @property
    def same_as(self) -> tuple[object, ...]:
        """What the kernel compares to find a duplicate (linux:net/ipv4/fib_semantics.c)."""
        return self.ifindex, self.gateway, self.source, self.protocol, self.onlink

    @property
    def configuration(self) -> tuple[object, ...]:
        """What must survive a move unchanged."""
        known = dict(attributes(self.raw, codec.RTMSG.size))
        del known[codec.RTA_OIF]
        known.pop(codec.RTA_CACHEINFO, None)
        return self.key, self.gateway, self.source, self.onlink, _joined(known)

    def without_source(self, device: str) -> Entry:
        """The same route after its preferred source address has vanished (IPv6)."""
        known = dict(attributes(self.raw, codec.RTMSG.size))
        del known[codec.RTA_PREFSRC]
        return Entry(self.raw[: codec.RTMSG.size] + _joined(known), device)


def route_payload(
    key: RouteKey,
    ifindex: int,
    *,
    gateway: str | None = None,
    source: str | None = None,
    protocol: int = 4,
    onlink: bool = False,
    mtu: int = 0,
) -> bytes:
    """A unicast route as a dump shows it; `mtu` stands for all attributes that merely tag along."""
    family, length, packed = key.family, 0, b""
    if key.destination != "default":
        network = ipaddress.ip_network(key.destination)
        length, packed = network.prefixlen, network.network_address.packed
    scope = SCOPE_LINK if family == AF_INET and gateway is None else 0
    table = key.table if key.table < 256 else TABLE_COMPAT
    flags = codec.RTNH_F_ONLINK if onlink else 0
    raw = codec.RTMSG.pack(family, length, 0, key.tos, table, protocol, scope, 1, flags)
    raw += attribute(codec.RTA_TABLE, codec.U32.pack(key.table))
    if length:
        raw += attribute(codec.RTA_DST, packed)
    if key.metric:
        raw += attribute(codec.RTA_PRIORITY, codec.U32.pack(key.metric))
    if source:
        raw += attribute(codec.RTA_PREFSRC, socket.inet_pton(family, source))
    if mtu:
        raw += attribute(RTA_METRICS, attribute(2, codec.U32.pack(mtu)))
    if gateway:
        raw += attribute(codec.RTA_GATEWAY, socket.inet_pton(family, gateway))
    raw += attribute(codec.RTA_OIF, codec.U32.pack(ifindex))
    if family == AF_INET6:
        raw += attribute(codec.RTA_CACHEINFO, b"\0" * 32) + attribute(RTA_PREF, b"\0")
    return raw


@lru_cache(maxsize=4096)
def interface(key: str) -> tuple[int, int, int]:
    """Address, prefix length and network of a key, as numbers."""
    parsed = ipaddress.ip_interface(key)
    return int(parsed), parsed.network.prefixlen, int(parsed.network.network_address)


@lru_cache(maxsize=4096)
def network_of(key: str) -> str:
    """The network of a key, as the kernel names its connected route."""
    return str(ipaddress.ip_interface(key).network)


@lru_cache(maxsize=4096)
def covers(destination: str, address: str) -> bool:
    """Whether a route's destination covers an address."""
    if destination == "default":
        return True
    return ipaddress.ip_address(address) in ipaddress.ip_network(destination)


def _address(family: int, packed: bytes | None) -> str | None:
    return socket.inet_ntop(family, packed) if packed else None


def _joined(known: Mapping[int, bytes]) -> bytes:
    return b"".join(attribute(kind, value) for kind, value in known.items())
