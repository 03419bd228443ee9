"""Routes over several members, and those made for spreading <-> rtnetlink messages.

Only our own are read: a multipath route of anybody else is left alone. What an operator's route
has at home is sent again, with what belongs to a nexthop put into each of them. Struct layouts:
linux:include/uapi/linux/rtnetlink.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ipmp.kernel.codec import RTM_DELROUTE, RTM_NEWROUTE, U32
from ipmp.kernel.netlink import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    attribute,
    attributes,
    request,
)
from ipmp.kernel.route_codec import (
    RTA_CACHEINFO,
    RTA_DST,
    RTA_GATEWAY,
    RTA_MULTIPATH,
    RTA_OIF,
    RTA_PREFSRC,
    RTA_PRIORITY,
    RTA_TABLE,
    RTMSG,
    RTN_UNICAST,
    RTNH_F_ONLINK,
    route_key,
)
from ipmp.spread import Spreading
from ipmp.world import AF_INET, MADE, OWNER, SCOPE_LINK, SCOPE_UNIVERSE, Route, SpreadRoute

RTNEXTHOP = struct.Struct("=HBBi")  # length, flags, hops, interface index

RTA_FLOW, RTA_ENCAP_TYPE, RTA_ENCAP = 11, 21, 22
#: What a route with one nexthop has among its attributes and one with several has in each nexthop.
OF_NEXTHOP = (RTA_GATEWAY, RTA_FLOW, RTA_ENCAP_TYPE, RTA_ENCAP)
#: What does not belong to a route, or is said anew.
LEFT_OUT = (*OF_NEXTHOP, RTA_OIF, RTA_PREFSRC, RTA_CACHEINFO, RTA_MULTIPATH)

_OF_WAYS = (*OF_NEXTHOP, RTA_OIF, RTA_CACHEINFO, RTA_MULTIPATH)


def parse_spread(payload: bytes, names: Mapping[int, str]) -> SpreadRoute | None:
    """The route in a payload when it is one that we have spread, or made for that.

    `names` are those of the members, by interface index.
    """
    protocol, kind = payload[5], payload[7]
    if protocol not in (OWNER, MADE) or kind != RTN_UNICAST:
        return None
    found = dict(attributes(payload, RTMSG.size))
    if RTA_MULTIPATH in found:
        hops = list(_nexthops(found[RTA_MULTIPATH]))
        indices, gateways = [index for index, _, _ in hops], {hop for _, _, hop in hops}
    elif protocol == MADE and RTA_OIF in found:
        indices, gateways = [U32.unpack(found[RTA_OIF])[0]], {found.get(RTA_GATEWAY)}
    else:
        return None
    if len(gateways) != 1:
        return None
    gateway = gateways.pop()
    source = found.get(RTA_PREFSRC)
    return SpreadRoute(
        key=route_key(payload),
        members=tuple(names.get(index, f"#{index}") for index in indices),
        protocol=protocol,
        gateway=socket.inet_ntop(payload[0], gateway) if gateway else None,
        source=socket.inet_ntop(payload[0], source) if source else None,
        raw=payload,
    )


def gathered(spread: SpreadRoute, member: str) -> Route:
    """The route as it leaves through one member alone; its first nexthop tells the rest."""
    family, dst, src, tos, table, protocol, scope, kind, _ = RTMSG.unpack_from(spread.raw)
    known = attributes(spread.raw, RTMSG.size)
    body = b"".join(attribute(name, value) for name, value in known if name not in _OF_WAYS)
    flags, inner = _first_nexthop(spread.raw)
    head = RTMSG.pack(family, dst, src, tos, table, protocol, scope, kind, flags & RTNH_F_ONLINK)
    return Route(
        spread.key,
        member,
        protocol,
        spread.gateway,
        spread.source,
        onlink=bool(flags & RTNH_F_ONLINK),
        raw=head + body + inner + attribute(RTA_OIF, U32.pack(0)),
    )


def _first_nexthop(raw: bytes) -> tuple[int, bytes]:
    """Its flags, and its attributes but for the interface."""
    found = dict(attributes(raw, RTMSG.size))
    if RTA_MULTIPATH not in found:
        return RTMSG.unpack_from(raw)[8], _of_nexthop(raw[RTMSG.size :])
    length, flags, _, _ = RTNEXTHOP.unpack_from(found[RTA_MULTIPATH])
    return flags, _of_nexthop(found[RTA_MULTIPATH][RTNEXTHOP.size : length])


def make_spread(spreading: Spreading, indices: Sequence[int], *, in_place: bool) -> bytes:
    """RTM_NEWROUTE of the route over these interfaces, in place of the first with its key.

    Not in place, one of our own comes before those with its key, and an operator's one behind them;
    IPv6, which would make one route of both, refuses the latter.
    """
    route, ipv4 = spreading.route, spreading.route.key.family == AF_INET
    if in_place:
        flags = NLM_F_REPLACE
    elif spreading.made:
        flags = 0
    else:
        flags = NLM_F_APPEND if ipv4 else NLM_F_EXCL
    body, of_nexthop, onlink = _body(route, spreading.made)
    if spreading.source is not None:
        family = route.key.family
        body += attribute(RTA_PREFSRC, socket.inet_pton(family, spreading.source))
    if len(indices) == 1:
        body += of_nexthop + attribute(RTA_OIF, U32.pack(indices[0]))
    else:
        # The gateway is known to be on-link; IPv4 would ask a route that may come only after this.
        onlink |= RTNH_F_ONLINK if ipv4 and route.gateway is not None else 0
        body += attribute(RTA_MULTIPATH, _pack_nexthops(indices, onlink, of_nexthop))
    return request(RTM_NEWROUTE, NLM_F_CREATE | flags, body)


def delete_spread(route: SpreadRoute) -> bytes:
    """RTM_DELROUTE of exactly this route."""
    family, dst, src, tos, table, protocol, scope, kind, _ = RTMSG.unpack_from(route.raw)
    body = RTMSG.pack(family, dst, src, tos, table, protocol, scope, kind, 0)
    for name, value in attributes(route.raw, RTMSG.size):
        if name == RTA_MULTIPATH:
            hops = ((index, 0, _of_nexthop(inner)) for index, inner, _ in _nexthops(value))
            body += attribute(name, b"".join(_pack_nexthop(*hop) for hop in hops))
        elif name != RTA_CACHEINFO:
            body += attribute(name, value)
    return request(RTM_DELROUTE, 0, body)


def _body(route: Route, made: bool) -> tuple[bytes, bytes, int]:
    """Head and common attributes, attributes of a nexthop, and flags of a nexthop."""
    if made:
        return _made_body(route), b"", 0
    family, dst, src, tos, table, _, scope, kind, flags = RTMSG.unpack_from(route.raw)
    head = RTMSG.pack(family, dst, src, tos, table, OWNER, scope, kind, 0)
    common = b"".join(
        attribute(name, value)
        for name, value in attributes(route.raw, RTMSG.size)
        if name not in LEFT_OUT
    )
    inner = route.raw[RTMSG.size :]
    return head + common, _of_nexthop(inner), flags & RTNH_F_ONLINK


def _made_body(route: Route) -> bytes:
    key = route.key
    text, _, length = key.destination.partition("/")
    scope = SCOPE_LINK if key.family == AF_INET else SCOPE_UNIVERSE
    head = RTMSG.pack(key.family, int(length), 0, key.tos, 0, MADE, scope, RTN_UNICAST, 0)
    body = head + attribute(RTA_TABLE, U32.pack(key.table))
    body += attribute(RTA_DST, socket.inet_pton(key.family, text))
    return body + (attribute(RTA_PRIORITY, U32.pack(key.metric)) if key.metric else b"")


def _of_nexthop(inner: bytes) -> bytes:
    return b"".join(attribute(k, value) for k, value in attributes(inner, 0) if k in OF_NEXTHOP)


def _pack_nexthops(indices: Iterable[int], flags: int, inner: bytes) -> bytes:
    return b"".join(_pack_nexthop(index, flags, inner) for index in indices)


def _pack_nexthop(index: int, flags: int, inner: bytes) -> bytes:
    return RTNEXTHOP.pack(RTNEXTHOP.size + len(inner), flags, 0, index) + inner


def _nexthops(value: bytes) -> Iterator[tuple[int, bytes, bytes | None]]:
    """Interface index, attributes and gateway of each nexthop."""
    offset = 0
    while offset + RTNEXTHOP.size <= len(value):
        length, _, _, index = RTNEXTHOP.unpack_from(value, offset)
        if length < RTNEXTHOP.size:
            return
        inner = value[offset + RTNEXTHOP.size : offset + length]
        yield index, inner, dict(attributes(inner, 0)).get(RTA_GATEWAY)
        offset += (length + 3) & ~3
