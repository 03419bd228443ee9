"""The probes of one path: which target next, what is overdue, which reply belongs to which probe.

A probe is lost when its target's conservative round-trip time has passed, but not before half an
interval (in.mpathd judges at its next slot, which is no earlier), and after a whole interval while
that time is unknown. At most two are outstanding: a third one forces the oldest to be lost.

**A late wake-up of our own is no loss.** The engine hands in all replies that waited before it lets
anything be judged. If a probe is judged late all the same, by more than `LATE` of an interval, then
this process did not run when it should have, and the host may not have either: replies may still
be on their way from its NIC. So the judgement is put off, once, by `GRACE` of an interval. A probe
that is forced out meanwhile is void: it counts neither way. As it is put off once only, a path that
is really dead is found dead by a host that is always late, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

import msgspec

from ipmp.model import Family
from ipmp.probing.rtt import RoundTrip
from ipmp.probing.schedule import Schedule
from ipmp.probing.targets import Targets
from ipmp.probing.values import Counters, Method, Path, Probe, Rejection, Reply
from ipmp.probing.window import SEQUENCES, Fate, Flight, Window

QUIET = 40.0  # seconds: spanning tree may keep a switch port closed for so long
OUTSTANDING = 2
JUDGE_AFTER = 1 / 2  # of an interval, at least
LATE = 1 / 4
GRACE = 1 / 2
ASK_FIRST, ASK_MOST = 5.0, 60.0  # seconds between ARP probes to a silent target
DISCOVER_MOST = 60.0  # seconds between questions to the whole link
WHOLE_LINK = 60.0  # seconds without asking a station directly after that failed

ALL_NODES = {Family.IPV4: "224.0.0.1", Family.IPV6: "ff02::1"}


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A reply that was accepted."""

    flight: Flight
    received: float
    timed: bool  # it is certain which probe was answered


