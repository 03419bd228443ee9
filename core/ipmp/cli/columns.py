"""The modes of `ipmpstat` and their columns (reference ipmp-semantics 3 and 4.1).

Rows come in natural order of their names (ni2 before ni10), where Solaris prints the newest first.
The IPMP interface has the name of its group, so GROUP and GROUPNAME are the same.
"""

from __future__ import annotations

import re
import socket
from typing import NamedTuple

from ipmp.cli.table import Column
from ipmp.model import AddressStatus, GroupStatus, InterfaceStatus, Status


class AddressRow(NamedTuple):
    """A data address with what its group adds."""

    address: AddressStatus
    name: str  # as shown: numeric, or its host name
    active: tuple[str, ...]


class GroupRow(NamedTuple):
    """A group with its members."""

    group: GroupStatus
    members: tuple[InterfaceStatus, ...]


ADDRESS = (
    Column[AddressRow]("ADDRESS", 26, lambda r: r.name),
    Column[AddressRow]("STATE", 7, lambda r: "up" if r.address.interface else "down"),
    Column[AddressRow]("GROUP", 12, lambda r: r.address.group),
    Column[AddressRow]("INBOUND", 12, lambda r: r.address.interface or ""),
    Column[AddressRow](
        "OUTBOUND",
        23,
        lambda r: " ".join(r.active) if r.address.interface else "",
        lambda r: list(r.active) if r.address.interface else [],
    ),
)

GROUP = (
    Column[GroupRow]("GROUP", 12, lambda r: r.group.name),
    Column[GroupRow]("GROUPNAME", 12, lambda r: r.group.name),
    Column[GroupRow]("STATE", 10, lambda r: r.group.state),
    Column[GroupRow](
        "FDT", 10, lambda r: _seconds(r.group), lambda r: r.group.failure_detection_time
    ),
    Column[GroupRow]("INTERFACES", 30, lambda r: _members(r.members)),
)

INTERFACE = (
    Column[InterfaceStatus]("INTERFACE", 12, lambda i: i.name),
    Column[InterfaceStatus]("ACTIVE", 8, lambda i: "yes" if i.active else "no", lambda i: i.active),
    Column[InterfaceStatus]("GROUP", 12, lambda i: i.group),
    Column[InterfaceStatus]("FLAGS", 10, lambda i: flags(i)),
    Column[InterfaceStatus]("LINK", 10, lambda i: i.link),
    Column[InterfaceStatus]("PROBE", 10, lambda i: i.probe),
    Column[InterfaceStatus]("STATE", 10, lambda i: i.state),
)

TARGET = (
    Column[InterfaceStatus]("INTERFACE", 12, lambda i: i.name),
    Column[InterfaceStatus]("MODE", 10, lambda i: "disabled"),
    Column[InterfaceStatus]("TESTADDR", 20, lambda i: ""),
    Column[InterfaceStatus]("TARGETS", 38, lambda i: ""),
)

#: Columns of -p. There is no row of it while no member is probed.
PROBE = tuple(
    Column[InterfaceStatus](name, width, lambda i: "")
    for name, width in (
        ("TIME", 10),
        ("INTERFACE", 12),
        ("PROBE", 7),
        ("NETRTT", 10),
        ("RTT", 10),
        ("RTTAVG", 10),
        ("TARGET", 20),
        ("RTTDEV", 10),
    )
)


def addresses(status: Status, *, numeric: bool) -> list[AddressRow]:
    """Rows of -a."""
    active = {
        group.name: tuple(i.name for i in members(status, group.name) if i.active)
        for group in status.groups
    }
    return [
        AddressRow(a, _shown(a.address, numeric=numeric), active[a.group])
        for a in sorted(status.addresses, key=lambda a: natural(a.address))
    ]


def groups(status: Status) -> list[GroupRow]:
    """Rows of -g."""
    ordered = sorted(status.groups, key=lambda g: natural(g.name))
    return [GroupRow(group, tuple(members(status, group.name))) for group in ordered]


def interfaces(status: Status) -> list[InterfaceStatus]:
    """Rows of -i and -t."""
    return sorted(status.interfaces, key=lambda i: natural(i.name))


def members(status: Status, group: str) -> list[InterfaceStatus]:
    """The members of a group."""
    return [i for i in interfaces(status) if i.group == group]


def flags(interface: InterfaceStatus) -> str:
    """The seven positions of FLAGS."""
    letters = (
        ("i", interface.inactive),
        ("s", interface.standby),
        ("m", interface.nominated_ipv4),
        ("b", interface.nominated_ipv4),
        ("M", interface.nominated_ipv6),
        ("d", interface.down),
        ("h", interface.duplicate_hwaddr),
    )
    return "".join(letter if is_set else "-" for letter, is_set in letters)


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key in which numbers count as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _members(members: tuple[InterfaceStatus, ...]) -> str:
    """`act1 act2 (inact1) [unusable1]`, parts only where there are any."""
    active = [i.name for i in members if i.active]
    inactive = [i.name for i in members if i.inactive and not i.active]
    unusable = [i.name for i in members if not i.active and not i.inactive]
    parts = [" ".join(active)]
    parts += [f"({' '.join(inactive)})"] if inactive else []
    parts += [f"[{' '.join(unusable)}]"] if unusable else []
    return " ".join(part for part in parts if part)


def _seconds(group: GroupStatus) -> str:
    time = group.failure_detection_time
    return "" if time is None else f"{time:.2f}s"


def _shown(key: str, *, numeric: bool) -> str:
    """The address without its prefix length, or its name without the local domain."""
    address = key.partition("/")[0]
    if numeric:
        return address
    try:
        return socket.getnameinfo((address, 0), socket.NI_NOFQDN | socket.NI_NUMERICSERV)[0]
    except OSError:
        return address
