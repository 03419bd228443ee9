"""Carries a plan out, batch by batch, and books what came of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Container, Iterable, Iterator, Sequence, Set
from contextlib import asynccontextmanager, suppress
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
from ipmp.kernel.protocol import Failure, Prepared
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

PAUSE = 50  # announcements that are sent before others may run


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
    """Work in progress."""

    work: Work
    noticed: float  # when its cause was noticed, monotonic
    decisions: list[Decision]
    done: deque[_Batch] = msgspec.field(default_factory=deque)  # carried out, not booked yet
    taken: list[Step] = msgspec.field(default_factory=list)  # by the kernel, of what is booked


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

        While the kernel is busy with a batch, the last one is announced and the next one planned;
        the books can wait until nobody waits for an announcement. Stops at the first refusal and
        when interrupted: the next pass starts from a new reading. What was decided is appended to
        `decisions`, also when it stops.
        """
        waiting = self.setbacks.begin(self._context.monotonic())
        progress = Progress(self._announcer, work.quiet, work.dead, waiting | work.held)
        going = _Pass(work, self.noticed, decisions)
        try:
            return await self._carry_out(going, progress, interrupted)
        finally:
            while going.done:
                self._book(going, going.done.popleft())
            decisions += self.setbacks.end(going.taken, self._context.monotonic())

    async def _carry_out(
        self, going: _Pass, progress: Progress, interrupted: Callable[[], bool]
    ) -> bool:
        acted, work = False, going.work
        tests = self.config.probe.test_addresses
        batches = plan(work.placements, work.routes, work.snapshot, progress, tests, work.spread)
        size = len(work.placements) + len(work.routes) + len(work.spread.spreadings)
        batch = self._prepare(await aside(size, next, batches, None))
        while batch is not None:
            if not batch.arrivals:  # nobody waits for it, but for what came before it
                await self._announce(going)
            async with self._applying(going, batch):
                await asyncio.sleep(0)  # the kernel is through with a batch of few by then
                await self._announce(going)
                following = await self._next(batches)
                if not batch.arrivals:
                    await self._book_all(going)
            acted = acted or batch.prepared is not None
            if batch.failures or interrupted():
                acted = True
                break
            batch = following
        await self._announce(going)
        await self._book_all(going)
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
        changes = [step for step in steps if type(step) is not Announce]
        arrivals = [step for step in steps if type(step) is Announce]
        self.acting = self.acting or bool(changes)
        # What comes or goes is not announced meanwhile.
        added = ((s.address.spec.key, s.member) for s in changes if type(s) is AddAddress)
        deleted = ((s.key, s.member) for s in changes if type(s) is DeleteAddress)
        self._announcer.withdraw(chain(added, deleted))
        prepared = self._context.kernel.prepare(changes) if changes else None
        return _Batch(changes, arrivals, prepared)

    @asynccontextmanager
    async def _applying(self, going: _Pass, batch: _Batch) -> AsyncIterator[None]:
        """Let the kernel carry it out meanwhile."""
        applying = asyncio.create_task(self._apply(going, batch))
        try:
            yield
        except BaseException:  # a cancellation, which no failure of the kernel may replace
            with suppress(OSError):
                await applying
            raise
        await applying

    async def _apply(self, going: _Pass, batch: _Batch) -> None:
        """Carry it out; after a refusal nothing of it is announced."""
        if batch.prepared is not None:
            batch.failures = await self._context.kernel.apply(batch.prepared)
            self._pulse.beat()
        if batch.failures:
            batch.arrivals = ()
        batch.unannounced = batch.arrivals
        going.done.append(batch)

    async def _announce(self, going: _Pass) -> None:
        """Announce what has been carried out and not been announced yet."""
        while (batch := next((b for b in going.done if b.unannounced), None)) is not None:
            self._speak(batch.unannounced[:PAUSE])
            batch.unannounced = batch.unannounced[PAUSE:]
            await asyncio.sleep(0)

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

    async def _book_all(self, going: _Pass) -> None:
        """Book what was done, and let others run in between."""
        while going.done:
            self._book(going, going.done.popleft())
            await asyncio.sleep(0)

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
