"""Addresses <-> rtnetlink messages, and the numbers that all of rtnetlink shares.

Dumped messages are patched and sent back, so that no attribute is lost (pyroute2-eval 3.6). The
tests hold this codec against pyroute2's. Struct layouts:
linux:include/uapi/linux/{if_addr,rtnetlink}.h.
"""

from __future__ import annotations

import socket
import struct
from functools import cache, lru_cache

from ipmp.kernel.netlink import (
    ATTRIBUTE,
    HEADER,
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
    Address,
    AddressSpec,
    address_of,
    is_ipv4,
    prefix_of,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26

IFADDRMSG = struct.Struct("=BBBBI")  # family, prefixlen, flags, scope, index
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

AWAY = 0x69706D70  # metric of a connected route that is about to come back behind others
LABEL_BYTES = 15  # IFNAMSIZ less the closing NUL
FAMILY = HEADER.size  # where a message has its address family


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
