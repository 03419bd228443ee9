"""What hangs on an interface and does not follow its addresses (linux-peers 1.8).

Sockets bound to it, multicast groups joined on it, interfaces on top of it. `look` asks the kernel,
`staying` says it as decisions, the same ones for `ipmp check`, a drain and the history.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from ipmp.decision import Decision, Kind, Reason
from ipmp.kernel import codec, link_codec
from ipmp.kernel.listing import NETLINK_ROUTE, dump
from ipmp.kernel.netlink import NLM_F_DUMP, attribute, attributes, request
from ipmp.kernel.sockdiag import BoundSocket, bound_sockets
from ipmp.world import Link

PROC_NET = Path("/proc/net")
READ_BYTES = 1 << 20  # of a file of /proc/net: thousands of memberships

SHOWN = 5  # items that a sentence names

IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO, IFLA_LINK_NETNSID = 5, 10, 18, 37
IFLA_INFO_KIND = 1

#: Kinds whose IFLA_LINK is the interface that carries their frames (a veth's is its other end).
STACKED = frozenset({"macvlan", "macvtap", "ipvlan", "ipvtap", "vlan", "macsec"})

#: Groups that the kernel joins by itself, solicited-node ones besides.
AUTOMATIC = frozenset(
    map(
        ipaddress.ip_address,
        ("224.0.0.1", "ff01::1", "ff02::1", "ff01::2", "ff02::2", "ff05::2"),
    )
)
SOLICITED_NODE = ipaddress.IPv6Network("ff02::1:ff00:0/104")
#: Name resolution on each link for itself (mDNS, LLMNR): its programs join on every interface.
PER_LINK = frozenset(
    map(ipaddress.ip_address, ("224.0.0.251", "224.0.0.252", "ff02::fb", "ff02::1:3"))
)


class Upper(msgspec.Struct, frozen=True):
    """An interface on top of another one."""

    name: str
    kind: str


class Attached(msgspec.Struct, frozen=True):
    """Everything that hangs on one interface."""

    interface: str
    sockets: tuple[BoundSocket, ...] = ()
    groups: tuple[str, ...] = ()  # multicast addresses, without those that the kernel joins
    uppers: tuple[Upper, ...] = ()
    master: str = ""  # the bridge, bond or VRF that it is a port of


def look(link: Link) -> Attached:
    """Ask the kernel what hangs on an interface; takes milliseconds. Raises OSError."""
    uppers, master = _stack(dump(NETLINK_ROUTE, _LINKS), link.ifindex)
    return Attached(
        link.name,
        sockets=tuple(bound_sockets(link.ifindex)),
        groups=tuple(_joined(link)),
        uppers=uppers,
        master=master,
    )


def staying(attached: Attached, group: str = "") -> Iterator[Decision]:
    """Say what stays when the addresses of the interface move away."""
    facts = {
        Reason.BOUND_SOCKET: [socket.name for socket in attached.sockets],
        Reason.MULTICAST_GROUP: list(attached.groups),
        Reason.UPPER_INTERFACE: [f"{upper.kind} {upper.name}" for upper in attached.uppers],
    }
    for reason, items in facts.items():
        if items:
            detail: dict[str, str | int | float] = {"value": _some(items), "count": len(items)}
            yield Decision(Kind.STAYS, reason, group, interface=attached.interface, detail=detail)


def _some(items: Iterable[str]) -> str:
    """The first few different ones, and how many more there are."""
    different = list(dict.fromkeys(items))
    text = ", ".join(different[:SHOWN])
    return text if len(different) <= SHOWN else f"{text} and {len(different) - SHOWN} more"


# Interfaces -------------------------------------------------------------------------------------

_LINKS = request(
    codec.RTM_GETLINK,
    NLM_F_DUMP,
    link_codec.IFINFOMSG.pack(0, 0, 0, 0, 0)
    + attribute(link_codec.IFLA_EXT_MASK, codec.U32.pack(link_codec.RTEXT_FILTER_SKIP_STATS)),
)


def _stack(links: Iterable[bytes], ifindex: int) -> tuple[tuple[Upper, ...], str]:
    """The interfaces on top of one, and the name of the interface that it is a port of."""
    uppers: list[Upper] = []
    names: dict[int, str] = {}
    master = 0
    for payload in links:
        index = link_codec.IFINFOMSG.unpack_from(payload)[2]
        found = dict(attributes(payload, link_codec.IFINFOMSG.size))
        names[index] = found.get(link_codec.IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
        kind = _kind(found.get(IFLA_LINKINFO, b""))
        if index == ifindex:
            master = _number(found.get(IFLA_MASTER))
        elif (
            kind in STACKED
            and _number(found.get(IFLA_LINK)) == ifindex
            and IFLA_LINK_NETNSID not in found  # else the number is that of another namespace
        ):
            uppers.append(Upper(names[index], kind))
    return tuple(uppers), names.get(master, "")


def _kind(linkinfo: bytes) -> str:
    return dict(attributes(linkinfo, 0)).get(IFLA_INFO_KIND, b"").rstrip(b"\0").decode()


def _number(value: bytes | None) -> int:
    return int(codec.U32.unpack(value)[0]) if value else 0


# Multicast --------------------------------------------------------------------------------------


def _joined(link: Link) -> Iterator[str]:
    ipv4 = parse_igmp(_read("igmp"), link.ifindex)
    ipv6 = parse_igmp6(_read("igmp6"), link.ifindex)
    for address in (*ipv4, *ipv6):
        if address not in AUTOMATIC | PER_LINK and address not in SOLICITED_NODE:
            yield str(address)


def parse_igmp(text: str, ifindex: int) -> Iterator[ipaddress.IPv4Address]:
    """Memberships of an interface in /proc/net/igmp: its line, then an indented one a group.

    An address stands there as the number that its bytes are to this machine.
    """
    here = False
    for line in text.splitlines()[1:]:
        words = line.split()
        if not line.startswith(("\t", " ")):
            here = words[:1] == [str(ifindex)]
        elif here and words:
            packed = int(words[0], 16).to_bytes(4, sys.byteorder)
            yield ipaddress.IPv4Address(packed)


def parse_igmp6(text: str, ifindex: int) -> Iterator[ipaddress.IPv6Address]:
    """Memberships of an interface in /proc/net/igmp6: index, name, group ... on each line."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 2 and words[0] == str(ifindex):
            yield ipaddress.IPv6Address(bytes.fromhex(words[2]))


def _read(name: str) -> str:
    """A file of /proc/net; nothing where the kernel does without that family."""
    try:
        with (PROC_NET / name).open(encoding="ascii", errors="replace") as file:
            return file.read(READ_BYTES)
    except FileNotFoundError:
        return ""
