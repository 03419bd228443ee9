"""The probe engine of one group: replies and `now` in; probes, outcomes, verdicts, deadline out.

Sans-IO. Whoever drives it calls `configure` when the world has changed, and `advance` at `deadline`
and whenever a reply waits, each time with *every* reply that waits: what must not be judged before
the sockets were read is thereby judged after. It knows no clock and no socket; all randomness comes
from the `Random` that it is given.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from random import Random

from msgspec.structs import replace

from ipmp.model import Family, ProbeState
from ipmp.probing.adaptation import Adaptation
from ipmp.probing.detection import PROVING, Detection
from ipmp.probing.prober import Answer, Prober
from ipmp.probing.targets import Targets
from ipmp.probing.values import (
    Candidates,
    Counters,
    Method,
    Outcome,
    Path,
    PathKey,
    Probe,
    Reply,
    Setup,
    Standing,
    TargetRow,
    Turn,
)
from ipmp.probing.verdict import Verdict
from ipmp.probing.window import SEQUENCES, Flight


class Engine:
    """Probes the members of one group."""

    def __init__(self, group: str, random: Random, failed: Iterable[str] = ()) -> None:
        """`failed`: members that had failed when the last daemon stopped (ipmp-semantics Q4)."""
        self.group = group
        self.group_failed = False  # set by the state machine: times stay, routers stay
        self.counters: dict[PathKey, Counters] = {}
        #: Targets that are hardly asked until they are heard: ears must be open for them.
        self.silent: frozenset[str] = frozenset()
        self._random = random
        self._was_failed = frozenset(failed)
        self._adaptation = Adaptation(group)
        self._targets = {family: Targets() for family in Family}
        self._probers: dict[PathKey, Prober] = {}
        self._members: dict[str, list[Prober]] = {}
        self._verdicts: dict[str, Verdict] = {}
        #: When `advance` must be called at the latest; infinity while nothing is probed.
        self.deadline = math.inf

    # What is there ------------------------------------------------------------------------------

    def configure(self, setup: Setup, now: float) -> None:
        """Go on with these paths and candidates; a path that has not changed keeps its history."""
        restart = self._detection.configured != setup.detection_time
        if restart:
            self._adaptation.detection = Detection(setup.detection_time)
        self._offer(setup, now)
        known, self._probers = self._probers, {}
        for path in setup.paths:
            prober = known.pop(path.key, None)
            if prober is not None and _same(prober.path, path):
                self._probers[path.key] = prober
                prober.forget()
                if prober.path.link != path.link:
                    prober.follow(path, now, self._interval(path.member))
                elif restart:
                    prober.start(now, self._interval(path.member))
                continue
            if prober is not None:
                prober.close()
            self._probers[path.key] = self._open(path, now)
        for prober in known.values():
            prober.close()
        self._end_quiet(now)
        self._regroup(now)
        self._set_deadline()

    def _offer(self, setup: Setup, now: float) -> None:
        for family, targets in self._targets.items():
            targets.offer(
                setup.candidates.get(family, Candidates()),
                now,
                multicast=any(
                    path.family is family and path.method is Method.ICMP for path in setup.paths
                ),
                group_failed=self.group_failed,
            )

    def _open(self, path: Path, now: float) -> Prober:
        counters = self.counters.setdefault(path.key, Counters())
        prober = Prober(path, self._targets[path.family], counters, self._random)
        prober.start(now, self._detection.interval)
        return prober

    def _end_quiet(self, now: float) -> None:
        """The quiet period is for the port: a path that comes later to the same one has none."""
        probers = self._probers.values()
        forwarding = {prober.path.port for prober in probers if not prober.quiet(now)}
        for prober in probers:
            if prober.path.port in forwarding:
                prober.end_quiet(now)

    def _regroup(self, now: float) -> None:
        self._members = {}
        for prober in self._probers.values():
            self._members.setdefault(prober.path.member, []).append(prober)
        for member in self._verdicts.keys() - self._members.keys():
            del self._verdicts[member]
        for member, probers in self._members.items():
            if member not in self._verdicts:
                first = ProbeState.FAILED if member in self._was_failed else ProbeState.UNKNOWN
                self._verdicts[member] = Verdict(first, now)
            self._judge(member, probers, now)
        self._was_failed -= self._members.keys()

    # Running ------------------------------------------------------------------------------------

    def advance(self, now: float, replies: Iterable[Reply] = ()) -> Turn:
        """Take in all replies that wait, then judge what is overdue, then send what is due."""
        turn = Turn()
        touched: set[str] = set()
        for reply in replies:
            prober = self._probers.get((reply.member, reply.family))
            if prober is not None and self._accept(prober, reply, now, turn):
                touched.add(reply.member)
        for prober in self._probers.values():
            if now >= prober.deadline and self._judge_flights(prober, now, turn):
                touched.add(prober.path.member)
        for member in touched:
            turn.changed |= self._judge(member, self._members[member], now)
        time = self._detection.time
        for prober in self._probers.values():
            if now >= prober.deadline:
                prober.targets.climb(now)
                turn.probes += prober.launch(now, self._interval(prober.path.member), time)
                if prober.shy:
                    self.silent = self._silent(now)
        self._set_deadline()
        return turn

    def unsent(self, probe: Probe) -> None:
        """The kernel refused to send a probe (another error than a full queue): it is void."""
        prober = self._probers.get((probe.member, probe.family))
        if prober is not None:
            prober.unsent(probe)
            self._set_deadline()

    def _set_deadline(self) -> None:
        self.deadline = min((p.deadline for p in self._probers.values()), default=math.inf)

    def _judge(self, member: str, probers: list[Prober], now: float) -> bool:
        verdict, pace = self._verdicts[member], self._interval(member)
        changed = verdict.judge(probers, now)
        if self._interval(member) > pace:
            for prober in probers:
                prober.start(now, self._interval(member))
        if changed and verdict.state is ProbeState.FAILED:
            for prober in probers:
                prober.round_trips.clear()
        return changed

    def _judge_flights(self, prober: Prober, now: float, turn: Turn) -> bool:
        lost = prober.judge(now, self._interval(prober.path.member))
        for flight in lost:
            turn.outcomes.append(_outcome(prober, flight))
            turn.decisions += self._adaptation.lost(prober, flight.target, now)
        return bool(lost)

    def _accept(self, prober: Prober, reply: Reply, now: float, turn: Turn) -> bool:
        """Take in one reply; whether a probe was answered."""
        if not reply.asked:
            prober.targets.heard(reply.sender, now)
            return False
        if prober.is_discovery(reply):
            prober.targets.discovered(reply.sender, now)
            return False
        answer = prober.accept(reply, now)
        if not isinstance(answer, Answer):
            return False
        for sibling in self._members[reply.member]:
            sibling.end_quiet(now)
        state = self._verdicts[reply.member].state
        if not self.group_failed and state is not ProbeState.FAILED:
            self._learn(prober, answer, now, turn)
        turn.outcomes.append(_outcome(prober, answer.flight, answer.received, now))
        return True

    def _learn(self, prober: Prober, answer: Answer, now: float, turn: Turn) -> None:
        """Learn from a round-trip time, unless the member or the group has failed.

        The first answers after a repair are distorted by address resolution, and what a failed
        path says of times is of no use (ipmp-semantics 2.6).
        """
        interval = self._detection.interval
        healthy = (
            other
            for member, probers in self._members.items()
            if self._verdicts[member].state is not ProbeState.FAILED
            for other in probers
        )
        turn.decisions += self._adaptation.learn(prober, answer, healthy, now)
        if self._detection.interval != interval:
            for other in self._probers.values():
                other.start(now, self._interval(other.path.member))

    def _interval(self, member: str) -> float:
        """Seconds between two probes; a link that returned proves itself in two seconds or less.

        One that lost its probes must prove itself at the normal pace, lest a lossy path flaps.
        """
        interval, verdict = self._detection.interval, self._verdicts.get(member)
        return min(interval, PROVING) if verdict and verdict.link_lost else interval

    @property
    def _detection(self) -> Detection:
        return self._adaptation.detection

    # What it knows ------------------------------------------------------------------------------

    @property
    def detection_time(self) -> float | None:
        """The present failure detection time, seconds; None while nothing is probed."""
        return self._detection.time if self._probers else None

    @property
    def standings(self) -> Mapping[str, Standing]:
        """What the probes say, for every member that has a path; the others are `disabled`."""
        return {
            member: self._verdicts[member].standing(probers)
            for member, probers in self._members.items()
        }

    @property
    def target_rows(self) -> tuple[TargetRow, ...]:
        """What `ipmpstat -t` shows, for every path."""
        return tuple(
            TargetRow(
                prober.path.member,
                prober.path.family,
                prober.targets.mode,
                prober.path.source,
                prober.firing_order(),
            )
            for prober in self._probers.values()
        )

    def round_trip(self, key: PathKey, target: str) -> tuple[float, float]:
        """Smoothed round-trip time and mean deviation of a target, seconds; 0 while unknown."""
        known = self._probers[key].round_trips.get(target)
        return (known.average, known.deviation) if known is not None else (0.0, 0.0)

    def _silent(self, now: float) -> frozenset[str]:
        targets, time = self._targets[Family.IPV4], self._detection.time
        return frozenset(a for a in targets.active if targets.silent(a, now, time))


def _same(before: Path, after: Path) -> bool:
    """Whether they are one path, up or down."""
    return replace(before, link=after.link) == after


def _outcome(
    prober: Prober, flight: Flight, received: float | None = None, now: float = 0.0
) -> Outcome:
    round_trip = prober.round_trips.get(flight.target)
    return Outcome(
        prober.path.member,
        prober.path.family,
        flight.target,
        flight.sequence % SEQUENCES,
        flight.started,
        received is None,
        None if received is None else received - flight.started,
        None if received is None else now - flight.started,
        round_trip.average if round_trip is not None else 0.0,
        round_trip.deviation if round_trip is not None else 0.0,
    )
