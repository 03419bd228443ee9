"""Status snapshots for the exporter's tests: the states of one host with two groups."""

from __future__ import annotations

import msgspec

from ipmp.model import (
    AddressStatus,
    DaemonStatus,
    Family,
    GroupState,
    GroupStatus,
    Histogram,
    HoldIntent,
    InterfaceState,
    InterfaceStatus,
    LinkState,
    OfflineIntent,
    ProbedTarget,
    ProbeState,
    ProbeStatus,
    Status,
)

BEGAN = 1_790_000_000.0
BOUNDS = (0.01, 0.1, 1.0)


def healthy() -> Status:
    """Both groups work; one of them has a standby member and is probed."""
    return Status(
        host="db7",
        time=BEGAN + 3600,
        daemon=DaemonStatus(
            version="0.1.0",
            pid=4711,
            started=BEGAN,
            config_file="/etc/ipmp/ipmp.toml",
            config_last_reload_success=BEGAN,
            operations={"offline": 0, "online": 0},
            operation_durations={
                "offline": Histogram(BOUNDS, (0, 0, 0, 0), 0.0),
                "online": Histogram(BOUNDS, (0, 0, 0, 0), 0.0),
            },
            announcements={"ipv4": 12, "ipv6": 5},
            reconciles=120,
            drift={"address": 1, "route": 0},
            loop_lag_max=0.0021,
        ),
        groups=(
            GroupStatus(
                name="ipmp0",
                state=GroupState.OK,
                interfaces=("ni0", "ni1"),
                usable=2,
                min_usable=1,
                failback=True,
                since=BEGAN,
                failover_duration=Histogram(BOUNDS, (0, 0, 0, 0), 0.0),
            ),
            GroupStatus(
                name="storage",
                state=GroupState.OK,
                interfaces=("ni2", "ni3"),
                usable=2,
                min_usable=1,
                failback=False,
                failure_detection_time=10.0,
                since=BEGAN,
                failovers={"link": 2},
                failbacks={"link": 1},
                last_failover=BEGAN + 60,
                failover_duration=Histogram(BOUNDS, (1, 2, 2, 2), 0.034),
            ),
        ),
        interfaces=(
            _member("ni0", "ipmp0", nominated_ipv4=True, nominated_ipv6=True),
            _member("ni1", "ipmp0"),
            _member("ni2", "storage", probe=ProbeState.OK, probes=(_probes(sent=400, lost=3),)),
            _member(
                "ni3",
                "storage",
                probe=ProbeState.OK,
                active=False,
                standby=True,
                inactive=True,
                probes=(_probes(sent=398),),
            ),
        ),
        addresses=(
            AddressStatus("192.168.1.5/24", "ipmp0", Family.IPV4, "ni0", "ni0"),
            AddressStatus("fd00:1::5/64", "ipmp0", Family.IPV6, "ni0", "ni0"),
            AddressStatus("10.0.0.5/24", "storage", Family.IPV4, "ni2", None, adopted=True),
        ),
    )


def offline(actor: str = "root (uid 0) via if_mpadm") -> Status:
    """`ni0` was taken offline; its addresses are guests on `ni1`; remediation is paused."""
    status = healthy()
    intent = OfflineIntent("switch A is replaced", actor, BEGAN + 100)
    status = change_interface(
        status,
        "ni0",
        state=InterfaceState.OFFLINE,
        active=False,
        down=True,
        nominated_ipv4=False,
        nominated_ipv6=False,
        since=BEGAN + 100,
        reason="taken offline by root: switch A is replaced",
        offline=intent,
        hold=HoldIntent("not before Monday", "root (uid 0)", BEGAN + 90),
        transitions={"ok": 1, "offline": 1},
    )
    status = change_group(
        status,
        "ipmp0",
        state=GroupState.DEGRADED,
        usable=1,
        failovers={"offline": 1},
        last_failover=BEGAN + 100,
        failover_duration=Histogram(BOUNDS, (0, 1, 1, 1), 0.012),
    )
    daemon = msgspec.structs.replace(
        status.daemon,
        operations={"offline": 1, "online": 0},
        operations_under_way={"online": 1},
        operation_durations={
            "offline": Histogram(BOUNDS, (0, 0, 1, 1), 0.31),
            "online": Histogram(BOUNDS, (0, 0, 0, 0), 0.0),
        },
        operation_failures={"offline": {"minimum-redundancy": 2}},
        paused=HoldIntent("change window", "root (uid 0)", BEGAN + 90),
    )
    return msgspec.structs.replace(place(status, "ipmp0", "ni1"), daemon=daemon)


