"""The loop: read what is remembered and what is, plan, store, ask the daemon, and read again.

Events only wake it. When the daemon cannot be asked, what is wanted waits, and is planned anew when
it can be.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from ipmp.model import Status
from ipmp_remediator.budget import Slots
from ipmp_remediator.daemon_client import DaemonClient, DaemonError, DaemonUnreachableError
from ipmp_remediator.database import StoreError
from ipmp_remediator.decision import Kind, Reason
from ipmp_remediator.journal import Journal
from ipmp_remediator.metrics import Metrics
from ipmp_remediator.operations import Operations
from ipmp_remediator.planner import RECHECK, plan, refused
from ipmp_remediator.policy import Config, lookback
from ipmp_remediator.state import Change, Memory, new_request_id
from ipmp_remediator.store import Store

OBSERVE_INTERVAL = 30.0  # seconds between looks at the daemon while nothing is to be done
_PRUNE_INTERVAL = 3600.0
_PAUSE_AFTER_ERROR = 1.0
_PAUSE_BETWEEN = 0.02  # seconds; what comes in a burst is looked at together
_PAUSE_SHARE = 4.0  # and a look takes at most a fifth of the time, however much is open

_log = structlog.get_logger()


class Worker:
    """The only one that asks the daemon for anything."""

    def __init__(
        self,
        store: Store,
        daemon: DaemonClient,
        metrics: Metrics,
        journal: Journal,
        config: Callable[[], Config],
        slots: Slots,
    ) -> None:
        self._store = store
        self._daemon = daemon
        self._metrics = metrics
        self._journal = journal
        self._config = config
        self._operations = Operations(store, daemon, metrics, journal, slots)
        self._slots = slots
        self._wake = asyncio.Event()
        self._observe_at = self._prune_at = 0.0  # monotonic
        self.status: Status | None = None  # what the daemon last reported

    def wake(self) -> None:
        """Look now: something has come or the policy has changed."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; what was begun is taken up again after the next start."""
        while True:
            self._wake.clear()
            began = time.monotonic()
            try:
                delay = await self._step()
            except StoreError as error:
                _log.error(f"the memory cannot be read or written: {error}")
                delay = _PAUSE_AFTER_ERROR
            except Exception:
                _log.exception("the worker met an error that it did not expect; it goes on")
                delay = _PAUSE_AFTER_ERROR
            pause = max(_PAUSE_BETWEEN, _PAUSE_SHARE * (time.monotonic() - began))
            await asyncio.sleep(min(delay, pause))
            try:
                async with asyncio.timeout(max(0.0, delay - pause)):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def refresh_metrics(self, memory: Memory | None = None) -> None:
        """Set the gauges that are derived from the store and the policy."""
        memory = memory or await self._store.memory(lookback(self._config()))
        self._metrics.remembered(memory, self._config(), time.time())

    async def _step(self) -> float:
        """Do what is due; return the seconds until something may be due again."""
        await self._prune()
        memory = await self._store.memory(lookback(self._config()))
        await self.refresh_metrics(memory)
        idle = not (memory.drains or memory.operations or memory.pending())
        if idle:
            self._slots.planned(None)
        self._slots.settle(memory)
        left = self._observe_at - time.monotonic()
        if idle and left > 0:
            return left
        try:
            status = self.status = await self._daemon.status()
        except (DaemonUnreachableError, DaemonError) as error:
            await self._daemon_away(memory, error)
            return OBSERVE_INTERVAL if idle else RECHECK
        self._observe_at = time.monotonic() + OBSERVE_INTERVAL
        config = self._config()
        for operation in memory.operations:
            if await self._operations.resume(operation, status, dry_run=config.dry_run):
                return 0.0
        return await self._follow(config, status, memory)

    async def _follow(self, config: Config, status: Status, memory: Memory) -> float:
        now = time.time()
        result = plan(
            config,
            status,
            memory,
            now,
            request_id=new_request_id(),
            resting=self._operations.resting(memory),
        )
        self._slots.planned(result.operation)
        if result.trouble != memory.trouble:
            await self._store.weather(result.trouble)
        await self._apply(result.changes)
        if result.operation and result.about:
            await self._operations.carry_out(
                result.operation, result.about, status, dry_run=config.dry_run
            )
            return 0.0
        if result.changes:
            return 0.0
        if result.wake is None:
            return RECHECK if memory.operations else OBSERVE_INTERVAL
        return max(0.0, min(OBSERVE_INTERVAL, result.wake - now))

    async def _daemon_away(self, memory: Memory, error: Exception) -> None:
        """What is wanted waits; that is recorded once."""
        unreachable = isinstance(error, DaemonUnreachableError)
        reason = Reason.DAEMON_UNREACHABLE if unreachable else Reason.DAEMON_ERROR
        changes = [
            change
            for about in memory.pending()
            if (change := refused(about, about.decide(Kind.WAITING, reason, why=str(error))))
        ]
        await self._apply(changes)

    async def _apply(self, changes: Sequence[Change]) -> None:
        if changes:
            for decision in await self._store.apply(changes, time.time()):
                self._journal.tell(decision)

    async def _prune(self) -> None:
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + _PRUNE_INTERVAL
            await self._store.prune(time.time())
