"""Steps that the kernel refused, or took and did nothing: when they are tried again. Pure.

Both wait for `RETRY_SECONDS`, while everything else goes on. A step that is taken is expected to
change what the next reading shows. One that is taken again and again, with nothing but the waiting
of a drain in between, and is still wanted has no effect: without a brake its group would write to
the kernel, log and announce for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from math import inf

import msgspec

from ipmp.decision import Decision, Kind, Reason
from ipmp.fighting import Identity
from ipmp.kernel.protocol import Failure
from ipmp.plan import Step, identity

RETRY_SECONDS = 5.0
REST_SECONDS = 0.5  # without a step: the group had come to rest; a drain takes less
USUAL_PASSES = 6  # without rest that change something; a move, a drain and their ends take fewer
IN_VAIN = 3  # passes after those in which the same step is taken: it has no effect


class Setback(msgspec.Struct, frozen=True):
    """A step that must wait; times are monotonic seconds."""

    since: float  # when it first failed
    until: float
    decision: Decision


class Setbacks:
    """The setbacks of one group."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._waiting: dict[Identity, Setback] = {}
        self._overdue: dict[Identity, Setback] = {}  # may be tried again, and were not yet
        self._row = 0  # passes that took something since the group was at rest
        self._last = -inf  # when the last of them ended
        self._taken: dict[Identity, int] = {}  # by the last ones, and by how many

    @property
    def waiting(self) -> Set[Identity]:
        """What was refused or had no effect, and must wait."""
        return self._waiting.keys()

    def begin(self, now: float) -> Set[Identity]:
        """A pass begins; returns the steps that still have to wait."""
        due = {what: thing for what, thing in self._waiting.items() if thing.until <= now}
        self._waiting = {w: t for w, t in self._waiting.items() if w not in due}
        overdue = (self._overdue | due).items()
        self._overdue = {w: t for w, t in overdue if now < t.until + RETRY_SECONDS}
        return self._waiting.keys()

    def refused(self, failure: Failure, now: float) -> Decision:
        """The kernel refused a step."""
        what, member = identity(failure.step)
        detail: dict[str, str | int | float] = {"value": f"{what} on {member}", "why": failure.text}
        reason = Reason.KERNEL_REFUSED
        decision = Decision(Kind.REFUSED, reason, self._group, interface=member, detail=detail)
        before = self._overdue.pop((what, member), None) or self._waiting.get((what, member))
        self._wait((what, member), decision, now, before.since if before is not None else now)
        return decision

    def end(self, taken: Sequence[Step], now: float) -> Iterator[Decision]:
        """A pass is over in which the kernel took these steps; tells what has no effect."""
        if not taken:
            return
        if now - self._last > REST_SECONDS:
            self._row, self._taken = 0, {}
        self._row, self._last = self._row + 1, now
        if self._row <= USUAL_PASSES and not self._overdue:
            return  # the usual case: a thousand steps are not looked at one by one
        steps = set(map(identity, taken))
        if self._row > USUAL_PASSES:
            self._taken = {what: self._taken.get(what, 0) + 1 for what in steps}
        for what in steps:
            before = self._overdue.pop(what, None)
            if before is not None and before.decision.reason is Reason.NO_EFFECT:
                self._wait(what, before.decision, now, before.since)
            elif self._taken.get(what, 0) >= IN_VAIN:
                decision = self._no_effect(*what)
                self._wait(what, decision, now, now)
                yield decision

    def _no_effect(self, step: str, member: str) -> Decision:
        detail: dict[str, str | int | float] = {
            "value": f"{step} on {member}",
            "seconds": round(RETRY_SECONDS),
        }
        reason = Reason.NO_EFFECT
        return Decision(Kind.REFUSED, reason, self._group, interface=member, detail=detail)

    def _wait(self, what: Identity, decision: Decision, now: float, since: float) -> None:
        self._waiting[what] = Setback(since, now + RETRY_SECONDS, decision)

    def deadlines(self) -> Iterator[float]:
        """When steps may be tried again."""
        return (thing.until for thing in self._waiting.values())

    def after(self, began: float) -> list[Decision]:
        """The setbacks that still hold and that first happened since then."""
        return [thing.decision for thing in self._waiting.values() if thing.since >= began]
