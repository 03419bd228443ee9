"""Other hosts on the members' links that may be asked: routers that others learnt, neighbours.

Next hops of the managed routes are in the snapshot already. Here are those of RA and DHCP, which
the daemon does not move but whose routers are as good a target, and the neighbour table.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Iterator

import msgspec

from ipmp.kernel import codec, route_codec
from ipmp.kernel.netlink import (
    NLM_F_DUMP,
    Message,
    NetlinkError,
    Requests,
    attribute,
    attributes,
    request,
)
from ipmp.model import Family
from ipmp.probing import Inquiry, Nearby
from ipmp.world import AF_INET, AF_INET6, Link

RTPROT_RA, RTPROT_DHCP = 9, 16
RTN_LOCAL = 2
RTM_GETNEIGH = 30
NDMSG = struct.Struct("=BxxxiHBB")  # family, ifindex, state, flags, type
NDA_DST, NDA_LLADDR, NDA_IFINDEX = 1, 2, 8
NTF_ROUTER = 0x80
NUD_REACHABLE = 0x02
#: REACHABLE, STALE, DELAY, PROBE, PERMANENT: its link-layer address is known.
NUD_KNOWN = 0x02 | 0x04 | 0x08 | 0x10 | 0x80
MOST = 16  # neighbours in each family

FAMILIES = {Family.IPV4: AF_INET, Family.IPV6: AF_INET6}


class Neighbour(msgspec.Struct, frozen=True, gc=False):
    """An entry of the neighbour table."""

    address: str
    hwaddr: bytes
    router: bool
    reachable: bool


async def read_nearby(
    dumps: Requests, asks: Requests, links: Iterable[Link], inquiry: Inquiry
) -> Nearby:
    """Answer an inquiry; raises NetlinkError when the kernel does not list its tables."""
    links = tuple(links)
    routers: dict[Family, tuple[str, ...]] = {}
    neighbours: dict[Family, tuple[str, ...]] = {}
    for family, af in FAMILIES.items():
        hops: dict[str, None] = {}
        for link in links:
            for protocol in (RTPROT_RA, RTPROT_DHCP):
                message = _routes_of(af, link.ifindex, protocol)
                hops.update(dict.fromkeys(await dumps.dump(message, _gateway(af))))
        routers[family] = tuple(hops)
        if family in inquiry.neighbours:
            table: list[Neighbour] = []
            for link in links:
                table += await dumps.dump(_neighbours_of(af, link.ifindex), parse_neighbour)
            neighbours[family] = tuple(_best(table))
    asked = {*inquiry.addresses, *(hop for hops in routers.values() for hop in hops)}
    own = frozenset(address for address in asked if _is_local(asks, address))
    return Nearby(routers, neighbours, own)


def parse_neighbour(message: Message) -> Neighbour | None:
    """The neighbour of a RTM_NEWNEIGH message, if its link-layer address is known."""
    family, _, state, flags, _ = NDMSG.unpack_from(message.payload)
    found = dict(attributes(message.payload, NDMSG.size))
    if not state & NUD_KNOWN or NDA_DST not in found or not found.get(NDA_LLADDR):
        return None
    return Neighbour(
        socket.inet_ntop(family, found[NDA_DST]),
        found[NDA_LLADDR],
        bool(flags & NTF_ROUTER),
        bool(state & NUD_REACHABLE),
    )


def _best(table: Iterable[Neighbour]) -> Iterator[str]:
    """One address of each station: routers first, and those that answered last."""
    stations: set[bytes] = set()
    for neighbour in sorted(
        table, key=lambda n: (not n.router, not n.reachable, not n.address.startswith("fe80:"))
    ):
        if neighbour.hwaddr not in stations and len(stations) < MOST:
            stations.add(neighbour.hwaddr)
            yield neighbour.address


def _routes_of(family: int, ifindex: int, protocol: int) -> bytes:
    """Dump request for the unicast routes that one protocol has put on an interface."""
    head = route_codec.RTMSG.pack(family, 0, 0, 0, 0, protocol, 0, route_codec.RTN_UNICAST, 0)
    oif = attribute(route_codec.RTA_OIF, codec.U32.pack(ifindex))
    return request(codec.RTM_GETROUTE, NLM_F_DUMP, head + oif)


def _gateway(family: int) -> Callable[[Message], str | None]:
    def parse(message: Message) -> str | None:
        gateway = dict(attributes(message.payload, route_codec.RTMSG.size)).get(
            route_codec.RTA_GATEWAY
        )
        return socket.inet_ntop(family, gateway) if gateway else None

    return parse


def _neighbours_of(family: int, ifindex: int) -> bytes:
    """Dump request for the neighbours on one interface."""
    body = NDMSG.pack(family, 0, 0, 0, 0) + attribute(NDA_IFINDEX, codec.U32.pack(ifindex))
    return request(RTM_GETNEIGH, NLM_F_DUMP, body)


def _is_local(asks: Requests, address: str) -> bool:
    """Whether the host has the address on any of its interfaces."""
    family = AF_INET6 if ":" in address else AF_INET
    packed = socket.inet_pton(family, address)
    head = route_codec.RTMSG.pack(family, 8 * len(packed), 0, 0, 0, 0, 0, 0, 0)
    try:
        answer = asks.ask(
            request(codec.RTM_GETROUTE, 0, head + attribute(route_codec.RTA_DST, packed))
        )
    except NetlinkError:  # no route to it: then it is not here
        return False
    return answer[7] == RTN_LOCAL
