"""The modes of `ipmpstat` and their columns (reference ipmp-semantics 3 and 4.1).

Rows come in natural order of their names (ni2 before ni10), where Solaris prints the newest first.
The IPMP interface has the name of its group, so GROUP and GROUPNAME are the same.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import NamedTuple

from ipmp.cli.table import Column
from ipmp.model import AddressStatus, Family, GroupStatus, InterfaceStatus, ProbeReport, Status


class AddressRow(NamedTuple):
    """A data address with what its group adds."""

    address: AddressStatus
    name: str  # as shown: numeric, or its host name
    outbound: tuple[str, ...]  # members through which its family's traffic leaves


class GroupRow(NamedTuple):
    """A group with its members."""

    group: GroupStatus
    members: tuple[InterfaceStatus, ...]


class TargetRow(NamedTuple):
    """What one member probes in one family; the names are as shown."""

    interface: str
    mode: str
    test_address: str
    targets: tuple[str, ...]


class ProbeRow(NamedTuple):
    """A probe that was answered or lost."""

    report: ProbeReport
    time: float  # seconds since ipmpstat was started
    target: str  # as shown


def _duration(name: str, seconds: Callable[[ProbeReport], float | None]) -> Column[ProbeRow]:
    """A column of milliseconds; JSON has seconds, as everywhere."""
    return Column[ProbeRow](
        name, 10, lambda r: _milliseconds(seconds(r.report)), lambda r: seconds(r.report)
    )


ADDRESS = (
    Column[AddressRow]("ADDRESS", 26, lambda r: r.name),
    Column[AddressRow]("STATE", 7, lambda r: "up" if r.address.interface else "down"),
    Column[AddressRow]("GROUP", 12, lambda r: r.address.group),
    Column[AddressRow]("INBOUND", 12, lambda r: r.address.interface or ""),
    Column[AddressRow](
        "OUTBOUND",
        23,
        lambda r: " ".join(r.outbound) if r.address.interface else "",
        lambda r: list(r.outbound) if r.address.interface else [],
    ),
)

GROUP = (
    Column[GroupRow]("GROUP", 12, lambda r: r.group.name),
    Column[GroupRow]("GROUPNAME", 12, lambda r: r.group.name),
    Column[GroupRow]("STATE", 10, lambda r: r.group.state),
    Column[GroupRow](
        "FDT", 10, lambda r: _seconds(r.group), lambda r: r.group.failure_detection_time
    ),
    Column[GroupRow]("INTERFACES", 30, lambda r: _members(r.members), lambda r: _parts(r.members)),
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
    Column[TargetRow]("INTERFACE", 12, lambda r: r.interface),
    Column[TargetRow]("MODE", 10, lambda r: r.mode),
    Column[TargetRow]("TESTADDR", 20, lambda r: r.test_address),
    Column[TargetRow](
        "TARGETS", 38, lambda r: " ".join(r.targets), lambda r: list(r.targets) or None
    ),
)

PROBE = (
    Column[ProbeRow]("TIME", 10, lambda r: f"{r.time:.2f}s", lambda r: round(r.time, 6)),
    Column[ProbeRow]("INTERFACE", 12, lambda r: r.report.interface),
    Column[ProbeRow]("PROBE", 7, lambda r: str(r.report.probe), lambda r: r.report.probe),
    _duration("NETRTT", lambda report: report.net_rtt),
    _duration("RTT", lambda report: report.rtt),
    _duration("RTTAVG", lambda report: report.average or None),
    Column[ProbeRow]("TARGET", 20, lambda r: r.target),
    _duration("RTTDEV", lambda report: report.deviation or None),
)


def addresses(status: Status, *, numeric: bool) -> list[AddressRow]:
    """Rows of -a. OUTBOUND is every active member where a group spreads, as Solaris always does."""
    outbound = {
        (group.name, family): tuple(
            i.name for i in members(status, group.name) if i.active and family in i.outbound
        )
        for group in status.groups
        for family in Family
    }
    return [
        AddressRow(a, _shown(a.address, numeric=numeric), outbound[a.group, a.family])
        for a in sorted(status.addresses, key=lambda a: natural(a.address))
    ]


def groups(status: Status) -> list[GroupRow]:
    """Rows of -g."""
    ordered = sorted(status.groups, key=lambda g: natural(g.name))
    return [GroupRow(group, tuple(members(status, group.name))) for group in ordered]


def interfaces(status: Status) -> list[InterfaceStatus]:
    """Rows of -i."""
    return sorted(status.interfaces, key=lambda i: natural(i.name))


def targets(status: Status, *, numeric: bool) -> list[TargetRow]:
    """Rows of -t: one a family that is probed, and one that says so where none is."""
    rows = []
    for interface in interfaces(status):
        for probe in interface.probes:
            names = tuple(_shown(t.address, numeric=numeric) for t in probe.targets)
            source = _shown(probe.test_address, numeric=numeric) if probe.test_address else ""
            rows.append(TargetRow(interface.name, probe.mode, source, names))
        if not interface.probes:
            rows.append(TargetRow(interface.name, "disabled", "", ()))
    return rows


def probe(report: ProbeReport, started: float, *, numeric: bool) -> ProbeRow:
    """A row of -p; `started` is Unix time."""
    return ProbeRow(report, report.time - started, _shown(report.target, numeric=numeric))


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
    forms = {"active": "{}", "inactive": "({})", "unusable": "[{}]"}
    parts = _parts(members)
    return " ".join(form.format(" ".join(parts[k])) for k, form in forms.items() if parts[k])


def _parts(members: tuple[InterfaceStatus, ...]) -> dict[str, list[str]]:
    """The names of the members, by whether they are used."""
    return {
        "active": [i.name for i in members if i.active],
        "inactive": [i.name for i in members if i.inactive and not i.active],
        "unusable": [i.name for i in members if not i.active and not i.inactive],
    }


def _seconds(group: GroupStatus) -> str:
    time = group.failure_detection_time
    return "" if time is None else f"{time:.2f}s"


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.2f}ms"


def _shown(key: str, *, numeric: bool) -> str:
    """The address without its prefix length, or its name without the local domain."""
    address = key.partition("/")[0]
    if numeric:
        return address
    try:
        return socket.getnameinfo((address, 0), socket.NI_NOFQDN | socket.NI_NUMERICSERV)[0]
    except OSError:
        return address
