"""Steps that the kernel refused, or took and did nothing: when they are tried again. Pure.

Both wait for `RETRY_SECONDS`, while everything else goes on. A step that is taken is expected to
change what the next reading shows. One that is taken in pass after pass and is still wanted has no
effect: without a brake its group would write to the kernel, log and announce for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

import msgspec

from ipmp.decision import Decision, Kind, Reason
from ipmp.fighting import Identity
from ipmp.kernel.protocol import Failure
from ipmp.plan import Step, identity

RETRY_SECONDS = 5.0
USUAL_PASSES = 6  # in a row that change something; a move, a drain and their ends take fewer
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
        self._things: dict[Identity, Setback] = {}
        self._overdue: dict[Identity, Setback] = {}  # tried again in the pass under way
        self._row = 0  # passes since one changed nothing
        self._taken: dict[Identity, int] = {}  # in so many of the last passes

    @property
    def waiting(self) -> Set[Identity]:
        """What was refused or had no effect, and has not been tried again."""
        return self._things.keys()

    def begin(self, now: float) -> Set[Identity]:
        """A pass begins; returns the steps that still have to wait."""
        waiting = {what: thing for what, thing in self._things.items() if thing.until > now}
        self._overdue = {w: t for w, t in self._things.items() if w not in waiting}
        self._things = waiting
        return waiting.keys()

    def refused(self, failure: Failure, now: float) -> Decision:
        """The kernel refused a step."""
        what, member = identity(failure.step)
        detail: dict[str, str | int | float] = {"value": f"{what} on {member}", "why": failure.text}
        reason = Reason.KERNEL_REFUSED
        decision = Decision(Kind.REFUSED, reason, self._group, interface=member, detail=detail)
        self._wait((what, member), decision, now)
        return decision

    def end(self, taken: Iterable[Step], now: float) -> Iterator[Decision]:
        """A pass is over in which the kernel took these steps; tells what has no effect."""
        taken = list(taken)
        self._row = self._row + 1 if taken else 0
        if self._row <= USUAL_PASSES and not self._taken:
            return
        before = self._taken
        self._taken = {what: before[what] for what in before.keys() & self._things.keys()}
        for what in set(map(identity, taken)):
            self._taken[what] = count = before.get(what, 0) + 1
            if count < IN_VAIN:
                continue
            step, member = what
            detail: dict[str, str | int | float] = {
                "value": f"{step} on {member}",
                "seconds": round(RETRY_SECONDS),
            }
            reason = Reason.NO_EFFECT
            decision = Decision(Kind.REFUSED, reason, self._group, interface=member, detail=detail)
            self._wait(what, decision, now)
            if count == IN_VAIN:
                yield decision

    def _wait(self, what: Identity, decision: Decision, now: float) -> None:
        before = self._things.get(what) or self._overdue.get(what)
        since = before.since if before is not None else now
        self._things[what] = Setback(since, now + RETRY_SECONDS, decision)

    def deadlines(self) -> Iterator[float]:
        """When steps may be tried again."""
        return (thing.until for thing in self._things.values())

    def after(self, began: float) -> list[Decision]:
        """The setbacks that still hold and that first happened since then."""
        return [thing.decision for thing in self._things.values() if thing.since >= began]
