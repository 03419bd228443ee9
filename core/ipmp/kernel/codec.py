"""Links, addresses and routes <-> rtnetlink messages.

Dumped messages are patched and sent back, so that no attribute is lost (pyroute2-eval 3.6). The
tests hold this codec against pyroute2's. Struct layouts:
linux:include/uapi/linux/{if_link,if_addr,rtnetlink}.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from functools import cache, lru_cache

from ipmp.kernel.netlink import (
    ATTRIBUTE,
    HEADER,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    attribute,
    attributes,
    request,
)
from ipmp.world import (
    AF_INET,
    IFA_F_DEPRECATED,
    IFA_F_NODAD,
    IFA_F_NOPREFIXROUTE,
    MADE,
    Address,
    AddressSpec,
    Route,
    RouteKey,
    address_of,
    is_ipv4,
    prefix_of,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26

IFADDRMSG = struct.Struct("=BBBBI")  # family, prefixlen, flags, scope, index
RTMSG = struct.Struct(
    "=BBBBBBBBI"
)  # family, dst_len, src_len, tos, table, proto, scope, type, flags
U32 = struct.Struct("=I")


IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_CACHEINFO = 1, 2, 3, 6
IFA_FLAGS, IFA_RT_PRIORITY, IFA_PROTO = 8, 9, 11
IP6_RT_PRIO_ADDRCONF = 256  # metric of a connected IPv6 route whose address names none
IFA_F_HOMEADDRESS, IFA_F_MCAUTOJOIN = 0x10, 0x400
#: preferred_lft 0, valid_lft forever: what makes the kernel set the flag. A dump does not show it:
#: there the preferred lifetime of a permanent IPv4 address is forever, deprecated or not.
DEPRECATED = attribute(IFA_CACHEINFO, struct.pack("=IIII", 0, 0xFFFFFFFF, 0, 0))
#: Flags that belong to the configuration of an address and not to its history on one NIC.
PORTABLE_FLAGS = IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN

RTA_DST, RTA_SRC, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC = 1, 2, 4, 5, 6, 7
RTA_MULTIPATH, RTA_CACHEINFO, RTA_TABLE, RTA_VIA, RTA_NH_ID = 9, 12, 15, 18, 30
RTNH_F_ONLINK = 0x4
RTN_UNICAST = 1
TABLE_MAIN, TABLE_LOCAL = 254, 255
AWAY = 0x69706D70  # metric of a connected route that is about to come back behind others
LABEL_BYTES = 15  # IFNAMSIZ less the closing NUL
FAMILY = HEADER.size  # where a message has its address family

#: Routes of these owners are put back by whoever made them: kernel connected routes, RA, DHCP and
#: routing daemons (linux:include/uapi/linux/rtnetlink.h). Moving them would start a fight.
OTHER_OWNERS = frozenset({1, 2, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 42, 99, *range(186, 193)})


# Addresses --------------------------------------------------------------------------------------


def address_dump(family: int) -> bytes:
    """Dump request for the addresses of all interfaces.

    The kernel would filter by interface, but such a dump is not marked when it was interrupted
    (linux:net/ipv4/devinet.c inet_dump_ifaddr): addresses would be missed without anybody knowing.
    """
    return request(RTM_GETADDR, NLM_F_DUMP, IFADDRMSG.pack(family, 0, 0, 0, 0))


def parse_address(payload: bytes, member: str) -> Address:
    """The address in a RTM_NEWADDR or RTM_DELADDR payload.

    Walks the attributes itself: this is the inner loop of a dump of thousands of addresses. `raw`
    goes without the cache info, whose stamps tell when a copy was made: it is no other address.
    """
    family, prefixlen, flags, scope, _ = IFADDRMSG.unpack_from(payload)
    proto, label, own, peer, shifted, raw = 0, "", b"", b"", False, payload
    offset, end = IFADDRMSG.size, len(payload)
    while offset < end:
        length, kind = ATTRIBUTE.unpack_from(payload, offset)
        if kind == IFA_LOCAL:
            own = payload[offset + 4 : offset + length]
        elif kind == IFA_ADDRESS:
            peer = payload[offset + 4 : offset + length]
        elif kind == IFA_FLAGS:
            flags = U32.unpack_from(payload, offset + 4)[0]
        elif kind == IFA_LABEL:
            label = payload[offset + 4 : offset + length - 1].decode(errors="replace")
        elif kind == IFA_PROTO:
            proto = payload[offset + 4]
        elif kind == IFA_RT_PRIORITY:
            shifted = U32.unpack_from(payload, offset + 4)[0] == AWAY
        elif kind == IFA_CACHEINFO:
            raw = payload[:offset] + payload[offset + length :]
        offset += (length + 3) & ~3 or end
    key = f"{socket.inet_ntop(family, own or peer)}/{prefixlen}"
    other = socket.inet_ntop(family, peer) if own and peer and own != peer else ""
    return Address(key, family, member, flags, scope, proto, label, raw, other, shifted)


def address_index(payload: bytes) -> int:
    """Interface index of an address message."""
    return int(IFADDRMSG.unpack_from(payload)[4])


def spec_of(address: Address) -> AddressSpec:
    """What of an address found on a member must survive a move."""
    left_out = {IFA_LABEL, IFA_FLAGS, IFA_PROTO}
    if address.shifted:
        left_out.add(IFA_RT_PRIORITY)
    found = {k: v for k, v in attributes(address.raw, IFADDRMSG.size) if k not in left_out}
    kept = b"".join(attribute(kind, value) for kind, value in found.items())
    if address.flags & IFA_F_DEPRECATED:
        kept += DEPRECATED
    prefixlen = prefix_of(address.key)
    flags = address.flags & PORTABLE_FLAGS
    metric = U32.unpack(found[IFA_RT_PRIORITY])[0] if IFA_RT_PRIORITY in found else 0
    return AddressSpec(
        address.key, address.family, prefixlen, address.scope, flags, kept, address.peer, metric
    )


def declared_spec(key: str, flags: int = 0, scope: int = 0) -> AddressSpec:
    """The spec of an address that was declared and not found, as plain `ip addr add` makes it."""
    text, _, prefixlen = key.rpartition("/")
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    packed = socket.inet_pton(family, text)
    kept = attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
    return AddressSpec(key, int(family), int(prefixlen), scope, flags, kept)


def add_address(spec: AddressSpec, ifindex: int, label: str, proto: int) -> bytes:
    """RTM_NEWADDR of a copy. IPv6 goes without DAD: the first member still defends the address."""
    ipv4 = spec.family == AF_INET
    flags = spec.flags if ipv4 else spec.flags | IFA_F_NODAD
    labelled = ipv4 and label and len(label) <= LABEL_BYTES
    tail = _LABEL.pack(_LABEL.size, IFA_LABEL, label.encode()) if labelled else b""
    tail += spec.attributes + _proto(proto)
    head = _ADD.pack(
        _ADD.size + len(tail),
        RTM_NEWADDR,
        NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL,
        0,
        0,
        spec.family,
        spec.prefixlen,
        flags & 0xFF,
        spec.scope,
        ifindex,
        8,
        IFA_FLAGS,
        flags,
    )
    return head + tail


@cache
def _proto(proto: int) -> bytes:
    return attribute(IFA_PROTO, bytes((proto,))) if proto else b""


def shift_route(address: Address, spec: AddressSpec, ifindex: int, away: bool) -> bytes:
    """RTM_NEWADDR that changes the metric of an address's connected route, or gives it back.

    A route that gets a metric comes behind all that have it already. The kernel makes the new one
    before it takes an old IPv4 one away (linux:net/ipv4/devinet.c fib_modify_prefix_metric); for
    IPv6 it knows no way back to "none", so the metric that this means is named.
    """
    kept = b"".join(
        attribute(kind, value)
        for kind, value in attributes(address.raw, IFADDRMSG.size)
        if kind != IFA_RT_PRIORITY
    )
    if address.flags & IFA_F_DEPRECATED:
        kept += DEPRECATED
    metric = spec.metric or (0 if spec.family == AF_INET else IP6_RT_PRIO_ADDRCONF)
    kept += attribute(IFA_RT_PRIORITY, U32.pack(AWAY if away else metric))
    family, prefixlen, flags, scope, _ = IFADDRMSG.unpack_from(address.raw)
    head = IFADDRMSG.pack(family, prefixlen, flags, scope, ifindex)
    return request(RTM_NEWADDR, NLM_F_REPLACE, head + kept)


def delete_address(key: str, ifindex: int, peer: str = "") -> bytes:
    """RTM_DELADDR of exactly this address with exactly this prefix length.

    For IPv4 the kernel compares the prefix length only when it is given IFA_ADDRESS, too; that is
    the peer's where there is one, and must be it.
    """
    layout, family, size, own, prefixlen = _parts(key)
    return layout.pack(
        layout.size,
        RTM_DELADDR,
        NLM_F_REQUEST,
        0,
        0,
        family,
        prefixlen,
        0,
        0,
        ifindex,
        size,
        IFA_LOCAL,
        own,
        size,
        IFA_ADDRESS,
        socket.inet_pton(family, peer) if peer else own,
    )


@lru_cache(maxsize=65536)
def _parts(key: str) -> tuple[struct.Struct, int, int, bytes, int]:
    """How an address is deleted: layout, family, length of both attributes, address, prefix."""
    family = socket.AF_INET if is_ipv4(key) else socket.AF_INET6
    own = socket.inet_pton(family, address_of(key))
    return _DELETE[len(own)], int(family), 4 + len(own), own, prefix_of(key)


#: RTM_NEWADDR up to IFA_FLAGS, and IFA_LABEL.
_ADD, _LABEL = struct.Struct("=IHHIIBBBBIHHI"), struct.Struct(f"=HH{LABEL_BYTES + 1}s")
#: RTM_DELADDR with IFA_LOCAL and IFA_ADDRESS, by the length of these addresses.
_DELETE = {size: struct.Struct(f"=IHHIIBBBBIHH{size}sHH{size}s") for size in (4, 16)}


# Routes -----------------------------------------------------------------------------------------


def route_dump(family: int, ifindex: int) -> bytes:
    """Dump request for the unicast routes out of one interface; the kernel filters."""
    body = RTMSG.pack(family, 0, 0, 0, 0, 0, 0, RTN_UNICAST, 0)
    return request(RTM_GETROUTE, NLM_F_DUMP, body + attribute(RTA_OIF, U32.pack(ifindex)))


def follows_group(payload: bytes) -> bool:
    """Cheap test before parsing: not the local table, not a route of another owner."""
    return payload[4] != TABLE_LOCAL and payload[5] not in OTHER_OWNERS


def parse_route(payload: bytes, member: str) -> Route | None:
    """The route in a payload, or None for one that does not follow the group.

    Left alone: other types than unicast, the local table, connected routes, other owners' routes,
    IPv6 link-local and multicast prefixes, multipath routes (`multipath` reads ours), nexthop
    objects and gateways of the other family. `raw` goes without what is not configuration: flags
    such as RTNH_F_LINKDOWN, and the cache info.
    """
    family, _, _, _, _, protocol, _, kind, flags = RTMSG.unpack_from(payload)
    if kind != RTN_UNICAST or protocol == MADE or not follows_group(payload):
        return None
    found = dict(attributes(payload, RTMSG.size))
    if RTA_MULTIPATH in found or RTA_NH_ID in found or RTA_VIA in found or RTA_OIF not in found:
        return None
    key = _route_key(payload, found)
    if key.table == TABLE_LOCAL or key.destination.startswith(("fe80:", "ff00:")):
        return None
    return Route(
        key=key,
        member=member,
        protocol=protocol,
        gateway=_text(family, found.get(RTA_GATEWAY)),
        source=_text(family, found.get(RTA_PREFSRC)),
        onlink=bool(flags & RTNH_F_ONLINK),
        raw=_as_configured(payload, found),
    )


def _as_configured(payload: bytes, found: Mapping[int, bytes]) -> bytes:
    *head, flags = RTMSG.unpack_from(payload)
    kept = payload[RTMSG.size :]
    if RTA_CACHEINFO in found:  # of IPv6 only
        kept = b"".join(attribute(k, value) for k, value in found.items() if k != RTA_CACHEINFO)
    return RTMSG.pack(*head, flags & RTNH_F_ONLINK) + kept


def route_key(payload: bytes) -> RouteKey:
    """Which route a payload is about, whoever owns it and wherever it leads."""
    return _route_key(payload, dict(attributes(payload, RTMSG.size)))


def _route_key(payload: bytes, found: Mapping[int, bytes]) -> RouteKey:
    family, length, source_length, tos, table, _, _, _, _ = RTMSG.unpack_from(payload)
    if RTA_TABLE in found:
        table = U32.unpack(found[RTA_TABLE])[0]
    destination = _prefix(family, found.get(RTA_DST), length) if length else "default"
    if source_length:  # a source-specific route of IPv6
        destination += f" from {_prefix(family, found.get(RTA_SRC), source_length)}"
    metric = U32.unpack(found[RTA_PRIORITY])[0] if RTA_PRIORITY in found else 0
    return RouteKey(family, table, destination, tos, metric)


def _prefix(family: int, packed: bytes | None, length: int) -> str:
    padded = (packed or b"").ljust(4 if family == AF_INET else 16, b"\0")
    return f"{socket.inet_ntop(family, padded)}/{length}"


def route_index(payload: bytes) -> int:
    """Interface index of a route message; 0 when it has none."""
    for kind, value in attributes(payload, RTMSG.size):
        if kind == RTA_OIF:
            return int(U32.unpack(value)[0])
    return 0


def replace_route(route: Route, ifindex: int, protocol: int) -> bytes:
    """RTM_NEWROUTE that makes this route leave through another interface, atomically."""
    body = _patched_route(route, ifindex, protocol)
    return request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body)


def add_route(route: Route, ifindex: int, protocol: int, beside: bool = False) -> bytes:
    """RTM_NEWROUTE that adds this route behind those with the same key, and touches none of them.

    IPv6 would make one multipath route of it and another one with a gateway. If there may be such a
    one, which `beside` denies, the kernel is asked to refuse.
    """
    free = beside or route.gateway is None or route.key.family == AF_INET
    behind = NLM_F_APPEND if free else NLM_F_EXCL
    body = _patched_route(route, ifindex, protocol)
    return request(RTM_NEWROUTE, NLM_F_CREATE | behind, body)


def delete_route(route: Route, ifindex: int) -> bytes:
    """RTM_DELROUTE of exactly this route on this interface."""
    return request(RTM_DELROUTE, 0, _patched_route(route, ifindex, route.protocol))


def _patched_route(route: Route, ifindex: int, protocol: int) -> bytes:
    """Homes of an older version may have more flags, which the kernel refuses, and cache info."""
    family, dst, src, tos, table, _, scope, kind, flags = RTMSG.unpack_from(route.raw)
    head = RTMSG.pack(family, dst, src, tos, table, protocol, scope, kind, flags & RTNH_F_ONLINK)
    kept = b"".join(
        attribute(name, U32.pack(ifindex) if name == RTA_OIF else value)
        for name, value in attributes(route.raw, RTMSG.size)
        if name != RTA_CACHEINFO
    )
    return head + kept


def _text(family: int, packed: bytes | None) -> str | None:
    return socket.inet_ntop(family, packed) if packed else None
