"""A site with everything that `ipmpstat` can show: every state, flag, mode and empty field."""

from __future__ import annotations

from msgspec.structs import replace

from ipmp.model import (
    AddressStatus,
    DaemonStatus,
    Family,
    GroupState,
    GroupStatus,
    InterfaceState,
    InterfaceStatus,
    LinkState,
    ProbedTarget,
    ProbeReport,
    ProbeState,
    ProbeStatus,
    Status,
)

UP, DOWN, UNREPORTED = LinkState.UP, LinkState.DOWN, LinkState.UNKNOWN
OK, FAILED, OFFLINE, UNKNOWN = (
    InterfaceState.OK,
    InterfaceState.FAILED,
    InterfaceState.OFFLINE,
    InterfaceState.UNKNOWN,
)
IPV4, IPV6 = Family.IPV4, Family.IPV6


def _probes(family: Family, mode: str, source: str = "", *targets: str) -> ProbeStatus:
    return ProbeStatus(family, mode, source, tuple(map(ProbedTarget, targets)))


STATUS = Status(
    host="db7",
    time=0.0,
    daemon=DaemonStatus("0.1.0", 4711, 0.0, "/etc/ipmp/ipmp.toml"),
    groups=(
        GroupStatus("ipmp0", GroupState.OK, ("net0", "net1", "net2"), 3, 1, True, 10.0),
        GroupStatus("backend", GroupState.DEGRADED, ("net4", "net5"), 1, 1, True, 0.5),
        GroupStatus("storage-fabric-a", GroupState.FAILED, ("net6", "net7"), 0, 1, True, 10.0),
        GroupStatus("edge", GroupState.OK, ("net8", "net10"), 2, 1, True),
        GroupStatus("spare", GroupState.FAILED, (), 0, 1, True),
    ),
    interfaces=(
        InterfaceStatus(
            "net10",
            "edge",
            OK,
            UP,
            active=True,
            nominated_ipv4=True,
            nominated_ipv6=True,
            outbound=(IPV4, IPV6),
        ),
        InterfaceStatus("net8", "edge", UNKNOWN, UNREPORTED, active=True, outbound=(IPV4,)),
        InterfaceStatus(
            "net7",
            "storage-fabric-a",
            FAILED,
            DOWN,
            ProbeState.FAILED,
            probes=(_probes(IPV4, "routes", "203.0.113.17", "203.0.113.1"),),
        ),
        InterfaceStatus("net6", "storage-fabric-a", OFFLINE, UP, duplicate_hwaddr=True),
        InterfaceStatus("net5", "backend", OFFLINE, UP, down=True),
        InterfaceStatus(
            "net4",
            "backend",
            UNKNOWN,
            UP,
            ProbeState.UNKNOWN,
            active=True,
            nominated_ipv4=True,
            outbound=(IPV4,),
            probes=(_probes(IPV4, "multicast", "198.51.100.14"),),
        ),
        InterfaceStatus(
            "net2",
            "ipmp0",
            OK,
            UP,
            ProbeState.OK,
            standby=True,
            inactive=True,
            probes=(_probes(IPV4, "routes", "192.0.2.12", "192.0.2.1", "192.0.2.2"),),
        ),
        InterfaceStatus(
            "net1",
            "ipmp0",
            OK,
            UP,
            ProbeState.OK,
            active=True,
            outbound=(IPV4, IPV6),
            probes=(
                _probes(IPV4, "config", "", "192.0.2.2", "192.0.2.1"),
                _probes(IPV6, "neighbour", "", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1"),
            ),
        ),
        InterfaceStatus(
            "net0",
            "ipmp0",
            OK,
            UP,
            ProbeState.OK,
            active=True,
            nominated_ipv4=True,
            nominated_ipv6=True,
            outbound=(IPV4, IPV6),
            probes=(_probes(IPV6, "multicast", "fe80::214:4fff:fe12:3456", "fe80::1", "fe80::2"),),
        ),
    ),
    addresses=(
        AddressStatus("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/64", "ipmp0", IPV6, "net0"),
        AddressStatus("192.0.2.20/24", "ipmp0", IPV4, "net0"),
        AddressStatus("192.0.2.3/24", "ipmp0", IPV4, "net1"),
        AddressStatus("198.51.100.20/24", "backend", IPV4, "net4"),
        AddressStatus("203.0.113.5/24", "storage-fabric-a", IPV4),
        AddressStatus("203.0.113.130/25", "edge", IPV4, "net10"),
    ),
)


def _report(interface: str, probe: int, target: str, **more: float) -> ProbeReport:
    family = IPV6 if ":" in target else IPV4
    return ProbeReport(0.0, interface, family, probe, target, not more.get("rtt"), **more)


PROBES = (
    _report("net1", 117, "192.0.2.1", net_rtt=38e-5, rtt=55e-5, average=61e-5, deviation=2e-5),
    _report("net0", 118, "fe80::1", net_rtt=42e-5, rtt=6e-4),
    _report("net1", 118, "192.0.2.2", average=61e-5, deviation=2e-5),
    _report("net1", 9, "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1", net_rtt=1.5, rtt=1.5004, average=0.2),
)

LOCAL = replace(
    STATUS,
    groups=STATUS.groups[:1],
    interfaces=(
        replace(STATUS.interfaces[-1], probes=(_probes(IPV4, "routes", "127.0.0.1", "127.0.0.1"),)),
    ),
    addresses=(AddressStatus("127.0.0.1/8", "ipmp0", IPV4, "net0"),),
)


def many(count: int) -> Status:
    """So many members that the header is wanted again."""
    interfaces = tuple(InterfaceStatus(f"net{n}", "ipmp0", OK, UP) for n in range(count))
    return replace(STATUS, interfaces=interfaces)
