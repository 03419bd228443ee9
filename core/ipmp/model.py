"""The values that every part shares: states, members, addresses, and the status snapshot.

The status API's JSON *is* these structs (`msgspec` encodes and decodes them), so the exporter, the
remediator and the command line tools see one consistent snapshot of plain values. Words are
Solaris' (reference: ipmp-semantics section 3); times are Unix seconds unless a name says otherwise.
Nothing here does I/O or knows the kernel.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ipmp.decision import Decision


class InterfaceState(StrEnum):
    """STATE of a member as `ipmpstat -i` prints it."""

    OK = "ok"
    FAILED = "failed"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


class GroupState(StrEnum):
    """STATE of a group: ok = every member usable, failed = none, degraded = between."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


class LinkState(StrEnum):
    """LINK of a member; unknown when the driver does not report its carrier."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


class ProbeState(StrEnum):
    """PROBE of a member; disabled means that only its carrier is watched."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"
    DISABLED = "disabled"


class Family(StrEnum):
    """Address family, as metric labels spell it."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"


class MoveReason(StrEnum):
    """Why a failover or failback was carried out; every one is pre-created in the metrics."""

    LINK = "link"  # carrier lost or returned
    PROBE = "probe"  # probes were lost, or are answered again
    DUPLICATE = "duplicate"  # another member has the same hardware address
    ABSENT = "absent"  # the interface vanished or appeared
    OFFLINE = "offline"  # an operator or the remediator took it offline, or brought it online
    RECONCILE = "reconcile"  # the kernel disagreed with what should be


class OfflineIntent(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody asked that this interface carries nothing until it is brought online again."""

    reason: str
    actor: str  # for example "root (uid 0) via if_mpadm", "remediator"
    since: float
    request_id: str = ""


class HoldIntent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An operator took this interface out of automation; only an operator lifts it.

    A pause of remediation has the same form, and may have an end.
    """

    reason: str
    actor: str
    since: float
    until: float = 0.0  # Unix time at which it ends by itself; 0: never


class ProbedTarget(msgspec.Struct, frozen=True, omit_defaults=True):
    """A host that a member probes; times in seconds, 0 while unknown."""

    address: str
    rtt_average: float = 0.0
    rtt_deviation: float = 0.0


class ProbeStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """The probes of one member in one family; the counters never decrease."""

    family: Family
    mode: str  # where targets come from: config, routes, neighbour, multicast
    test_address: str = ""  # source of the probes; empty where they need none
    targets: tuple[ProbedTarget, ...] = ()  # active ones in firing order, the next one first
    sent: int = 0
    acked: int = 0
    rtt_total: float = 0.0  # of the acked ones, seconds
    lost: int = 0
    late: int = 0  # acked after they had been counted as lost
    void: int = 0  # neither: the link went down, or the kernel refused to send
    missed: int = 0  # slots that passed while the daemon did not run
    rejected: dict[str, int] = {}  # replies that were not counted, by reason


class ProbeReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of `GET /v1/probes`: a probe was answered, or is lost. Durations in seconds."""

    time: float  # Unix time at which it was sent
    interface: str
    family: Family
    probe: int  # its sequence number
    target: str
    lost: bool
    net_rtt: float | None = None  # until the kernel had the reply
    rtt: float | None = None  # until the daemon had it
    average: float = 0.0  # smoothed RTT of this target on this interface; 0: not known
    deviation: float = 0.0


class InterfaceStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """One member of a group."""

    name: str
    group: str
    state: InterfaceState
    link: LinkState
    probe: ProbeState = ProbeState.DISABLED
    active: bool = False  # functioning and not kept back: carries or may carry data addresses
    standby: bool = False  # configured as a spare
    inactive: bool = False  # works, not used by policy (flag `i`)
    down: bool = False  # no address on the member is up (flag `d`)
    duplicate_hwaddr: bool = False  # flag `h`
    nominated_ipv4: bool = False  # carries the group's IPv4 egress (flags `m` and `b`)
    nominated_ipv6: bool = False  # carries the group's IPv6 egress (flag `M`)
    outbound: tuple[Family, ...] = ()  # families whose traffic leaves through it (OUTBOUND)
    present: bool = True
    ifindex: int = 0
    hwaddr: str = ""
    mtu: int = 0
    reason: str = ""  # one sentence: why it is in this state
    since: float = 0.0  # last state change
    offline: OfflineIntent | None = None
    hold: HoldIntent | None = None
    link_losses: int = 0  # how often its link has gone down, as the kernel counts
    probes: tuple[ProbeStatus, ...] = ()  # one for each family that is probed
    past_probes: tuple[ProbeStatus, ...] = ()  # families that were: their counters go on
    transitions: dict[str, int] = {}  # state -> how often it was entered since the daemon started


