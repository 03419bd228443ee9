"""The targets of a group in one family: who is asked, who waits, who is given up for a while.

All members share them (ipmp-semantics 2.5). The sources are never mixed: configured ones, else next
hops, else other hosts of the link. At most five are active; the others wait. One that does not
answer while others do is dead, one that is much slower than all others is slow; after a minute in
each state it climbs back: dead, slow, unused, active.

Two rules are not Solaris':

A target counts against a member only once it has answered somebody of the group. One that never
did, because it is mistyped, filtered or switched off, is no evidence that our NICs have failed.

An ARP probe looks to a host that is just checking its own address (RFC 5227 2.1.1) like a rival for
it, also when it is sent to that host alone; Windows hosts then give the address up (Cisco TAC note
116529). So a *silent* target, that may be starting up, is asked in this form only now and then,
until it is heard: at the end of its check it announces itself.
"""

from __future__ import annotations

from collections.abc import Set
from enum import Enum

import msgspec

from ipmp.probing.detection import LOSSES
from ipmp.probing.values import Candidates, Mode

MAX_ACTIVE = 5  # MAX_PROBE_TARGETS
MIN_ACTIVE = 3  # MIN_PROBE_TARGETS: so many are taken back when none is left
RECOVERY = 60.0  # seconds from one state to the next better one
SPARES = 16  # hosts of the link that are kept in mind; routers all are
SILENCE = 10.0  # seconds: no host restarts faster
HOSTS = (Mode.NEIGHBOUR, Mode.MULTICAST)


class State(Enum):
    """What is done with a target; in the order in which they are taken back."""

    ACTIVE = 0
    UNUSED = 1
    SLOW = 2
    DEAD = 3


class Target(msgspec.Struct, gc=False):
    """One host that is or may be asked."""

    address: str
    state: State
    since: float
    proven: bool = False  # it has answered a member of this group
    unanswered: int = 0  # probes of all members, in a row
    heard: float = 0.0  # when it last answered anybody, or was heard
    told: State | None = None  # why it was retired last, unless it has recovered from that


class Targets:
    """The targets of one family."""

    def __init__(self) -> None:
        self.mode = Mode.NEIGHBOUR
        self.active: tuple[str, ...] = ()
        self._targets: dict[str, Target] = {}
        self._own: frozenset[str] = frozenset()
        self._next_climb = 0.0

    @property
    def hosts(self) -> bool:
        """They are whoever is there, neither configured nor routers: more may be looked for."""
        return self.mode in HOSTS

    @property
    def known(self) -> Set[str]:
        """All of them, also those that are not asked now."""
        return self._targets.keys()

    def offer(
        self, candidates: Candidates, now: float, *, multicast: bool, group_failed: bool
    ) -> None:
        """Take note of who may be asked now.

        While the group has failed its routers stay: their routes may have been withdrawn because
        of the failure. A host stays until it dies, even when the kernel forgets it.
        """
        self._own = candidates.own
        mode, wanted = _choose(candidates, multicast)
        stay = group_failed and self.mode is Mode.ROUTES and mode is not Mode.CONFIG
        if stay and mode is not Mode.ROUTES:
            mode, wanted = Mode.ROUTES, ()
        mixed = _kind(mode) is not _kind(self.mode)
        hosts = mode in HOSTS
        kept = {
            address: target
            for address, target in self._targets.items()
            if address in wanted
            or (not mixed and (stay or (hosts and target.state is State.ACTIVE)))
        }
        offered = {a: kept.get(a) or Target(a, State.UNUSED, now) for a in wanted}
        merged = kept | offered if hosts else offered | kept
        kept_in_mind = [a for a in merged if a not in self._own][: SPARES if hosts else None]
        self.mode = mode
        self._targets = {address: merged[address] for address in kept_in_mind}
        self._fill(now)

    def discovered(self, address: str, now: float) -> None:
        """Somebody answered a question to the whole link."""
        if self.hosts and address not in self._own and len(self._targets) < SPARES:
            self._targets.setdefault(address, Target(address, State.UNUSED, now))
            self._fill(now)

    def answered(self, address: str, now: float) -> None:
        """A target answered a probe of a member."""
        target = self._targets.get(address)
        if target is not None:
            target.proven = True
            target.told = None if target.told is State.DEAD else target.told
            target.unanswered = 0
            target.heard = now

    def heard(self, address: str, now: float) -> None:
        """A target said something of its own: it is up, which says nothing about our probes."""
        target = self._targets.get(address)
        if target is not None:
            target.unanswered = 0
            target.heard = now

    def unanswered(self, address: str, started: float) -> None:
        """A probe of a member, sent at `started`, was lost; it was not silent if heard since."""
        target = self._targets.get(address)
        if target is not None and target.heard <= started:
            target.unanswered += 1

    def proven(self, address: str) -> bool:
        """Whether its silence counts against a member."""
        target = self._targets.get(address)
        return target is not None and target.proven

    def any_proven(self) -> bool:
        """Whether a member can be judged by the active targets."""
        return any(self._targets[address].proven for address in self.active)

    def silent(self, address: str, now: float, detection_time: float) -> bool:
        """Whether it may be starting up, so that ARP probes must be rare."""
        target = self._targets.get(address)
        if target is None or not target.unanswered:
            return False
        if not target.proven:
            return True
        patience = max(2 * detection_time, SILENCE)
        return target.unanswered >= LOSSES and now - target.heard > patience

    def retire(self, address: str, state: State, now: float) -> bool:
        """Ask a target no more for a while; the next one takes its place. Whether that is news."""
        target = self._targets[address]
        news = target.told is not state
        target.state = target.told = state
        target.since = now
        self._fill(now)
        return news

    def climb(self, now: float) -> None:
        """Let those that have waited long enough come one state nearer to being asked."""
        if now < self._next_climb:
            return
        for target in self._targets.values():
            if target.state in (State.SLOW, State.DEAD) and now >= target.since + RECOVERY:
                target.state = State(target.state.value - 1)
                target.since = now
        self._fill(now)

    def _fill(self, now: float) -> None:
        targets = self._targets.values()
        if not any(t.state in (State.ACTIVE, State.UNUSED) for t in targets):
            for target in sorted(targets, key=lambda t: (t.state.value, t.since))[:MIN_ACTIVE]:
                target.state = State.UNUSED
        active = sum(t.state is State.ACTIVE for t in targets)
        for target in targets:
            if active < MAX_ACTIVE and target.state is State.UNUSED:
                target.state = State.ACTIVE
                target.since = now
                active += 1
        self.active = tuple(t.address for t in targets if t.state is State.ACTIVE)
        waiting = [t.since for t in targets if t.state in (State.SLOW, State.DEAD)]
        self._next_climb = min(waiting) + RECOVERY if waiting else float("inf")


def _choose(candidates: Candidates, multicast: bool) -> tuple[Mode, tuple[str, ...]]:
    if candidates.configured:
        return Mode.CONFIG, candidates.configured
    if candidates.routers:
        return Mode.ROUTES, candidates.routers
    return Mode.MULTICAST if multicast else Mode.NEIGHBOUR, candidates.neighbours


def _kind(mode: Mode) -> Mode:
    """Modes whose targets may stand in one list: neighbours are hosts, however they were found."""
    return Mode.NEIGHBOUR if mode in HOSTS else mode
