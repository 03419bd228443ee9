"""Carry out the queue: one job at a time, oldest first, in order for each interface.

A job is judged anew against the daemon's state, then the daemon is asked, then the job ends in one
transaction with its effect. When the daemon cannot be asked, the job waits and is tried again for
as long as it takes; the same request_id makes the repeat harmless.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from ipmp.model import OperationRequest, ProblemCode, Status
from ipmp_remediator import turn
from ipmp_remediator.daemon_client import (
    DaemonClient,
    DaemonError,
    DaemonUnreachableError,
    OperationRefusedError,
)
from ipmp_remediator.decision import Action, Decision, Kind, Reason
from ipmp_remediator.journal import Journal
from ipmp_remediator.metrics import Metrics
from ipmp_remediator.policy import Config
from ipmp_remediator.state import Drain, Job
from ipmp_remediator.store import Store, StoreError

ACTOR = "remediator"
BUSY_TRIES = 8  # a drain that finds the daemon busy this often is refused
_OBSERVE_INTERVAL = 30.0  # seconds between looks at the daemon while nothing is to be done
_PRUNE_INTERVAL = 3600.0
_PAUSE_AFTER_ERROR = 1.0
_BACKOFF_FIRST, _BACKOFF_MOST = 0.5, 30.0

# A drain that meets these is over; bringing online what we drained waits until they pass.
_PASSING = (Reason.HELD, Reason.MAINTENANCE, Reason.DRY_RUN)

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
    ) -> None:
        self._store = store
        self._daemon = daemon
        self._metrics = metrics
        self._journal = journal
        self._config = config
        self._wake = asyncio.Event()
        self._observe_at = self._prune_at = 0.0  # monotonic
        self.members: frozenset[str] | None = None  # interfaces the daemon last reported

    def wake(self) -> None:
        """Look at the queue now: something has come or the policy has changed."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; a cancelled job is taken up again after the next start."""
        while True:
            self._wake.clear()
            try:
                delay = await self._step()
            except StoreError as error:
                _log.error(f"the queue cannot be read or written: {error}")
                delay = _PAUSE_AFTER_ERROR
            except Exception:
                _log.exception("the worker met an error that it did not expect; it goes on")
                delay = _PAUSE_AFTER_ERROR
            if delay > 0:
                try:
                    async with asyncio.timeout(delay):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    async def _step(self) -> float:
        """Do what is due; return the seconds until something may be due again."""
        await self._housekeeping()
        job = await self._store.next_job(time.time())
        if job is None:
            due = await self._store.next_due()
            idle = self._observe_at - time.monotonic()
            return max(0.0, min(idle, _OBSERVE_INTERVAL if due is None else due - time.time()))
        await self._carry_out(job)
        await self.refresh_metrics()
        return 0.0

    async def refresh_metrics(self) -> None:
        """Set the gauges that are derived from the store and the policy."""
        config = self._config()
        self._metrics.pending.set(await self._store.pending())
        self._metrics.drained(await self._store.drains(), config.groups)
        self._metrics.dry_run.set(config.dry_run)

    async def _carry_out(self, job: Job) -> None:
        try:
            decision = await self._judge(job) or await self._ask(job)
        except DaemonUnreachableError as error:
            await self._wait(
                job, job.decide(Kind.WAITING, Reason.DAEMON_UNREACHABLE, why=str(error))
            )
        except DaemonError as error:
            await self._wait(job, job.decide(Kind.WAITING, Reason.DAEMON_ERROR, why=str(error)))
        else:
            if self._passes(job, decision):
                await self._wait(job, decision)
            else:
                await self._store.finish(job, decision, time.time())
                self._journal.tell(decision)

    async def _judge(self, job: Job) -> Decision | None:
        status = await self._daemon.status()
        self._see(status)
        drain, episode, others = await self._store.context(job)
        view = turn.View(
            interface=status.interface(job.interface),
            paused=status.daemon.paused,
            drain=drain,
            episode=episode,
            others=others,
            max_alert_age=self._config().max_alert_age,
        )
        return turn.before_acting(job, view, time.time())

    async def _ask(self, job: Job) -> Decision:
        """Ask the daemon, and say what its answer means."""
        dry_run = self._config().dry_run
        if dry_run and job.sent:
            return job.decide(
                Kind.REFUSED, Reason.DRY_RUN, why="none; an earlier request may be under way"
            )
        if not dry_run:
            await self._store.mark_sent(job)
        request = OperationRequest(
            reason=_reason(job),
            request_id="" if dry_run else job.request_id,
            dry_run=dry_run,
            actor=ACTOR,
        )
        try:
            with self._metrics.in_progress.track_inprogress():
                result = await self._daemon.operate(job.action, job.interface, request)
        except OperationRefusedError as refusal:
            if refusal.code in (ProblemCode.ALREADY_OFFLINE, ProblemCode.NOT_OFFLINE):
                # Somebody came between our look and our question: whose work is it now?
                return await self._judge(job) or turn.refused(job, refusal.code, refusal.detail)
            return turn.refused(job, refusal.code, refusal.detail)
        if dry_run:
            return job.decide(Kind.REFUSED, Reason.DRY_RUN, why=result.sentence)
        why = result.sentence if result.verified else f"{result.sentence} (not verified)"
        if job.action is Action.DRAIN:
            return job.decide(Kind.DRAINED, Reason.FIRING, why=why)
        return job.decide(Kind.UNDRAINED, Reason.RESOLVED, why=why)

    def _passes(self, job: Job, decision: Decision) -> bool:
        """Tell whether a refusal is a reason to wait rather than the end of the job."""
        if decision.kind is not Kind.REFUSED:
            return False
        if decision.reason is Reason.BUSY:
            return job.action is Action.UNDRAIN or job.tries + 1 < BUSY_TRIES
        return decision.reason in _PASSING and (job.action is Action.UNDRAIN or job.sent)

    async def _wait(self, job: Job, decision: Decision) -> None:
        """Leave the job for later; its reason is recorded when it is not the one of before."""
        now = time.time()
        delay = min(_BACKOFF_MOST, _BACKOFF_FIRST * 2.0 ** min(job.tries, 10))
        news = decision if decision.reason != job.waiting else None
        answered = decision.kind is Kind.REFUSED and decision.reason is not Reason.DRY_RUN
        await self._store.retry(job, now + delay, now, news, answered=answered)
        if news:
            self._journal.tell(news)

    async def _housekeeping(self) -> None:
        """Now and then: see what the daemon reports, and drop what is too old."""
        monotonic = time.monotonic()
        if monotonic >= self._prune_at:
            self._prune_at = monotonic + _PRUNE_INTERVAL
            await self._store.prune(time.time())
        if monotonic >= self._observe_at:
            self._observe_at = monotonic + _OBSERVE_INTERVAL
            try:
                status = await self._daemon.status()
            except (DaemonUnreachableError, DaemonError) as error:
                _log.debug(f"mpathd does not answer: {error}")
                return
            self._see(status)
            await self._forget_lost_drains(status)
            await self.refresh_metrics()

    def _see(self, status: Status) -> None:
        self.members = frozenset(interface.name for interface in status.interfaces)

    async def _forget_lost_drains(self, status: Status) -> None:
        """An operator may have brought online what we drained: then it is no longer ours."""
        for drain in await self._store.idle_drains():
            if reason := turn.still_ours(drain, status):
                decision = _forgotten(drain, reason)
                await self._store.forget(drain, decision, time.time())
                self._journal.tell(decision)


def _reason(job: Job) -> str:
    """Say why in one line that the daemon accepts, whatever the alert is called."""
    name = "".join(c if c.isprintable() else "?" for c in job.alertname[:200])
    state = "is firing" if job.action is Action.DRAIN else "is resolved"
    return f"alert {name} ({job.fingerprint}) {state}"


def _forgotten(drain: Drain, reason: Reason) -> Decision:
    return Decision(
        kind=Kind.FORGOTTEN,
        reason=reason,
        alertname=drain.alertname,
        fingerprint=drain.fingerprint,
        group=drain.group,
        interface=drain.interface,
    )
