"""Links <-> rtnetlink messages (linux:include/uapi/linux/if_link.h)."""

from __future__ import annotations

import struct
from functools import cache

from ipmp.kernel.codec import RTM_GETLINK, U32
from ipmp.kernel.netlink import attribute, attributes, request
from ipmp.world import AF_INET6, Link

IFINFOMSG = struct.Struct("=BxHiII")  # family, ARPHRD type, index, flags, change
IFF_UP = 0x1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_EXT_MASK, IFLA_CARRIER = 1, 3, 4, 29, 33
IFLA_AF_SPEC, IFLA_CARRIER_DOWN_COUNT = 26, 48
IFLA_INET6_CONF, DEVCONF_DISABLE_IPV6 = 2, 26
RTEXT_FILTER_SKIP_STATS = 1 << 3


@cache
def link_request(name: str) -> bytes:
    """RTM_GETLINK by name, without statistics; also flushes the linkwatch queue of that device."""
    return _link_request(0, attribute(IFLA_IFNAME, name.encode() + b"\0"))


def link_request_by_index(ifindex: int) -> bytes:
    """The same by interface index, for one that was renamed."""
    return _link_request(ifindex, b"")


def _link_request(ifindex: int, which: bytes) -> bytes:
    what = attribute(IFLA_EXT_MASK, U32.pack(RTEXT_FILTER_SKIP_STATS))
    return request(RTM_GETLINK, 0, IFINFOMSG.pack(0, 0, ifindex, 0, 0) + which + what)


def parse_link(payload: bytes) -> Link:
    """The link in a RTM_NEWLINK or RTM_DELLINK payload."""
    _, hardware, index, flags, _ = IFINFOMSG.unpack_from(payload)
    name, hwaddr, mtu, losses, ipv6 = "", "", 0, 0, False
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
            ipv6 = _has_ipv6(value)
    return Link(name, index, bool(flags & IFF_UP), carrier, hwaddr, mtu, hardware, losses, ipv6)


def _has_ipv6(specs: bytes) -> bool:
    """Whether the kernel has IPv6 at all, and it is not disabled on this interface."""
    settings = dict(attributes(dict(attributes(specs, 0)).get(AF_INET6, b""), 0))
    values = settings.get(IFLA_INET6_CONF, b"")
    position = DEVCONF_DISABLE_IPV6 * U32.size
    return len(values) > position and U32.unpack_from(values, position)[0] == 0
