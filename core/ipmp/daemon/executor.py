"""Carries a plan out, batch by batch, and books what came of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence, Set
from itertools import chain

import msgspec

from ipmp.announce import Announcer
from ipmp.config import GroupConfig
from ipmp.daemon.aside import aside
from ipmp.daemon.context import Context
from ipmp.daemon.moves import Books, Why
from ipmp.daemon.pulse import Pulse
from ipmp.daemon.setbacks import Setbacks
from ipmp.decision import Decision
from ipmp.fighting import Fights, Identity, is_repair
from ipmp.kernel.protocol import Course, Failure, PassedOver, Prepared
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
from ipmp.world import Snapshot

#: Batches that the kernel has at a time: one that it is busy with, and one for when it is through.
AHEAD = 2

PAUSE = 64  # announcements that are sent before others may run


class Work(msgspec.Struct, frozen=True):
    """What one pass is to achieve, and the snapshot from which it starts."""

    placements: Sequence[Placement]
    routes: Sequence[RoutePlacement]
    snapshot: Snapshot
    quiet: Container[str]
    dead: Container[str]
    why: Why
    held: Set[Identity] = frozenset()  # repairs that must wait: another program undoes them
    spread: Spread = Spread()


class _Batch(msgspec.Struct):
    """A batch of the plan; it is carried out, then announced, then booked."""

    changes: Sequence[Step]
    arrivals: Sequence[Announce]
    prepared: Prepared | None
    failures: Sequence[Failure] = ()
    unannounced: Sequence[Announce] = ()  # of the arrivals, once it is carried out


class _Pass(msgspec.Struct):
    """Work in progress: batches that are planned, with the kernel, or done and not booked yet."""

    work: Work
    noticed: float  # when its cause was noticed, monotonic
    decisions: list[Decision]
    batches: Iterator[list[Step]] | None  # still to be planned
    course: Course = msgspec.field(default_factory=Course)
    steps: Sequence[Step] = ()  # planned, not prepared yet; that takes a turn of its own
    planned: deque[_Batch] = msgspec.field(default_factory=deque)
    under_way: dict[asyncio.Task[None], _Batch] = {}
    done: deque[_Batch] = msgspec.field(default_factory=deque)
    taken: list[Step] = msgspec.field(default_factory=list)  # by the kernel, of what is booked
    acted: bool = False  # another pass should follow

    def plan_on(self, steps: Sequence[Step] | None) -> None:
        """Take in what is planned next: nothing lets others run, None is the end."""
        self.steps = steps or ()
        if steps is None:
            self.batches = None

    def unannounced(self) -> _Batch | None:
        """The first batch that is done and has something to be announced."""
        return next((batch for batch in self.done if batch.unannounced), None)

    def may_begin(self) -> bool:
        """Whether the kernel can have the next batch.

        For one without arrivals nobody waits, but maybe for the announcement of those before it.
        """
        if not self.planned or len(self.under_way) >= AHEAD:
            return False
        awaited = self.unannounced() or any(batch.arrivals for batch in self.under_way.values())
        return bool(self.planned[0].arrivals) or not awaited

    def may_book(self) -> bool:
        """Whether there is something to book, and no announcement would wait for that."""
        coming = chain(self.planned, self.under_way.values())
        return bool(self.done) and not any(batch.arrivals for batch in coming)


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

    def retries(self) -> Iterable[float]:
        """When steps that were refused, or held back in a fight, may be tried again."""
        return (*self.setbacks.deadlines(), *self.fights.deadlines())

    def retry_due(self, now: float) -> bool:
        """Whether such a step may be tried again."""
        return any(until <= now for until in self.retries())

    async def carry_out(
        self, work: Work, interrupted: Callable[[], bool], decisions: list[Decision]
    ) -> bool:
        """Carry out the plan; True when another pass should follow.

        Stops at the first refusal and when interrupted: the next pass starts from a new reading.
        What was decided is appended to `decisions`, also when it stops.
        """
        waiting = self.setbacks.begin(self._context.monotonic())
        progress = Progress(self._announcer, work.quiet, work.dead, waiting | work.held)
        tests = self.config.probe.test_addresses
        batches = plan(work.placements, work.routes, work.snapshot, progress, tests, work.spread)
        going = _Pass(work, self.noticed, decisions, batches)
        try:
            size = len(work.placements) + len(work.routes) + len(work.spread.spreadings)
            going.plan_on(await aside(size, next, batches, None))
            while await self._advance(going, interrupted):
                pass
            return going.acted
        finally:
            await self._end(going)
            while going.done:
                self._book(going, going.done.popleft())
            decisions += self.setbacks.end(going.taken, self._context.monotonic())

    async def _advance(self, going: _Pass, interrupted: Callable[[], bool]) -> bool:
        """Do what is most urgent now; False when nothing is left to do.

        The kernel should have something to do; what has arrived should be announced; the next batch
        should be ready when the kernel can have it. The books can wait.
        """
        self._collect(going, interrupted)
        if going.may_begin():
            self._begin(going, going.planned.popleft())
        elif (batch := going.unannounced()) is not None:
            self._speak(batch.unannounced[:PAUSE])
            batch.unannounced = batch.unannounced[PAUSE:]
        elif going.steps:
            self._prepare(going)
        elif going.batches is not None and len(going.planned) < AHEAD:
            going.plan_on(next(going.batches, None))
        elif going.may_book():
            self._book(going, going.done.popleft())
        elif going.under_way:
            await asyncio.wait([next(iter(going.under_way))])  # it goes on when we are cancelled
        else:
            return False
        await asyncio.sleep(0)
        return True

    def _prepare(self, going: _Pass) -> None:
        """Make the steps that were planned last ready for the kernel."""
        changes = [step for step in going.steps if type(step) is not Announce]
        arrivals = [step for step in going.steps if type(step) is Announce]
        going.steps = ()
        self.acting = self.acting or bool(changes)
        # What comes or goes is not announced meanwhile.
        added = ((s.address.spec.key, s.member) for s in changes if type(s) is AddAddress)
        deleted = ((s.key, s.member) for s in changes if type(s) is DeleteAddress)
        self._announcer.withdraw(chain(added, deleted))
        prepared = self._context.kernel.prepare(changes) if changes else None
        going.planned.append(_Batch(changes, arrivals, prepared))

    def _begin(self, going: _Pass, batch: _Batch) -> None:
        """Hand it to the kernel, which may still be busy with the one before."""
        going.acted = going.acted or batch.prepared is not None
        going.under_way[asyncio.create_task(self._apply(going, batch))] = batch

    def _collect(self, going: _Pass, interrupted: Callable[[], bool]) -> None:
        """Take back what the kernel is through with, and drop the plan when the course is over.

        Raises OSError when the kernel failed as a whole.
        """
        done = [task for task in going.under_way if task.done()]
        backlog = len(going.under_way) == AHEAD  # it may take long until the next one is done
        for applying in done:
            del going.under_way[applying]
            applying.result()
        if (done or backlog) and interrupted():
            going.course.over = going.acted = True
        if going.course.over:
            going.plan_on(None)
            going.planned.clear()

    async def _end(self, going: _Pass) -> None:
        """Let the kernel finish the batch that it has begun, but no other one."""
        going.course.over = True
        await asyncio.gather(*going.under_way, return_exceptions=True)

    async def _apply(self, going: _Pass, batch: _Batch) -> None:
        """Carry it out; after a refusal nothing of it is announced."""
        if batch.prepared is not None:
            try:
                batch.failures = await self._context.kernel.apply(batch.prepared, going.course)
            except PassedOver:
                return
            self._pulse.beat()
        if batch.failures:
            batch.arrivals = ()
        batch.unannounced = batch.arrivals
        going.done.append(batch)

    def _speak(self, steps: Iterable[Announce]) -> None:
        """Send or queue them; an urgent one that cannot be sent now is tried again in its turn."""
        rate, burst = self.config.announce.rate, self.config.announce.burst
        sent: dict[str, list[str]] = {}
        for step in steps:
            key, member = step.address.spec.key, step.member
            if step.urgent and burst and self._context.announce(key, member):
                sent.setdefault(member, []).append(key)
            else:
                self._announcer.planned(key, member, rate)
        for member, keys in sent.items():
            self._announcer.urgent(keys, member, rate, self._context.monotonic())

    def _book(self, going: _Pass, batch: _Batch) -> None:
        """Book what the kernel has done of a batch, and who speaks for its addresses now."""
        now, books = self._context.monotonic(), self._books
        going.decisions += (self.setbacks.refused(failure, now) for failure in batch.failures)
        books.kernel_refusals += len(batch.failures)
        refused = [failure.step for failure in batch.failures]
        taken = [s for s in batch.changes if s not in refused] if refused else batch.changes
        deleted = [step for step in taken if type(step) is DeleteAddress]
        books.left.difference_update((step.key, step.member) for step in deleted)
        telling = taken if len(deleted) < len(taken) else ()  # deletions alone tell nothing
        for step in telling:
            decision = self._changed(step, going.work.snapshot)
            if decision is not None:
                going.decisions.append(decision)
                if is_repair(decision):  # to put a step into words takes time
                    self.fights.note(identity(step), decision, now)
        going.taken += taken
        going.decisions += books.moved(
            ((step.address, step.member) for step in batch.arrivals),
            going.work.why,
            going.noticed,
            self._context.wall(),
        )

    def _changed(self, step: Step, snapshot: Snapshot) -> Decision | None:
        match step:
            case AddAddress(address=address, member=member):
                return self._books.restored(address.spec.key, member)
            case ReplaceRoute(route=route, member=member):
                return self._books.rerouted(route.route, (member,), snapshot)
            case MakeSpread(spreading=spreading):
                return self._books.rerouted(spreading.route, spreading.members, snapshot)
        return None