class Prober:
    """One path. `now` never goes back; `interval` is the group's present one."""

    def __init__(self, path: Path, targets: Targets, counters: Counters, random: Random) -> None:
        self.path = path
        self.targets = targets
        self.counters = counters
        self.window = Window()
        self.round_trips: dict[str, RoundTrip] = {}
        self.deadline = math.inf  # when a probe is due to be sent or judged
        #: Its probes may be taken for those of a rival (see `targets`).
        self.shy = path.method is Method.ARP and path.family is Family.IPV4
        self.losses = 0  # in a row
        self.first_loss: float | None = None
        self.last_success: float | None = None
        self._schedule = Schedule(random)
        self._ident = random.getrandbits(16)
        self._everybody = self._ident ^ (1 + random.getrandbits(15))  # asks the whole link
        self._nonce = random.getrandbits(64).to_bytes(8, "big")
        self._sequence = 0
        self._next = 0  # position of the next target
        self._quiet_until = math.inf  # until `start`
        self._stations: dict[str, bytes] = {}
        self._whole_link_until: dict[str, float] = {}
        self._asks: dict[str, tuple[float, float]] = {}  # silent target -> (not before, pause)
        self._pause, self._discover_at = 0.0, 0.0  # between questions to the whole link
        self._found: tuple[str, ...] = ()  # by the last of them

    # Life ---------------------------------------------------------------------------------------

    def start(self, now: float, interval: float) -> None:
        """Begin to probe, or begin anew with another interval; not while the link is down."""
        self._quiet_until = min(self._quiet_until, now + QUIET)
        if self.path.link:
            self._schedule.start(now, interval)
        self._aim()

    def follow(self, path: Path, now: float, interval: float) -> None:
        """The link went down or came up. Old answers must not count for the repair."""
        self.path = path
        self.counters.void += self.window.clear()
        self.losses, self.first_loss = 0, None
        if path.link:
            self._schedule.start(now, interval)
        else:
            self._schedule.stop()
        self._aim()

    def close(self) -> None:
        """The path is gone; what is outstanding will not be judged."""
        self.counters.void += self.window.clear()

    def forget(self) -> None:
        """Remember nothing of hosts that are no targets any more."""
        for remembered in (
            self.round_trips,
            self._stations,
            self._whole_link_until,
            self._asks,
        ):
            for address in remembered.keys() - self.targets.known:
                del remembered[address]

    def quiet(self, now: float) -> bool:
        """Losses do not count yet: the member is new and nobody has answered."""
        return now < self._quiet_until

    def end_quiet(self, now: float) -> None:
        """The member was answered, in whichever family: its port forwards."""
        self._quiet_until = min(self._quiet_until, now)

    @property
    def capable(self) -> bool:
        """Its losses say something about the member."""
        return self.path.link and self.targets.any_proven()

    def firing_order(self) -> tuple[str, ...]:
        """The active targets, the next one first."""
        active = self.targets.active
        start = self._next % len(active) if active else 0
        return active[start:] + active[:start]

    def _aim(self) -> None:
        self.deadline = self._schedule.due
        for flight in self.window.outstanding:
            if flight.judge_at < self.deadline:
                self.deadline = flight.judge_at

    # Sending ------------------------------------------------------------------------------------

    def launch(self, now: float, interval: float, detection_time: float) -> list[Probe]:
        """What goes out in the slot that is due, if one is."""
        if now < self._schedule.due:
            return []
        self.counters.missed += self._schedule.take(now)
        target = self._choose(now, detection_time)
        probes = [] if target is None else [self._ask(target, now, interval)]
        if self.targets.hosts and self.path.method is Method.ICMP and len(self.targets.active) < 2:
            probes += self._discover(now, interval)
        self._aim()
        return probes

    def _choose(self, now: float, detection_time: float) -> str | None:
        active = self.targets.active
        for step in range(len(active)):
            position = (self._next + step) % len(active)
            if self._may_ask(active[position], now, detection_time):
                self._next = position + 1
                return active[position]
        return None

    def _may_ask(self, target: str, now: float, detection_time: float) -> bool:
        if not self.shy or not self.targets.silent(target, now, detection_time):
            self._asks.pop(target, None)
            return True
        not_before, pause = self._asks.setdefault(target, (now + ASK_FIRST, ASK_FIRST))
        if now < not_before:
            return False
        pause = min(2 * pause, ASK_MOST)
        self._asks[target] = (now + pause, pause)
        return True

    def _ask(self, target: str, now: float, interval: float) -> Probe:
        method = self._method(target)
        station = b""
        if method is Method.ARP and now >= self._whole_link_until.get(target, 0.0):
            station = self._stations.get(target, b"")
        self._sequence += 1
        round_trip = self.round_trips.get(target)
        overdue = round_trip.conservative if round_trip is not None else 0.0
        limit = now + (max(overdue, JUDGE_AFTER * interval) if overdue else interval)
        self.window.launch(Flight(self._sequence, target, now, limit, limit, bool(station)))
        self.counters.sent += 1
        icmp = method is Method.ICMP
        return Probe(
            self.path.member,
            self.path.family,
            method,
            target,
            self._sequence % SEQUENCES,
            self._ident if icmp else 0,
            self._nonce if icmp else b"",
            station,
        )

    def _method(self, target: str) -> Method:
        """IPv6 beyond the link-local addresses needs routes, which a member may lack: ask by ND."""
        if self.path.family is Family.IPV6 and not target.startswith("fe80:"):
            return Method.ARP
        return self.path.method

    def _discover(self, now: float, interval: float) -> Iterator[Probe]:
        """Ask who is there, less and less often while nothing comes of it (ipmp-semantics Q10)."""
        if self._found != self.targets.active:
            self._found = self.targets.active
            self._pause, self._discover_at = 0.0, now
        if now < self._discover_at:
            return
        self._pause = min(max(2 * self._pause, interval), DISCOVER_MOST)
        self._discover_at = now + self._pause
        everybody = ALL_NODES[self.path.family]
        path = self.path
        yield Probe(
            path.member, path.family, Method.ICMP, everybody, 0, self._everybody, self._nonce
        )

    # Judging ------------------------------------------------------------------------------------

    def judge(self, now: float, interval: float) -> list[Flight]:
        """The probes that are lost now."""
        outstanding = self.window.outstanding
        lost: list[Flight] = []
        for flight in tuple(outstanding):
            if now < flight.judge_at:
                continue
            if now - flight.limit > LATE * interval and not flight.put_off:
                flight.judge_at = now + GRACE * interval
            else:
                lost.append(self._lose(flight, now))
        while len(outstanding) > OUTSTANDING - (now >= self._schedule.due):
            if outstanding[0].put_off:
                self.counters.void += 1
                self.window.settle(outstanding[0], Fate.VOID)
            else:
                lost.append(self._lose(outstanding[0], now))
        self._aim()
        return lost

    def unsent(self, probe: Probe) -> None:
        """The kernel refused to send a probe."""
        flight = self.window.find(probe.sequence)
        if flight in self.window.outstanding and flight.target == probe.target:
            self.window.settle(flight, Fate.VOID)
            self.counters.void += 1
            self._aim()

    def _lose(self, flight: Flight, now: float) -> Flight:
        self.window.settle(flight, Fate.LOST)
        flight.counts = not self.quiet(now) and self.targets.proven(flight.target)
        self.counters.lost += 1
        self.targets.unanswered(flight.target, flight.started)
        if flight.direct:
            self._stations.pop(flight.target, None)
            self._whole_link_until[flight.target] = now + WHOLE_LINK
        self._recount()
        return flight

    def _recount(self) -> None:
        self.losses = self.window.losses()
        self.first_loss = self.window.first_loss(self.first_loss) if self.losses else None

    # Receiving ----------------------------------------------------------------------------------

    def accept(self, reply: Reply, now: float) -> Answer | Rejection:
        """Match a reply with its probe."""
        flight = self._match(reply)
        if isinstance(flight, Rejection):
            rejected = self.counters.rejected
            rejected[flight] = rejected.get(flight, 0) + 1
            return flight
        # A wall clock that was set between the kernel's stamp and now must not make times absurd.
        received = reply.received if flight.started <= reply.received <= now else now
        timed = reply.method is Method.ICMP or self._is_certain(flight)
        self.counters.late += flight.fate is not Fate.OUTSTANDING
        self.counters.acked += 1
        self.counters.rtt_sum += received - flight.started
        self.window.settle(flight, Fate.ACKED)
        self.last_success = max(received, self.last_success or 0.0)
        self.targets.answered(flight.target, now)
        if reply.hwaddr:
            self._stations[flight.target] = reply.hwaddr
        self.first_loss = None
        self._recount()
        self._aim()
        return Answer(flight, received, timed)

    def _is_certain(self, flight: Flight) -> bool:
        """Whether nothing but this probe can have been answered; nothing in ARP tells (Karn).

        The older ones that may have been are void: else a loss could be counted for an answer.
        """
        earlier = self.window.losses(flight.target)
        for other in self.window.awaiting(flight.target):
            if other is not flight:
                self.window.settle(other, Fate.VOID)
                self.counters.void += 1
                earlier += 1
        return earlier == 0

    def is_discovery(self, reply: Reply) -> bool:
        """Whether somebody answered a question to the whole link."""
        return (
            reply.method is Method.ICMP
            and reply.ident == self._everybody
            and reply.nonce == self._nonce
            and self.path.link
        )

    def _match(self, reply: Reply) -> Flight | Rejection:
        if not self.path.link:
            return Rejection.LINK
        if reply.method is Method.ARP:
            known = reply.sender in self.targets.active
            awaiting = self.window.awaiting(reply.sender)
            if awaiting:
                return awaiting[0]
            return Rejection.DUPLICATE if known else Rejection.SENDER
        if reply.ident != self._ident or reply.nonce != self._nonce:
            return Rejection.IDENT
        flight = self.window.find(reply.sequence)
        if flight is None:
            return Rejection.SEQUENCE
        if flight.target != reply.sender:
            return Rejection.SENDER
        return Rejection.DUPLICATE if flight.fate is Fate.ACKED else flight
