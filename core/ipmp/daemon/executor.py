"""Carries a plan out, batch by batch, and books what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Sequence

import msgspec

from ipmp.announce import Announcer
from ipmp.config import GroupConfig
from ipmp.daemon.aside import aside
from ipmp.daemon.context import Context
from ipmp.daemon.moves import Books
from ipmp.decision import Decision, Kind, Reason
from ipmp.kernel.protocol import Failure
from ipmp.model import MoveReason
from ipmp.placement import Placement, RoutePlacement
from ipmp.plan import (
    AddAddress,
    Announce,
    DeleteAddress,
    Progress,
    ReplaceRoute,
    Step,
    identity,
    plan,
)
from ipmp.world import Snapshot

REFUSED_SECONDS = 5.0  # before a step that the kernel refused is tried again

#: Why an address goes to a member, asked when it is booked.
WhyMoved = Callable[[str, str], MoveReason]


class Work(msgspec.Struct, frozen=True):
    """What one pass is to achieve, and the snapshot from which it starts."""

    placements: Sequence[Placement]
    routes: Sequence[RoutePlacement]
    snapshot: Snapshot
    quiet: Container[str]
    dead: Container[str]


class Executor:
    """The hands of one group's runner."""

    def __init__(
        self, context: Context, config: GroupConfig, announcer: Announcer, books: Books
    ) -> None:
        self.config = config
        self.noticed = context.monotonic()  # when the cause of what is done now was noticed
        self._context = context
        self._announcer = announcer
        self._books = books
        self._refused: dict[tuple[str, str], float] = {}

    def retries(self) -> Iterable[float]:
        """When refused steps may be tried again."""
        return self._refused.values()

    def retry_due(self, now: float) -> bool:
        """Whether a refused step may be tried again."""
        return any(until <= now for until in self._refused.values())

    async def carry_out(
        self,
        work: Work,
        why: WhyMoved,
        interrupted: Callable[[], bool],
        decisions: list[Decision],
    ) -> bool:
        """Carry out the plan; True when another pass should follow.

        Stops at the first refusal and when interrupted: the next pass starts from a new reading.
        What was decided is appended to `decisions`, also when it stops.
        """
        now = self._context.monotonic()
        self._refused = {k: until for k, until in self._refused.items() if until > now}
        progress = Progress(self._announcer, work.quiet, work.dead, self._refused)
        acted = False
        batches = plan(work.placements, work.routes, work.snapshot, progress)
        batch = await aside(len(work.placements), next, batches, None)
        while batch is not None:
            steps = [step for step in batch if not isinstance(step, Announce)]
            if steps:
                acted = True
                failures = await self._context.kernel.apply(steps)
                decisions += self._book(steps, failures, work.snapshot, why)
                if failures:
                    return True
            for step in batch:
                if isinstance(step, Announce):
                    decisions += self._announce(step, why)
            await asyncio.sleep(0)
            if interrupted():
                return True
            batch = next(batches, None)
        return acted

    def _announce(self, announcement: Announce, why: WhyMoved) -> list[Decision]:
        """Send or queue it; an urgent one that cannot be sent now is tried again in its turn.

        A member may have had its copy all along: a move was turned back, or cut short by a kill.
        """
        address, member = announcement.address, announcement.member
        now, rate = self._context.monotonic(), self.config.announce.rate
        if announcement.urgent and self._context.announce(address.key, member):
            self._announcer.urgent(address.key, member, rate, now)
        else:
            self._announcer.planned(address.key, member, rate)
        if self._books.is_at(address.key, member):
            return []
        reason, wall = why(address.key, member), self._context.wall()
        decision = self._books.added(address, member, reason, self.noticed, wall)
        return [decision] if decision is not None else []

    def _book(
        self,
        steps: Iterable[Step],
        failures: Sequence[Failure],
        snapshot: Snapshot,
        why: WhyMoved,
    ) -> list[Decision]:
        until = self._context.monotonic() + REFUSED_SECONDS
        decisions = []
        for failure in failures:
            self._refused[identity(failure.step)] = until
            decisions.append(_refused(self.config.name, failure))
        failed = [failure.step for failure in failures]
        for step in steps:
            if not failed or step not in failed:
                decision = self._done(step, snapshot, why)
                if decision is not None:
                    decisions.append(decision)
        return decisions

    def _done(self, step: Step, snapshot: Snapshot, why: WhyMoved) -> Decision | None:
        match step:
            case AddAddress(address=address, member=member):
                self._announcer.withdraw(address.key, member)
                reason = why(address.key, member)
                wall = self._context.wall()
                return self._books.added(address, member, reason, self.noticed, wall)
            case DeleteAddress(key=key, member=member):
                self._announcer.withdraw(key, member)
            case ReplaceRoute(route=route, member=member):
                return self._books.rerouted(route, member, snapshot)
        return None


def _refused(group: str, failure: Failure) -> Decision:
    what, member = identity(failure.step)
    detail: dict[str, str | int | float] = {"value": f"{what} on {member}", "why": failure.text}
    return Decision(Kind.REFUSED, Reason.KERNEL_REFUSED, group, interface=member, detail=detail)
