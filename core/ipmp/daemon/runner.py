"""One group's loop: read the kernel, decide what should be, take the next steps until both agree.

Level-triggered: events only wake it. A pass (`converge`) reads links, steps the state machine,
reads addresses and routes, places them, and carries out the plan batch by batch. When a member's
link changes in the middle of a pass, the rest of the plan is dropped and the next pass starts from
a new reading. Between passes it ticks: paced announcements go out, drains are judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Set
from contextlib import suppress

import structlog

from ipmp.announce import Announcer
from ipmp.config import GroupConfig
from ipmp.daemon import copies
from ipmp.daemon.aside import aside
from ipmp.daemon.context import Context
from ipmp.daemon.drain import POLL_SECONDS, Drains, drained
from ipmp.daemon.executor import Executor, Work
from ipmp.daemon.limit import MoveLimit
from ipmp.daemon.members import Members
from ipmp.daemon.moves import Books
from ipmp.daemon.outbound import Outbound
from ipmp.daemon.prober import Prober
from ipmp.daemon.pulse import Pulse
from ipmp.daemon.report import address_statuses
from ipmp.daemon.retirement import Retirement
from ipmp.daemon.waking import Waker
from ipmp.decision import Decision
from ipmp.homes import Homes, claim, forget_missing, remember, without
from ipmp.kernel.protocol import Changes
from ipmp.model import AddressStatus
from ipmp.placement import Placement, RoutePlacement, place_addresses
from ipmp.plan import DeleteAddress, identity
from ipmp.spread import Spread
from ipmp.world import RouteKey, Snapshot

RECONCILE_SECONDS = 10.0  # a full reading, also when nothing was heard
FOREIGN_SECONDS = 0.1  # at least between two passes that others' changes cause
RETRY_SECONDS = 0.5  # after a reading that failed
PUBLISH = 100  # decisions published at a stretch

log: structlog.stdlib.BoundLogger = structlog.get_logger("mpathd")


class Runner:
    """Keeps one group as it should be."""

    def __init__(
        self,
        context: Context,
        config: GroupConfig,
        homes: Homes,
        members: Members,
        clean: bool = True,
    ) -> None:
        self.context = context
        self.config = config
        self.homes = homes
        self.members = members
        self.snapshot = Snapshot({}, {}, {})
        self.announcer = Announcer()
        self.books = Books(config.name)
        self.limit = MoveLimit(self.books, members)
        self.outbound = Outbound()
        self.prober = Prober(context, config, members.lost_before, self.wake)
        members.listen(lambda: self.prober.standings)
        self.drains = Drains(context.kernel.count_unicast)
        self.retirement = Retirement(context, self.books, self.announcer)
        self.pulse = Pulse(context.monotonic)
        self.executor = Executor(context, config, self.announcer, self.books, self.pulse)
        self.addresses: tuple[AddressStatus, ...] = ()
        self.reconciles = 0
        self._clean = clean  # the last daemon stopped cleanly: the link knows everything
        self._first = True
        self._removed: set[RouteKey] = set()
        self._warned: set[str] = set()
        self.turn = asyncio.Lock()  # of a pass, or of a reload
        self._waker = Waker(context.monotonic)
        self._again = True
        self._looked = asyncio.Event()
        self._settled = asyncio.Event()
        self._next_reconcile = 0.0

    # Waking -------------------------------------------------------------------------------------

    def wake(self, *, urgent: bool = True) -> None:
        """Ask for a pass; an urgent one interrupts a plan that is being carried out."""
        self._settled.clear()
        if urgent and not self._waker.urgent:
            self.executor.noticed = self.context.monotonic()
        self._waker.call(urgent=urgent)

    def changed(self, changes: Changes) -> None:
        """Others changed something; members' links are urgent, the rest is drift to put right."""
        members = self.members.names
        if changes.links & members:
            self.wake()
        if changes.overrun or changes.routes or any(m in members for m, _ in changes.addresses):
            self._removed |= changes.removed_routes
            self.wake(urgent=False)

    def poll_carrier(self) -> None:
        """Ask every member for its carrier, and wake when one has changed."""
        with suppress(OSError):  # it is asked again at the next heartbeat
            if self.members.differ():
                self.wake()

    async def settled(self) -> None:
        """Wait until a pass has found nothing to do and nothing is under way."""
        await self._settled.wait()

    @property
    def is_settled(self) -> bool:
        """Whether nothing is under way."""
        return self._settled.is_set() and not self.turn.locked() and not self.executor.acting

    @property
    def is_whole(self) -> bool:
        """Whether everything is somewhere and the link knows it.

        Else what is missing was not taken away on purpose, or has still to be announced.
        """
        found, places = self.snapshot.identities, self.books.places
        return (
            all(map(self.snapshot.holders, self.homes.addresses))
            and all(route.identity in found for route in self.homes.routes)
            and all((key, place.member) in self.announcer for key, place in places.items())
        )

    async def looked(self) -> None:
        """Wait until the group has been looked at once."""
        await self._looked.wait()

    def configure(self, config: GroupConfig) -> None:
        """Go on with another configuration, in a `turn`; members that stay keep their state."""
        self.config = self.executor.config = config
        self.members.configure(config)
        self.outbound.part(r for r in self.homes.routes if r.home not in config.members)
        self.homes = without(self.homes, (), config.members)
        self.wake()

    def close(self) -> None:
        """Stop probing and counting; addresses stay where they are."""
        self.prober.close()
        self.drains.close()

    async def run(self) -> None:
        """Converge for ever; cancelled by the daemon."""
        while True:
            if self._due():
                foreign = self._waker.called and not self._waker.urgent
                if not (self._waker.urgent or self._again):
                    self.executor.noticed = self.context.monotonic()
                self._waker.answer()
                self.pulse.begin()
                async with self.turn:
                    self._again = await self._try_converge()
                self._looked.set()
                if foreign:
                    await self._waker.sleep(FOREIGN_SECONDS, urgent_only=True)
            self._tick()
            if self._again or self._waker.called or self.drains or self.books.under_way:
                self._settled.clear()
            else:
                self.executor.acting = False
                self._settled.set()
            await self._waker.sleep(self._pause(), urgent_only=False)

    async def _try_converge(self) -> bool:
        """One pass; what the kernel refuses to tell or do is logged and tried again."""
        try:
            again = await self.converge()
            self.pulse.rest()
            return again
        except OSError as error:
            log.error(f"group {self.config.name}: the kernel did not answer: {error}; trying again")
            await asyncio.sleep(RETRY_SECONDS)
            return True

    def _due(self) -> bool:
        """Whether the kernel must be read now."""
        now = self.context.monotonic()
        if any(d is not None and now >= d for d in (self.members.due, self.limit.due)):
            return True
        if now >= self._next_reconcile:
            self.reconciles += 1
            return True
        return self._again or self._waker.called or self.executor.retry_due(now)

    def _tick(self) -> None:
        """Announce what is due, judge drains, close moves."""
        now, settings = self.context.monotonic(), self.config.announce
        self.announcer.refresh(settings.refresh, settings.rate, now)
        for announcement in list(self.announcer.take(now)):
            key, member = announcement.key, announcement.member
            if not self._owns(key, member):
                self.announcer.withdraw([(key, member)])
            elif not self.context.announce(key, member):
                self.announcer.failed(key, member, now)
        if self.drains.look(self.announcer, now):
            self._again = True
        closed = self.books.settle(self.announcer, now, self.context.wall())
        if closed:
            self.context.emit(closed)
            self.context.passed()

    def _pause(self) -> float:
        """Seconds until something is due."""
        now = self.context.monotonic()
        if self._again or self._waker.called:
            return 0.0
        due = [self._next_reconcile, *self.executor.retries()]
        due += (d for d in (self.members.due, self.limit.due) if d is not None)
        deadline = self.announcer.deadline(now)
        if deadline is not None:
            due.append(deadline)
        if self.drains:
            due.append(now + POLL_SECONDS)
        return min(due) - now

    # One pass -----------------------------------------------------------------------------------

    async def converge(self) -> bool:
        """One pass; True when it changed the kernel and should be followed by another."""
        self._next_reconcile = self.context.monotonic() + RECONCILE_SECONDS
        decisions = self.members.observe()
        self._announce_anew()
        removed = frozenset(self._removed)
        self.snapshot = await self._read()
        homes, retired = await self.retirement.carry_out(
            self.config, self.members.group, self.homes, self.snapshot
        )
        if retired:
            self._remember(homes)
            self.snapshot = await self._read()
        decisions += (*retired, *await self._learn(removed))
        size = self.homes.size
        placements, routes, spread = await aside(size, self._place)
        decisions += self.outbound.left_out(self.config.name, spread)
        decisions += self.limit.held_back(placements, self.context.monotonic())
        dead = self.members.dead
        held = self.executor.fights.held(self.context.monotonic())
        leaving = await aside(size, copies.leaving, placements, self.snapshot, dead, held)
        decisions += drained(self.config.name, self.drains.update(leaving), self.context.offline)
        why, quiet = self.members.reason, self.drains.judged
        work = Work(placements, routes, self.snapshot, quiet, dead, why, held, spread)
        acted = await self.executor.carry_out(work, lambda: self._waker.urgent, decisions)
        decisions += self.executor.fights.news(self.config.name, self.context.monotonic())
        self.addresses = await aside(size, address_statuses, self.homes, self.books, self.snapshot)
        await self._publish(decisions)
        self.retirement.passed()
        if not self._waker.urgent:
            await self.prober.arrange(self.config, self.snapshot, self.members)
        return acted

    async def _read(self) -> Snapshot:
        return claim(self.homes, await self.context.kernel.snapshot(self.members.links))

    def _announce_anew(self) -> None:
        """Where the link may be wrong: a member is another device, a group is repaired."""
        for member in self.members.untold:
            self.announcer.silence(member)
        self.members.untold.clear()

    async def _publish(self, decisions: list[Decision]) -> None:
        for start in range(0, len(decisions), PUBLISH):
            self.context.emit(decisions[start : start + PUBLISH])
            await asyncio.sleep(0)
        self.context.passed()

    async def _learn(self, heard: Set[RouteKey]) -> Iterable[Decision]:
        """Take note of what the snapshot shows for the first time."""
        homes, first = self.homes, self._first
        self._first = False
        self.announcer.check(self.snapshot.addresses)
        if first and self._clean and not self.members.differ():
            homes = forget_missing(homes, self.config, self.snapshot)
        removed = self._removed - self._lost_with_links() if self._removed else frozenset()
        self._removed -= heard  # what was removed during the reading may still be in it
        self.outbound.give_up(self.executor.setbacks.waiting)
        known = (self.config, self.snapshot, self.context.codec)
        leaving = self.outbound.leaving
        homes, decisions = await aside(
            self.snapshot.size, remember, homes, *known, removed, leaving
        )
        self._remember(homes)
        told = (self.books, self.announcer, self.drains)
        intruders = copies.note(
            self.snapshot, homes.addresses, *told, first=first, clean=self._clean
        )
        for intruder in intruders:
            removal = identity(DeleteAddress(intruder.address, intruder.interface))
            self.executor.fights.note(removal, intruder, self.context.monotonic())
        return (*decisions, *intruders, *copies.stay(self.config, self.snapshot, self._warned))

    def _remember(self, homes: Homes) -> None:
        if homes is self.homes:
            return
        for key in self.homes.addresses.keys() - homes.addresses.keys():
            self.books.forget(key)
            self.announcer.forget(key)
        self.homes = homes
        self.context.homes_changed()

    def _lost_with_links(self) -> set[RouteKey]:
        """Routes that vanished with their members were not removed on purpose."""
        up = {name for name, link in self.members.links.items() if link.up}
        return {route.route.key for route in self.homes.routes if route.home not in up}

    def _place(self) -> tuple[list[Placement], list[RoutePlacement], Spread]:
        addresses = sorted(self.homes.addresses.values(), key=lambda a: a.order)
        restless = self.limit.restless(self.homes.addresses, self.context.monotonic())
        seats = {key: place.member for key, place in self.books.places.items()}
        group, snapshot = self.members.group, self.snapshot
        placements = list(place_addresses(group, addresses, snapshot, seats, restless))
        targets = {p.address.key: p.target for p in placements if p.target is not None}
        return placements, *self.outbound.place(self.config, group, self.homes, targets, snapshot)

    def _owns(self, key: str, member: str) -> bool:
        """Asked before every announcement: never speak for an address that has left."""
        ours = key in self.homes.addresses and self.books.is_at(key, member)
        return ours and member not in self.members.dead
