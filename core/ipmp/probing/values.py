"""What goes into the probe engine and what comes out of it: plain values, no behaviour.

Times are seconds of the monotonic clock unless a name says otherwise. A *path* is one member in one
family; it is the unit of probing. Everything that crosses the border to `kernel` is a value, too: a
`Probe` becomes a packet there, and a packet a `Reply`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ipmp.decision import Decision
from ipmp.model import Family, ProbeState


class Method(StrEnum):
    """How a target is asked."""

    ICMP = "icmp"  # echo request from the test address
    ARP = "arp"  # ARP probe with sender 0.0.0.0; for IPv6 a neighbour solicitation


class Mode(StrEnum):
    """Where targets come from: MODE of `ipmpstat -t`; Solaris has the first, third and last."""

    DISABLED = "disabled"
    CONFIG = "config"  # named in ipmp.toml
    ROUTES = "routes"  # next hops
    NEIGHBOUR = "neighbour"  # the kernel's neighbour table
    MULTICAST = "multicast"  # whoever answered an echo to all nodes, or is a neighbour


class Rejection(StrEnum):
    """Why a reply was not counted; a metric label."""

    LINK = "link"  # it came while the link was down
    IDENT = "ident"  # not an answer to us
    SEQUENCE = "sequence"  # no such probe among the last ones
    SENDER = "sender"  # not from the target that was asked
    DUPLICATE = "duplicate"  # the probe was answered before, or never sent


class Path(msgspec.Struct, frozen=True, gc=False):
    """Where probes go out; one that differs in more than `link` is another path."""

    member: str
    family: Family
    method: Method
    ifindex: int
    hwaddr: str
    source: str  # test address, or link-local address; "" for ARP
    link: bool  # the link is up: probes go out

    @property
    def key(self) -> PathKey:
        """Member and family."""
        return self.member, self.family

    @property
    def port(self) -> tuple[str, int, str]:
        """The port that probes of either family go through."""
        return self.member, self.ifindex, self.hwaddr


PathKey = tuple[str, Family]


class Probe(msgspec.Struct, frozen=True, gc=False):
    """One packet to send. `member` and `family` name the path."""

    member: str
    family: Family
    method: Method
    target: str
    sequence: int  # 16 bits
    ident: int = 0  # ICMP: 16 random bits of the path
    nonce: bytes = b""  # ICMP: 8 random bytes of the path, echoed by the target
    hwaddr: bytes = b""  # ARP: ask this station only; empty: ask the whole link


class Reply(msgspec.Struct, frozen=True, gc=False):
    """One packet that was received on a path."""

    member: str
    family: Family
    method: Method
    sender: str
    received: float  # when the kernel received it
    sequence: int = 0
    ident: int = 0
    nonce: bytes = b""
    hwaddr: bytes = b""  # ARP: the sender's
    asked: bool = True  # False: the target said something else, so it is alive


class Inquiry(msgspec.Struct, frozen=True):
    """What the kernel must be asked, beyond the snapshot, before paths can be arranged."""

    addresses: frozenset[str]  # which of these are this host's own
    neighbours: frozenset[Family]  # in these families who the neighbours are


class Nearby(msgspec.Struct, frozen=True):
    """The kernel's answer to an inquiry."""

    routers: dict[Family, tuple[str, ...]] = {}  # next hops of RA and DHCP routes
    neighbours: dict[Family, tuple[str, ...]] = {}
    own: frozenset[str] = frozenset()  # addresses of this host among those it was asked about


class Candidates(msgspec.Struct, frozen=True):
    """Who may become a target, in one family."""

    configured: tuple[str, ...] = ()
    routers: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()
    own: frozenset[str] = frozenset()  # never targets


class Setup(msgspec.Struct, frozen=True):
    """Everything that the engine of a group is told about the world."""

    detection_time: float  # configured failure detection time, seconds
    paths: tuple[Path, ...]
    candidates: dict[Family, Candidates]


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """A probe was answered or lost. A lost one may be answered later: then there are two."""

    member: str
    family: Family
    target: str
    sequence: int
    started: float
    lost: bool
    net_rtt: float | None = None  # received by the kernel - started
    rtt: float | None = None  # processed - started; much more than net_rtt: this host is busy
    average: float = 0.0  # smoothed RTT of this target on this path; 0: not known yet
    deviation: float = 0.0


class Counters(msgspec.Struct, gc=False):
    """What happened on a path since the engine was made; they never decrease."""

    sent: int = 0
    acked: int = 0
    lost: int = 0
    late: int = 0  # acked after they had been counted as lost or void
    void: int = 0  # neither: the link went down, or the kernel refused to send
    missed: int = 0  # slots that passed while this process did not run
    rtt_sum: float = 0.0  # of the acked ones, seconds
    rejected: dict[str, int] = {}  # Rejection -> count


class Standing(msgspec.Struct, frozen=True):
    """What the probes say about a member."""

    verdict: ProbeState
    since: float
    targets: int = 0  # active ones, over both families
    losses: int = 0  # in a row, on the family that fares best
    first_loss: float | None = None  # when the first of this series was lost
    last_success: float | None = None  # when the last answer arrived


class TargetRow(msgspec.Struct, frozen=True):
    """A row of `ipmpstat -t`."""

    member: str
    family: Family
    mode: Mode
    source: str  # TESTADDR; "" where probes need none
    targets: tuple[str, ...]  # in firing order


class Turn(msgspec.Struct):
    """What one call of the engine brought."""

    probes: list[Probe] = []  # to be sent now
    outcomes: list[Outcome] = []
    decisions: list[Decision] = []
    changed: bool = False  # the standing of a member
