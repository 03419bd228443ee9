"""The budget of a fleet: slots of one or more pools, held by the servers of FleetLock.

Nothing is stored here. A target that is drained holds its slots; every other one holds none, and
what it might hold after a crash or a lost answer is given back: at the start, after each doubt, and
in rounds. What was asked and not answered may still happen, for as long as a server works on a
request; so a target in doubt is not given a slot anew before that time is over.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection
from typing import Protocol

import msgspec
import structlog

from ipmp.fleetlock.client import RefusedError, UnreachableError
from ipmp_remediator.budget.contract import Granted, Refused, Target
from ipmp_remediator.decision import Reason

RETRY_FIRST, RETRY_MOST = 1.0, 30.0

_FULL = (409, 423, 429)  # what servers say when all slots are taken
_FULL_KIND = "failed_lock_semaphore_full"

_log = structlog.get_logger()


class Pace(msgspec.Struct, frozen=True):
    """Seconds."""

    settle: float = 10.0  # for how long a request may be on its way; servers give up after 5
    spread: float = 20.0  # after a start or in a round, so that a fleet does not ask all at once
    round: float = 600.0  # between two rounds in which all that is not held is given back


class Server(Protocol):
    """The two calls of FleetLock."""

    async def take(self, group: str, client: str) -> None:
        """Take a slot; raise RefusedError or UnreachableError."""

    async def give_back(self, group: str, client: str) -> None:
        """Give a slot back; raise RefusedError or UnreachableError."""


class FleetBudget:
    """Takes a slot of each pool of a target, in one order, or none."""

    def __init__(
        self,
        server: Server,
        host: str,
        pools_of: Callable[[str], tuple[str, ...]],
        pace: Pace | None = None,
    ) -> None:
        self._pace = pace or Pace()
        self._server = server
        self._host = host
        self._pools_of = pools_of
        self._held: set[Target] = set()
        self._known: set[Target] = set()
        self._owed: dict[Target, float] = {}  # to be given back, not before (the loop's time)
        self._doubtful_until: dict[Target, float] = {}
        self._turns: dict[Target, asyncio.Lock] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, drained: Collection[Target], known: Collection[Target]) -> None:
        """Begin: who is drained holds slots, all others are made to hold none."""
        self._held = set(drained)
        self._known = {*known, *drained}
        for target in self._known - self._held:
            self._doubtful_until[target] = _now() + self._pace.settle
            self._owe(target, self._doubtful_until[target] + self._some(self._pace.spread))
        self._task = asyncio.create_task(self._give_back_for_ever())

    async def stop(self) -> None:
        """End; what is owed is given back after the next start."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def take(self, target: Target) -> Granted | Refused:
        """Take a slot of every pool."""
        self._known.add(target)
        async with self._turn(target):
            if target in self._held:
                return await self._confirm(target)
            left = self._doubtful_until.get(target, 0.0) - _now()
            if left > 0:
                return Refused(
                    Reason.BUDGET_SETTLING,
                    f"an earlier request is being settled, for {max(left, 1.0):.0f} s",
                )
            if target in self._owed and not await self._give_back(target):
                return Refused(
                    Reason.BUDGET_UNREACHABLE, "an earlier slot cannot be given back yet"
                )
            return await self._take(target)

    def keep(self, targets: Collection[Target]) -> None:
        """Give back what others than these hold."""
        for target in self._held - set(targets):
            self.give_back(target)

    def give_back(self, target: Target) -> None:
        """Give the slots back, for as long as it takes."""
        self._held.discard(target)
        self._owe(target, _now())

    @property
    def owed(self) -> int:
        """How many targets have slots that could not be given back yet."""
        return len(self._owed)

    async def _take(self, target: Target) -> Granted | Refused:
        for pool in self._pools_of(target.group):
            try:
                await self._server.take(pool, self._id(target))
            except RefusedError as error:
                self._owe(target, _now())  # the pools before this one
                return _refused(pool, error)
            except (UnreachableError, asyncio.CancelledError) as error:
                self._doubt(target)
                if isinstance(error, asyncio.CancelledError):
                    raise
                return Refused(
                    Reason.BUDGET_UNREACHABLE, f"pool {pool} cannot be asked for: {error}"
                )
        self._held.add(target)
        return Granted()

    async def _confirm(self, target: Target) -> Granted | Refused:
        """Take what is held once more: an operator may have released it meanwhile."""
        for pool in self._pools_of(target.group):
            try:
                await self._server.take(pool, self._id(target))
            except RefusedError as error:
                return _refused(pool, error)
            except UnreachableError as error:
                return Refused(
                    Reason.BUDGET_UNREACHABLE, f"pool {pool} cannot be asked for: {error}"
                )
        return Granted()

    def _id(self, target: Target) -> str:
        return f"{self._host}/{target.interface}"

    def _some(self, seconds: float) -> float:
        """Return a random part of a time: hosts that began together shall not go on together."""
        return seconds * random.uniform(0.1, 1.0)  # noqa: S311

    def _turn(self, target: Target) -> asyncio.Lock:
        return self._turns.setdefault(target, asyncio.Lock())

    def _doubt(self, target: Target) -> None:
        """What the servers have is not known: settle it, and again when nothing is on its way."""
        self._doubtful_until[target] = _now() + self._pace.settle
        self._owe(target, _now())

    def _owe(self, target: Target, when: float) -> None:
        self._owed[target] = when
        self._wake.set()

    async def _give_back_for_ever(self) -> None:
        pause, round_at = RETRY_FIRST, _now() + self._pace.round
        while True:
            self._wake.clear()
            try:
                clear = await self._give_back_due()
            except Exception:
                _log.exception("slots could not be given back; it is tried again")
                clear = False
            pause = RETRY_FIRST if clear else min(RETRY_MOST, 2 * pause)
            if _now() >= round_at:
                round_at = _now() + self._pace.round
                for target in self._known - self._held - self._owed.keys():
                    self._owe(target, _now() + self._some(self._pace.spread))
            due = min([round_at, *self._owed.values()])
            delay = max(0.0, due - _now()) if clear else self._some(pause)
            try:
                async with asyncio.timeout(delay):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _give_back_due(self) -> bool:
        """Give back what is due; tell whether every server has answered."""
        clear = True
        for target in [t for t, when in self._owed.items() if when <= _now()]:
            async with self._turn(target):
                if target in self._held:  # it was given one while its turn in the round came
                    self._owed.pop(target, None)
                elif target in self._owed and not await self._give_back(target):
                    clear = False
        return clear

    def _pools_to_leave(self, target: Target) -> list[str]:
        """Its pools, but for those that the same interface holds as a member of another group."""
        same = (t.group for t in self._held if t.interface == target.interface)
        held = {pool for group in same for pool in self._pools_of(group)}
        return [pool for pool in self._pools_of(target.group) if pool not in held]

    async def _give_back(self, target: Target) -> bool:
        sent = _now()
        for pool in self._pools_to_leave(target):
            try:
                await self._server.give_back(pool, self._id(target))
            except RefusedError as error:
                _log.error(f"pool {pool} does not take the slot of {target.interface}: {error}")
            except UnreachableError as error:
                _log.warning(f"pool {pool} cannot be given a slot back, tried again: {error}")
                self._doubtful_until[target] = _now() + self._pace.settle
                return False
        if sent < (until := self._doubtful_until.get(target, 0.0)):
            self._owed[target] = until  # once more, when nothing can be on its way any longer
        else:
            self._owed.pop(target, None)
            self._doubtful_until.pop(target, None)
        return True


def _refused(pool: str, error: RefusedError) -> Refused:
    if error.kind == _FULL_KIND or error.status in _FULL:
        return Refused(Reason.BUDGET_FULL, f"pool {pool} has no free slot")
    return Refused(Reason.BUDGET_NOT_ALLOWED, f"pool {pool} refuses us: {error}")


def _now() -> float:
    return asyncio.get_running_loop().time()
