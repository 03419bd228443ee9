"""Carries a plan out, batch by batch, and books what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Container, Iterable, Iterator, Sequence, Set
from contextlib import asynccontextmanager, suppress

import msgspec

from ipmp.announce import Announcer
from ipmp.config import GroupConfig
from ipmp.daemon.aside import aside
from ipmp.daemon.context import Context
from ipmp.daemon.moves import Books
from ipmp.daemon.pulse import Pulse
from ipmp.daemon.setbacks import Setbacks
from ipmp.decision import Decision
from ipmp.fighting import Fights, Identity, is_repair
from ipmp.kernel.protocol import Failure, Prepared
from ipmp.model import MoveReason
from ipmp.placement import Placement, RoutePlacement
from ipmp.plan import (
    AddAddress,
    Announce,
    DeleteAddress,
    MakeSpread,
    Progress,
    ReplaceRoute,
    Step,
    identity,
    plan,
)
from ipmp.spread import Spread
from ipmp.world import DataAddress, Snapshot

PAUSE = 100  # steps that are booked before others may run

#: Why an address goes to a member, asked when it is booked.
WhyMoved = Callable[[str, str], MoveReason]


class Work(msgspec.Struct, frozen=True):
    """What one pass is to achieve, and the snapshot from which it starts."""

    placements: Sequence[Placement]
    routes: Sequence[RoutePlacement]
    snapshot: Snapshot
    quiet: Container[str]
    dead: Container[str]
    held: Set[Identity] = frozenset()  # repairs that must wait: another program undoes them
    spread: Spread = Spread()


class _Batch(msgspec.Struct, frozen=True):
    """A batch of the plan, and what the kernel has to do of it."""

    steps: Sequence[Step]
    prepared: Prepared | None


class Executor:
    """The hands of one group's runner."""

    def __init__(
        self,
        context: Context,
        config: GroupConfig,
        announcer: Announcer,
        books: Books,
        pulse: Pulse,
    ) -> None:
        self.config = config
        self.noticed = context.monotonic()  # when the cause of what is done now was noticed
        self.acting = False  # it has changed the kernel since the runner was at rest
        self._context = context
        self._announcer = announcer
        self._books = books
        self._pulse = pulse
        self.fights = Fights()
        self.setbacks = Setbacks(config.name)
        self._taken: list[Step] = []  # by the kernel, in the pass under way

    def retries(self) -> Iterable[float]:
        """When steps that were refused, or held back in a fight, may be tried again."""
        return (*self.setbacks.deadlines(), *self.fights.deadlines())

    def retry_due(self, now: float) -> bool:
        """Whether such a step may be tried again."""
        return any(until <= now for until in self.retries())

    async def carry_out(
        self,
        work: Work,
        why: WhyMoved,
        interrupted: Callable[[], bool],
        decisions: list[Decision],
    ) -> bool:
        """Carry out the plan; True when another pass should follow.

        While the kernel is busy with a batch, the last one is booked and announced and the next one
        planned. Stops at the first refusal and when interrupted: the next pass starts from a new
        reading. What was decided is appended to `decisions`, also when it stops.
        """
        self._taken = []
        waiting = self.setbacks.begin(self._context.monotonic())
        progress = Progress(self._announcer, work.quiet, work.dead, waiting | work.held)
        again = await self._carry_out(work, progress, why, interrupted, decisions)
        decisions += self.setbacks.end(self._taken, self._context.monotonic())
        return again

    async def _carry_out(
        self,
        work: Work,
        progress: Progress,
        why: WhyMoved,
        interrupted: Callable[[], bool],
        decisions: list[Decision],
    ) -> bool:
        acted = False
        done: Sequence[Step] = ()
        tests = self.config.probe.test_addresses
        batches = plan(work.placements, work.routes, work.snapshot, progress, tests, work.spread)
        size = len(work.placements) + len(work.routes) + len(work.spread.spreadings)
        batch = self._prepare(await aside(size, next, batches, None))
        while batch is not None:
            async with self._applying(batch.prepared) as failures:
                await asyncio.sleep(0)
                decisions += await self._conclude(done, (), work.snapshot, why)
                following = await self._next(batches)
            acted = acted or batch.prepared is not None
            if failures or interrupted():
                decisions += await self._conclude(batch.steps, failures, work.snapshot, why)
                return True
            done, batch = batch.steps, following
        decisions += await self._conclude(done, (), work.snapshot, why)
        return acted

    async def _next(self, batches: Iterator[list[Step]]) -> _Batch | None:
        """Plan and prepare the next batch; empty ones only let others run."""
        steps: list[Step] | None = []
        while steps == []:
            await asyncio.sleep(0)
            steps = next(batches, None)
        return self._prepare(steps)

    def _prepare(self, steps: Sequence[Step] | None) -> _Batch | None:
        if steps is None:
            return None
        of_kernel = [step for step in steps if not isinstance(step, Announce)]
        self.acting = self.acting or bool(of_kernel)
        for step in of_kernel:
            if isinstance(step, AddAddress):  # it is not there, so it is not announced meanwhile
                self._announcer.withdraw(step.address.key, step.member)
        return _Batch(steps, self._context.kernel.prepare(of_kernel) if of_kernel else None)

    @asynccontextmanager
    async def _applying(self, prepared: Prepared | None) -> AsyncIterator[list[Failure]]:
        """Let the kernel carry out steps meanwhile; the list holds its refusals at the end."""
        failures: list[Failure] = []
        if prepared is None:
            yield failures
            return
        applying = asyncio.create_task(self._context.kernel.apply(prepared))
        try:
            yield failures
        except BaseException:  # a cancellation, which no failure of the kernel may replace
            with suppress(OSError):
                await applying
            raise
        failures += await applying
        self._pulse.beat()

    async def _conclude(
        self, batch: Iterable[Step], failures: Sequence[Failure], snapshot: Snapshot, why: WhyMoved
    ) -> list[Decision]:
        """Book what the kernel has done of a batch, and announce unless a step was refused."""
        now = self._context.monotonic()
        decisions = [self.setbacks.refused(failure, now) for failure in failures]
        failed = [failure.step for failure in failures]
        self._books.kernel_refusals += len(failures)
        for number, step in enumerate(batch, 1):
            if number % PAUSE == 0:
                await asyncio.sleep(0)
            if failed and (step in failed or isinstance(step, Announce)):
                continue
            if not isinstance(step, Announce):
                self._taken.append(step)
            decision = self._done(step, snapshot, why)
            if decision is not None:
                decisions.append(decision)
                if is_repair(decision):  # to put a step into words takes time
                    self.fights.note(identity(step), decision, self._context.monotonic())
        return decisions

    def _done(self, step: Step, snapshot: Snapshot, why: WhyMoved) -> Decision | None:
        match step:
            case AddAddress(address=address, member=member):
                return self._books.restored(address.key, member)
            case Announce(address=address, member=member, urgent=urgent):
                self._announce(address.key, member, urgent)
                # It may have had its copy all along: a move turned back, or cut short by a kill.
                if not self._books.is_at(address.key, member):
                    return self._moved(address, member, why)
            case DeleteAddress(key=key, member=member):
                self._announcer.withdraw(key, member)
                self._books.left.discard((key, member))
            case ReplaceRoute(route=route, member=member):
                return self._books.rerouted(route.route, (member,), snapshot)
            case MakeSpread(spreading=spreading):
                return self._books.rerouted(spreading.route, spreading.members, snapshot)
        return None

    def _moved(self, address: DataAddress, member: str, why: WhyMoved) -> Decision | None:
        reason, wall = why(address.key, member), self._context.wall()
        return self._books.moved(address, member, reason, self.noticed, wall)

    def _announce(self, key: str, member: str, urgent: bool) -> None:
        """Send or queue it; an urgent one that cannot be sent now is tried again in its turn."""
        rate, burst = self.config.announce.rate, self.config.announce.burst
        if urgent and burst and self._context.announce(key, member):
            self._announcer.urgent(key, member, rate, self._context.monotonic())
        else:
            self._announcer.planned(key, member, rate)