def failed() -> Status:
    """Both members of `ipmp0` are dead, one is even absent; the configuration was not accepted."""
    status = change_interface(
        healthy(),
        "ni0",
        state=InterfaceState.FAILED,
        link=LinkState.DOWN,
        active=False,
        reason="The link has gone down on ni0",
        transitions={"ok": 1, "failed": 1},
    )
    status = change_interface(
        status,
        "ni1",
        state=InterfaceState.UNKNOWN,
        link=LinkState.UNKNOWN,
        active=False,
        present=False,
        hwaddr="",
        reason="ni1 does not exist on this host",
    )
    status = change_group(
        status,
        "ipmp0",
        state=GroupState.FAILED,
        usable=0,
        moves_under_way=1,
        kernel_refusals=2,
    )
    ni2 = status.interface("ni2")
    assert ni2 is not None
    status = change_interface(status, "ni2", probes=(), past_probes=ni2.probes)
    daemon = msgspec.structs.replace(
        status.daemon,
        clean_start=False,
        config_reloads=1,
        config_reload_failures=1,
        config_last_reload_successful=False,
        config_error="groups.ipmp0.interfaces: <empty> & useless",
        announcement_failures={"ipv4": 3},
        netlink_overruns=1,
        history_on_disk=False,
        history_pending=7,
    )
    return msgspec.structs.replace(place(status, "ipmp0", None), daemon=daemon)


def probed() -> Status:
    """A member of `storage` probes two targets."""
    probes = ProbeStatus(
        Family.IPV4,
        "config",
        "10.0.0.21",
        (ProbedTarget("10.0.0.7", 0.000412, 0.00005), ProbedTarget("10.0.0.2")),
        sent=100,
        acked=97,
        lost=2,
    )
    return change_interface(healthy(), "ni2", probes=(probes,))


def without_groups() -> Status:
    """The daemon runs, nothing is configured."""
    return msgspec.structs.replace(healthy(), groups=(), interfaces=(), addresses=())


def many(members: int, addresses: int) -> Status:
    """One group with many addresses, for what takes long."""
    names = tuple(f"ni{number}" for number in range(members))
    return msgspec.structs.replace(
        healthy(),
        groups=(GroupStatus("big", GroupState.OK, names, members, 1, True),),
        interfaces=tuple(_member(name, "big") for name in names),
        addresses=tuple(
            AddressStatus(
                f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}/8",
                "big",
                Family.IPV4,
                names[number % members],
                names[number % members],
            )
            for number in range(addresses)
        ),
    )


def fleet(interfaces: int, addresses: int) -> Status:
    """Groups of two interfaces, with so many in all, that are probed and share the addresses."""
    pairs = interfaces // 2
    names = [(f"ni{2 * n}", f"ni{2 * n + 1}") for n in range(pairs)]
    histogram = Histogram(BOUNDS, (0, 0, 0, 0), 0.0)
    return msgspec.structs.replace(
        healthy(),
        groups=tuple(
            GroupStatus(f"ipmp{n}", GroupState.OK, pair, 2, 1, True, failover_duration=histogram)
            for n, pair in enumerate(names)
        ),
        interfaces=tuple(
            _member(name, f"ipmp{n}", probe=ProbeState.OK, probes=(_probes(sent=1000),))
            for n, pair in enumerate(names)
            for name in pair
        ),
        addresses=tuple(
            AddressStatus(
                f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}/8",
                f"ipmp{n % pairs}",
                Family.IPV4,
                names[n % pairs][0],
                names[n % pairs][0],
            )
            for n in range(addresses)
        ),
    )


def change_interface(status: Status, name: str, **fields: object) -> Status:
    """Return the snapshot with fields of one member replaced."""
    return msgspec.structs.replace(
        status,
        interfaces=tuple(
            msgspec.structs.replace(i, **fields) if i.name == name else i for i in status.interfaces
        ),
    )


def change_group(status: Status, name: str, **fields: object) -> Status:
    """Return the snapshot with fields of one group replaced."""
    return msgspec.structs.replace(
        status,
        groups=tuple(
            msgspec.structs.replace(g, **fields) if g.name == name else g for g in status.groups
        ),
    )


def place(status: Status, group: str, interface: str | None) -> Status:
    """Return the snapshot with every address of a group on one member, or on none."""
    return msgspec.structs.replace(
        status,
        addresses=tuple(
            msgspec.structs.replace(a, interface=interface, moves=a.moves + 1)
            if a.group == group
            else a
            for a in status.addresses
        ),
    )


def _probes(sent: int, lost: int = 0) -> ProbeStatus:
    return ProbeStatus(
        family=Family.IPV4,
        mode="routes",
        targets=(ProbedTarget("10.0.0.1", 0.0004, 0.0001), ProbedTarget("10.0.0.2")),
        sent=sent,
        acked=sent - lost - 1,
        rtt_total=0.0004 * (sent - lost - 1),
        lost=lost,
        void=1,
        rejected={"link": 0, "sender": 2},
    )


def _member(
    name: str,
    group: str,
    *,
    probe: ProbeState = ProbeState.DISABLED,
    active: bool = True,
    standby: bool = False,
    inactive: bool = False,
    nominated_ipv4: bool = False,
    nominated_ipv6: bool = False,
    probes: tuple[ProbeStatus, ...] = (),
) -> InterfaceStatus:
    return InterfaceStatus(
        name=name,
        group=group,
        state=InterfaceState.OK,
        link=LinkState.UP,
        probe=probe,
        active=active,
        standby=standby,
        inactive=inactive,
        nominated_ipv4=nominated_ipv4,
        nominated_ipv6=nominated_ipv6,
        hwaddr=f"02:00:00:00:00:{int(name[2:]) % 256:02x}",
        mtu=1500,
        since=BEGAN,
        probes=probes,
        transitions={"ok": 1},
    )
