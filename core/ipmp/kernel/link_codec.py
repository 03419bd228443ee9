"""Links <-> rtnetlink messages (linux:include/uapi/linux/if_link.h)."""

from __future__ import annotations

import struct
from functools import cache

import msgspec

from ipmp.kernel.codec import RTM_GETLINK, RTM_NEWLINK, U32
from ipmp.kernel.netlink import ATTRIBUTE, HEADER, attribute, attributes, messages, request
from ipmp.world import AF_INET6, Link

IFINFOMSG = struct.Struct("=BxHiII")  # family, ARPHRD type, index, flags, change
IFF_UP = 0x1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_EXT_MASK, IFLA_CARRIER = 1, 3, 4, 29, 33
IFLA_AF_SPEC, IFLA_CARRIER_DOWN_COUNT = 26, 48
IFLA_STATS, IFLA_STATS64 = 7, 23
IFLA_INET6_CONF, DEVCONF_FORWARDING, DEVCONF_DISABLE_IPV6 = 2, 0, 26
RTEXT_FILTER_SKIP_STATS = 1 << 3


@cache
def link_request(name: str) -> bytes:
    """RTM_GETLINK by name, with few statistics; also flushes the linkwatch queue of that device."""
    return _link_request(0, attribute(IFLA_IFNAME, name.encode() + b"\0"))


def link_request_by_index(ifindex: int) -> bytes:
    """The same by interface index, for one that was renamed."""
    return _link_request(ifindex, b"")


def _link_request(ifindex: int, which: bytes) -> bytes:
    what = attribute(IFLA_EXT_MASK, U32.pack(RTEXT_FILTER_SKIP_STATS))
    return request(RTM_GETLINK, 0, IFINFOMSG.pack(0, 0, ifindex, 0, 0) + which + what)


class Answer(msgspec.Struct):
    """What a datagram tells of a link, and the datagram itself less the counters."""

    link: Link
    size: int
    before: bytes  # its counters
    behind: bytes

    def is_told_by(self, datagram: bytes) -> bool:
        """Whether another one tells the same, whatever has passed meanwhile."""
        return (
            len(datagram) == self.size
            and datagram.startswith(self.before)
            and datagram.endswith(self.behind)
        )


def parse_answer(datagram: bytes) -> Answer | None:
    """The answer to a link request; None when the kernel refused it: there is no such link.

    The filter of the request is about IPv6's own statistics: two others, one behind the other, come
    all the same (linux:net/core/rtnetlink.c rtnl_fill_ifinfo) and change with every packet.
    """
    message = next(messages(datagram))
    if message.type != RTM_NEWLINK:
        return None
    start = stop = offset = HEADER.size + IFINFOMSG.size
    for kind, value in attributes(datagram, offset):
        size = (ATTRIBUTE.size + len(value) + 3) & ~3
        if kind == IFLA_STATS64:
            start = offset
        elif kind == IFLA_STATS:
            stop = offset + size
        offset += size
    return Answer(parse_link(message.payload), len(datagram), datagram[:start], datagram[stop:])


def parse_link(payload: bytes) -> Link:
    """The link in a RTM_NEWLINK or RTM_DELLINK payload."""
    _, hardware, index, flags, _ = IFINFOMSG.unpack_from(payload)
    name, hwaddr, mtu, losses = "", "", 0, 0
    ipv6 = b""
    carrier: bool | None = None
    for kind, value in attributes(payload, IFINFOMSG.size):
        if kind == IFLA_IFNAME:
            name = value.rstrip(b"\0").decode(errors="replace")
        elif kind == IFLA_ADDRESS:
            hwaddr = value.hex(":")
        elif kind == IFLA_MTU:
            mtu = U32.unpack(value)[0]
        elif kind == IFLA_CARRIER:
            carrier = value[0] == 1
        elif kind == IFLA_CARRIER_DOWN_COUNT:
            losses = U32.unpack(value)[0]
        elif kind == IFLA_AF_SPEC:
            ipv6 = dict(attributes(value, 0)).get(AF_INET6, b"")
    settings = dict(attributes(ipv6, 0)).get(IFLA_INET6_CONF, b"")
    return Link(
        name,
        index,
        bool(flags & IFF_UP),
        carrier,
        hwaddr,
        mtu,
        hardware,
        losses,
        ipv6=_setting(settings, DEVCONF_DISABLE_IPV6) == 0,
        router=_setting(settings, DEVCONF_FORWARDING) == 1,
    )


def _setting(settings: bytes, number: int) -> int | None:
    """One of the interface's IPv6 settings; None where the kernel has no IPv6."""
    position = number * U32.size
    if len(settings) < position + U32.size:
        return None
    return int(U32.unpack_from(settings, position)[0])