class AddressStatus(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One data address: where it is and where it belongs."""

    address: str  # "192.168.1.5/24"
    group: str
    family: Family
    interface: str | None = None  # the member that carries it; None while no member does
    home: str | None = None
    adopted: bool = False  # found on a member, not declared in ipmp.toml
    moves: int = 0
    last_move: float = 0.0
    reason: str = ""  # one sentence: why it is where it is


class Histogram(msgspec.Struct, frozen=True):
    """Cumulative histogram in Prometheus' sense; the last bucket is +Inf."""

    bounds: tuple[float, ...]  # upper bounds in seconds, without +Inf
    counts: tuple[int, ...]  # cumulative, one more than bounds
    total: float  # sum of the observed values, seconds


class Fight(msgspec.Struct, frozen=True):
    """Another program undoes again and again what was put right on a member."""

    subject: str  # an address, or a route in words
    interface: str
    repairs: int
    sentence: str


class GroupStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """One IPMP group."""

    name: str
    state: GroupState
    interfaces: tuple[str, ...]  # configured members, standby ones included
    usable: int  # members able to carry traffic now
    min_usable: int
    failback: bool
    failure_detection_time: float | None = None  # seconds; None while no member is probed
    since: float = 0.0
    failovers: dict[str, int] = {}  # MoveReason -> count of failovers
    failbacks: dict[str, int] = {}
    last_failover: float = 0.0
    moves_under_way: int = 0  # failovers and failbacks that are not announced completely yet
    kernel_refusals: int = 0  # steps that the kernel refused; each is tried again
    failover_duration: Histogram | None = None  # detection -> moved and announced, seconds
    fights: tuple[Fight, ...] = ()
    outbound: str = "single"  # or "spread": through all active members at once


class DaemonStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """The daemon itself."""

    version: str
    pid: int
    started: float
    config_file: str
    clean_start: bool = True  # the last daemon had stopped with nothing under way
    config_generation: int = 1
    config_reloads: int = 0  # attempts, also those that were not accepted
    config_reload_failures: int = 0
    config_last_reload_successful: bool = True
    config_last_reload_success: float = 0.0
    config_error: str = ""
    paused: HoldIntent | None = None  # remediation is paused on this host
    operations: dict[str, int] = {}  # offline, online, failover, failback -> count
    operation_failures: dict[str, dict[str, int]] = {}  # operation -> reason code -> count
    operations_under_way: dict[str, int] = {}  # operation -> requests that wait for its end
    operation_durations: dict[str, Histogram] = {}  # of those that did not fail, seconds
    announcements: dict[str, int] = {}  # family -> sent
    announcement_failures: dict[str, int] = {}  # family -> failed
    reconciles: int = 0
    drift: dict[str, int] = {}  # kind of foreign change that was put right -> count
    netlink_overruns: int = 0
    loop_lag_max: float = 0.0  # longest time the loop was blocked, seconds, last minute
    history_on_disk: bool = True  # False: the disk does not take events, they stay in memory
    history_pending: int = 0  # events that are not written yet


class Status(msgspec.Struct, frozen=True):
    """`GET /v1/status`: one consistent snapshot."""

    host: str
    time: float
    daemon: DaemonStatus
    groups: tuple[GroupStatus, ...]
    interfaces: tuple[InterfaceStatus, ...]
    addresses: tuple[AddressStatus, ...]

    def group(self, name: str) -> GroupStatus | None:
        """Return the group called `name`, or None."""
        return next((g for g in self.groups if g.name == name), None)

    def interface(self, name: str) -> InterfaceStatus | None:
        """Return the member called `name`, or None."""
        return next((i for i in self.interfaces if i.name == name), None)


class Event(msgspec.Struct, frozen=True, gc=False):
    """One line of `GET /v1/events` and of the history: a decision, numbered and dated."""

    id: int
    time: float
    decision: Decision
    sentence: str


class OperationRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of every `POST`, for example of `/v1/interfaces/{name}/offline`."""

    reason: str = ""
    request_id: str = ""
    dry_run: bool = False
    actor: str = ""  # a program's own name; the peer's credentials are added by the daemon
    until: float = 0.0  # of a pause: Unix time at which it ends by itself; 0: never


class OperationResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an operation did, or with `dry_run` would do."""

    interface: str
    operation: str
    changed: bool
    dry_run: bool = False
    verified: bool = False  # moved, announced, and the old member has gone quiet
    moved: tuple[str, ...] = ()  # addresses that moved (dry run: would move)
    sentence: str = ""
    warnings: tuple[str, ...] = ()  # sentences: what stays on the interface, and is cut off


class ProblemCode(StrEnum):
    """Stable `code` of an `application/problem+json` answer (DESIGN 5.3)."""

    MINIMUM_REDUNDANCY = "minimum-redundancy"
    UNKNOWN_INTERFACE = "unknown-interface"
    UNKNOWN_ADDRESS = "unknown-address"
    NOT_IN_GROUP = "not-in-group"
    ALREADY_OFFLINE = "already-offline"
    NOT_OFFLINE = "not-offline"
    DUPLICATE_HWADDR = "duplicate-hwaddr"
    HELD = "held"
    BUSY = "busy"
    INVALID = "invalid"
    INTERNAL = "internal"  # a defect of the daemon; its log says more


class Problem(msgspec.Struct, frozen=True):
    """RFC 9457 problem details; `code` is for programs, `detail` one sentence for people."""

    code: ProblemCode
    detail: str
    status: int
    title: str = ""
