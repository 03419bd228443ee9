"""Addresses and routes as the simulated kernel holds them, and the netlink payloads of their dumps.

Payloads are real ones: the daemon learns what it knows of an address or route through its own
codec, and what it sends back is decoded here from the bytes that it would send to Linux.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from functools import lru_cache

from ipmp.kernel import codec, multipath, route_codec
from ipmp.kernel.netlink import attribute, attributes
from ipmp.world import (
    AF_INET,
    AF_INET6,
    IFA_F_DEPRECATED,
    IFA_F_PERMANENT,
    IFA_F_TENTATIVE,
    MADE,
    SCOPE_LINK,
    Address,
    Route,
    RouteKey,
)

IFA_BROADCAST, IFA_RT_PRIORITY = 4, codec.IFA_RT_PRIORITY
RTA_METRICS, RTA_PREF = 8, 20
TABLE_COMPAT = 252
FOREVER = 0xFFFFFFFF
METRIC_CONNECTED6, METRIC_USER6 = codec.IP6_RT_PRIO_ADDRCONF, 1024
KERNEL, ZEBRA, BGP = 2, 11, 186  # rtm_protocol
OTHERS = (KERNEL, ZEBRA, BGP)
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
        "metric",
        "outside",
        "peer",
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
        peer: str = "",
        metric: int = 0,
        extra: bytes = b"",
    ) -> None:
        self.key, self.ifindex = key, ifindex
        self.text = key.partition("/")[0]
        self.family = AF_INET6 if ":" in key else AF_INET
        self.scope, self.proto, self.label = scope, proto, label
        self.peer, self.metric, self.extra = peer, metric, extra
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

    @property
    def subnet(self) -> tuple[int, int]:
        """Prefix length and network, as the kernel compares addresses."""
        return subnet(f"{self.peer or self.text}/{self.key.rpartition('/')[2]}")

    @property
    def connected(self) -> str | None:
        """The destination of the connected route that the address brings; None for a lone host."""
        if self.family == AF_INET6 and self.peer:
            return f"{self.peer}/128"
        network = network_of(f"{self.peer or self.text}/{self.key.rpartition('/')[2]}")
        alone = self.family == AF_INET and network == f"{self.text}/32"
        return None if alone or self.scope == SCOPE_LINK else network

    @property
    def route_metric(self) -> int:
        """The metric of its connected route."""
        return self.metric or (METRIC_CONNECTED6 if self.family == AF_INET6 else 0)

    def address(self, member: str) -> Address:
        """What the daemon makes of the dump."""
        if self._address is None or self._address.member != member:
            self._address = codec.parse_address(self._payload(), member)
        return self._address

    @property
    def configuration(self) -> tuple[object, ...]:
        """What must survive a move unchanged."""
        flags = self._flags & (codec.PORTABLE_FLAGS & ~0x02 | IFA_F_DEPRECATED)
        return self.key, self.scope, flags, self.peer, self.route_metric, self.extra

    def _payload(self) -> bytes:
        prefixlen = int(self.key.rpartition("/")[2])
        head = codec.IFADDRMSG.pack(
            self.family, prefixlen, self._flags & 0xFF, self.scope, self.ifindex
        )
        body = attribute(codec.IFA_ADDRESS, self._packed(self.peer or self.text))
        if self.family == AF_INET or self.peer:
            body += attribute(codec.IFA_LOCAL, self._packed(self.text))
        body += self.extra
        if self.family == AF_INET:
            body += attribute(codec.IFA_LABEL, self.label.encode() + b"\0")
        if self.proto:
            body += attribute(codec.IFA_PROTO, bytes((self.proto,)))
        if self.metric:
            body += attribute(IFA_RT_PRIORITY, codec.U32.pack(self.metric))
        body += attribute(codec.IFA_FLAGS, codec.U32.pack(self._flags))
        valid = FOREVER if self._flags & IFA_F_PERMANENT else 3600
        preferred = 0 if self._flags & IFA_F_DEPRECATED else valid
        times = codec.U32.pack(preferred) + codec.U32.pack(valid) + b"\0" * 8
        return head + body + attribute(codec.IFA_CACHEINFO, times)

    def _packed(self, text: str) -> bytes:
        return socket.inet_pton(self.family, text)


def requested_address(payload: bytes, name: str) -> Held:
    """What a RTM_NEWADDR or RTM_DELADDR message is about, on the device called `name`."""
    family, prefixlen, flags, scope, ifindex = codec.IFADDRMSG.unpack_from(payload)
    known = dict(attributes(payload, codec.IFADDRMSG.size))
    address = known.pop(codec.IFA_ADDRESS)
    own = known.pop(codec.IFA_LOCAL, address)
    flags = _number(known.pop(codec.IFA_FLAGS, codec.U32.pack(flags))) | IFA_F_PERMANENT
    times = known.pop(codec.IFA_CACHEINFO, codec.U32.pack(FOREVER) * 2)
    if _number(times[4:8]) != FOREVER:
        flags &= ~IFA_F_PERMANENT
    if _number(times) == 0:
        flags |= IFA_F_DEPRECATED
    return Held(
        f"{socket.inet_ntop(family, own)}/{prefixlen}",
        ifindex,
        flags=flags,
        scope=scope,
        label=known.pop(codec.IFA_LABEL, name.encode() + b"\0").partition(b"\0")[0].decode(),
        proto=known.pop(codec.IFA_PROTO, b"\0")[0],
        metric=_number(known.pop(IFA_RT_PRIORITY, b"\0" * 4)),
        peer=socket.inet_ntop(family, address) if address != own else "",
        extra=_joined(known.items()),
    )


class Entry:
    """One route in one table."""

    __slots__ = (
        "dead",
        "gateway",
        "hops",
        "key",
        "onlink",
        "parsed",
        "protocol",
        "raw",
        "source",
    )

    def __init__(self, raw: bytes, device: str) -> None:
        head, known = (
            route_codec.RTMSG.unpack_from(raw),
            dict(attributes(raw, route_codec.RTMSG.size)),
        )
        family, self.protocol = head[0], head[5]
        self.raw = raw
        self.key = route_codec.route_key(raw)
        found = _nexthops(raw)
        self.hops = tuple(index for index, _ in found)  # an interface index each
        self.dead: set[int] = set()  # those that the kernel passes over until their device is back
        self.gateway = _text(family, found[0][1]) if found else None
        self.source = _text(family, known.get(route_codec.RTA_PREFSRC))
        self.onlink = bool(head[8] & route_codec.RTNH_F_ONLINK)
        self.parsed: Route | None = route_codec.parse_route(raw, device)

    @property
    def ifindex(self) -> int:
        """The interface through which it leaves; of several, the first."""
        return self.hops[0] if self.hops else 0

    @property
    def is_spread(self) -> bool:
        """Whether it leaves through several interfaces."""
        return len(self.hops) > 1

    @property
    def is_made(self) -> bool:
        """Whether it is only there because others are spread."""
        return self.protocol == MADE

    @property
    def is_others(self) -> bool:
        """Whether the kernel or a routing daemon keeps it, so that nobody else may touch it."""
        return self.protocol in OTHERS

    @property
    def same_as(self) -> tuple[object, ...]:
        """What the kernel compares to find a duplicate (linux:net/ipv4/fib_semantics.c)."""
        return self.hops, self.gateway, self.source, self.protocol, self.onlink

    @property
    def configuration(self) -> tuple[object, ...]:
        """What must survive a move unchanged."""
        return self.key, self.gateway, self.source, self.onlink, self._but(route_codec.RTA_OIF)

    @property
    def common(self) -> tuple[object, ...]:
        """What must survive while it is spread."""
        return self.key, self.gateway, self._but(*multipath.LEFT_OUT)

    def without_hop(self, ifindex: int, device: str) -> Entry:
        """The same route after one of its interfaces has vanished (IPv6)."""
        left = [index for index in self.hops if index != ifindex]
        gateway = socket.inet_pton(self.key.family, self.gateway) if self.gateway else b""
        hop = attribute(route_codec.RTA_GATEWAY, gateway) if gateway else b""
        if len(left) == 1:
            end = hop + attribute(route_codec.RTA_OIF, codec.U32.pack(left[0]))
        else:
            packed = (multipath.RTNEXTHOP.pack(8 + len(hop), 0, 0, index) + hop for index in left)
            end = attribute(route_codec.RTA_MULTIPATH, b"".join(packed))
        raw = self.raw[: route_codec.RTMSG.size] + self._but(route_codec.RTA_MULTIPATH) + end
        entry = Entry(dumped_route(raw), device)
        entry.dead = self.dead - {ifindex}
        return entry

    def without_source(self, device: str) -> Entry:
        """The same route after its preferred source address has vanished (IPv6)."""
        return Entry(
            self.raw[: route_codec.RTMSG.size] + self._but(route_codec.RTA_PREFSRC), device
        )

    def _but(self, *left_out: int) -> bytes:
        pairs = attributes(self.raw, route_codec.RTMSG.size)
        return _joined(p for p in pairs if p[0] not in (*left_out, route_codec.RTA_CACHEINFO))


def _nexthops(raw: bytes) -> list[tuple[int, bytes | None]]:
    """Interface index and gateway of each."""
    known = dict(attributes(raw, route_codec.RTMSG.size))
    if route_codec.RTA_MULTIPATH not in known:
        return [(_number(known[route_codec.RTA_OIF]), known.get(route_codec.RTA_GATEWAY))]
    packed, found = known[route_codec.RTA_MULTIPATH], []
    while packed:
        length, _, _, index = multipath.RTNEXTHOP.unpack_from(packed)
        inner = dict(attributes(packed[multipath.RTNEXTHOP.size : length], 0))
        found.append((index, inner.get(route_codec.RTA_GATEWAY)))
        packed = packed[(length + 3) & ~3 :]
    return found


def dumped_route(payload: bytes) -> bytes:
    """A requested IPv6 route as a dump shows it: with metric and preference, and in one order."""
    family, length, source, tos, table, protocol, _, kind, flags = route_codec.RTMSG.unpack_from(
        payload
    )
    if family == AF_INET:
        return payload
    known = dict(attributes(payload, route_codec.RTMSG.size))
    known.setdefault(route_codec.RTA_PRIORITY, codec.U32.pack(METRIC_USER6))
    known.setdefault(route_codec.RTA_CACHEINFO, b"\0" * 32)
    known.setdefault(RTA_PREF, b"\0")
    head = route_codec.RTMSG.pack(family, length, source, tos, table, protocol, 0, kind, flags)
    return head + _joined(sorted(known.items()))


def route_payload(
    key: RouteKey,
    ifindex: int,
    *,
    gateway: str | None = None,
    source: str | None = None,
    protocol: int = 4,
    onlink: bool = False,
    extra: bytes = b"",
) -> bytes:
    """A unicast route as it is asked for; `extra` are the attributes that merely tag along."""
    family, (destination, _, origin) = key.family, key.destination.partition(" from ")
    scope = SCOPE_LINK if family == AF_INET and gateway is None else 0
    table = key.table if key.table < 256 else TABLE_COMPAT
    flags = route_codec.RTNH_F_ONLINK if onlink else 0
    (length, packed), (width, prefix) = _prefix(destination), _prefix(origin or "default")
    raw = route_codec.RTMSG.pack(family, length, width, key.tos, table, protocol, scope, 1, flags)
    raw += attribute(route_codec.RTA_TABLE, codec.U32.pack(key.table))
    if length:
        raw += attribute(route_codec.RTA_DST, packed)
    if width:
        raw += attribute(route_codec.RTA_SRC, prefix)
    if key.metric:
        raw += attribute(route_codec.RTA_PRIORITY, codec.U32.pack(key.metric))
    if source:
        raw += attribute(route_codec.RTA_PREFSRC, socket.inet_pton(family, source))
    raw += extra
    if gateway:
        raw += attribute(route_codec.RTA_GATEWAY, socket.inet_pton(family, gateway))
    return raw + attribute(route_codec.RTA_OIF, codec.U32.pack(ifindex))


def mtu(value: int) -> bytes:
    """An attribute of a route that has to survive its moves."""
    return attribute(RTA_METRICS, attribute(2, codec.U32.pack(value))) if value else b""


@lru_cache(maxsize=4096)
def subnet(key: str) -> tuple[int, int]:
    """Prefix length and network of a key, as numbers."""
    network = ipaddress.ip_interface(key).network
    return network.prefixlen, int(network.network_address)


@lru_cache(maxsize=4096)
def network_of(key: str) -> str:
    """The network of a key, as the kernel names its connected route."""
    return str(ipaddress.ip_interface(key).network)


@lru_cache(maxsize=4096)
def covers(destination: str, address: str) -> int:
    """Length of the prefix by which a destination covers an address; -1 when it does not."""
    if destination == "default":
        return 0
    network = ipaddress.ip_network(destination)
    return network.prefixlen if ipaddress.ip_address(address) in network else -1


def _prefix(destination: str) -> tuple[int, bytes]:
    if destination == "default":
        return 0, b""
    network = ipaddress.ip_network(destination)
    return network.prefixlen, network.network_address.packed


def _text(family: int, packed: bytes | None) -> str | None:
    return socket.inet_ntop(family, packed) if packed else None


def _number(packed: bytes) -> int:
    return int(codec.U32.unpack_from(packed)[0])


def _joined(pairs: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(attribute(kind, value) for kind, value in pairs)
