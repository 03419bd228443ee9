"""Routes <-> rtnetlink messages (linux:include/uapi/linux/rtnetlink.h).

Dumped messages are patched and sent back, so that no attribute is lost (pyroute2-eval 3.6).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping

from ipmp.kernel.codec import RTM_DELROUTE, RTM_GETROUTE, RTM_NEWROUTE, U32
from ipmp.kernel.netlink import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    attribute,
    attributes,
    request,
)
from ipmp.world import AF_INET, MADE, Route, RouteKey

RTMSG = struct.Struct(
    "=BBBBBBBBI"
)  # family, dst_len, src_len, tos, table, proto, scope, type, flags
RTA_DST, RTA_SRC, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC = 1, 2, 4, 5, 6, 7
RTA_MULTIPATH, RTA_CACHEINFO, RTA_TABLE, RTA_VIA, RTA_NH_ID = 9, 12, 15, 18, 30
RTNH_F_ONLINK = 0x4
RTN_UNICAST = 1
TABLE_MAIN, TABLE_LOCAL = 254, 255

#: Routes of these owners are put back by whoever made them: kernel connected routes, RA, DHCP and
#: routing daemons (linux:include/uapi/linux/rtnetlink.h). Moving them would start a fight.
OTHER_OWNERS = frozenset({1, 2, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 42, 99, *range(186, 193)})


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
