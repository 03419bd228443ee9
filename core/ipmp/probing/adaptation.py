"""What a group learns from its probes beyond the verdicts: its pace, and which targets are no good.

The pace follows the slowest target, unless that one is the exception (ipmp-semantics 2.6). A target
that alone does not answer says something about itself, not about our interface.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from ipmp.decision import Decision, Kind, Reason
from ipmp.model import Family
from ipmp.probing.detection import LOSSES, Detection
from ipmp.probing.prober import Answer, Prober
from ipmp.probing.rtt import RoundTrip
from ipmp.probing.targets import RECOVERY, State

#: One target among so many is the exception if all others need at most this part of the interval.
EXCEPTION_AMONG = 4
EXCEPTION_PART = 1 / 2

AF_NAMES = {Family.IPV4: "inet", Family.IPV6: "inet6"}  # as Solaris' messages spell them


class Adaptation:
    """The detection time of one group, and why it changes."""

    def __init__(self, group: str) -> None:
        self.detection = Detection(math.inf)
        self._group = group

    def lost(self, prober: Prober, target: str, now: float) -> Iterator[Decision]:
        """A probe was lost: give its target up if it does not answer while others do."""
        window, active = prober.window, prober.targets.active
        if prober.quiet(now) or prober.losses >= LOSSES or target not in active:
            return
        dead = window.losses(target) >= LOSSES and window.answered_by_other(target)
        if dead and len(active) > 1 and prober.targets.retire(target, State.DEAD, now):
            yield self._about_target(Reason.TARGET_DEAD, prober, target)

    def learn(
        self, prober: Prober, answer: Answer, healthy: Iterable[Prober], now: float
    ) -> Iterator[Decision]:
        """A probe was answered; `healthy` are the paths of all members that have not failed.

        Only times that are certain count, and only of the newest probe answered by the target.
        """
        target = answer.flight.target
        if not answer.timed or not prober.window.is_newest_answer(answer.flight):
            return
        if target not in prober.targets.active:
            return  # it was given up meanwhile
        round_trip = prober.round_trips.setdefault(target, RoundTrip())
        interval = self.detection.interval
        if not round_trip.take(answer.received - answer.flight.started, interval):
            return
        if round_trip.conservative > interval:
            if self._is_exception(prober, target):
                if prober.targets.retire(target, State.SLOW, now):
                    yield self._about_target(Reason.TARGET_SLOW, prober, target)
            else:
                self.detection.raise_for(round_trip.conservative, now)
                yield self._about_time(Reason.SLOW_TARGETS, prober)
        elif self.detection.raised and self.detection.lower(_times(healthy), now):
            yield self._about_time(Reason.FAST_TARGETS, prober)

    def _is_exception(self, prober: Prober, target: str) -> bool:
        """Whether this target is slow and all others are fast."""
        active = prober.targets.active
        limit = self.detection.interval * EXCEPTION_PART
        others = [prober.round_trips.get(address) for address in active if address != target]
        return len(active) >= EXCEPTION_AMONG and all(
            other is not None and 0 < other.conservative <= limit for other in others
        )

    def _about_time(self, reason: Reason, prober: Prober) -> Decision:
        detail: dict[str, str | int | float] = {
            "name": AF_NAMES[prober.path.family],
            "previous": round(self.detection.configured * 1000),
            "value": round(self.detection.time * 1000),
        }
        member = prober.path.member
        return Decision(Kind.DETECTION_TIME, reason, self._group, interface=member, detail=detail)

    def _about_target(self, reason: Reason, prober: Prober, target: str) -> Decision:
        detail: dict[str, str | int | float] = {
            "target": target,
            "count": LOSSES,
            "seconds": round(RECOVERY),
        }
        member = prober.path.member
        return Decision(Kind.TARGET, reason, self._group, interface=member, detail=detail)


def _times(probers: Iterable[Prober]) -> Iterator[float]:
    """The conservative times of every active target."""
    for prober in probers:
        for address in prober.targets.active:
            if address in prober.round_trips:
                yield prober.round_trips[address].conservative
