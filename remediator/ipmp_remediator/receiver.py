"""Take in one notification: judge each alert and store what follows, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ipmp_remediator import intake
from ipmp_remediator.decision import Decision, Kind, Reason
from ipmp_remediator.journal import Journal
from ipmp_remediator.metrics import Metrics
from ipmp_remediator.payload import Alert, AlertStatus, Notification
from ipmp_remediator.state import Outcome, Request
from ipmp_remediator.store import Intake, Store


class QueueFullError(Exception):
    """So many jobs wait that no more are taken; the sender shall try again."""


class Receiver:
    """Turns notifications into stored decisions and jobs."""

    def __init__(self, store: Store, metrics: Metrics, journal: Journal) -> None:
        self._store = store
        self._metrics = metrics
        self._journal = journal

    async def receive(self, notification: Notification, rules: intake.Rules) -> None:
        """Store the notification's consequences; raise StoreError or QueueFullError if it cannot.

        All or nothing: when it returns, every alert's decision and job is on disk.
        """
        now = time.time()
        judged: list[tuple[Alert, list[Decision]]] = []
        async with self._store.intake() as memory:
            for alert in notification.alerts:
                judged.append((alert, await self._judge(memory, alert, rules, now)))
            pending = await memory.pending()
            queued = any(d.kind is Kind.QUEUED for _, decisions in judged for d in decisions)
            if queued and pending > rules.config.max_pending:
                raise QueueFullError
        self._metrics.pending.set(pending)
        self._metrics.last_notification.set(now)
        self._metrics.alerts_truncated.inc(notification.truncated_alerts)
        for alert, decisions in judged:
            self._metrics.received(alert, decisions)
            for decision in decisions:
                self._journal.tell(decision)

    async def _judge(
        self, memory: Intake, alert: Alert, rules: intake.Rules, now: float
    ) -> list[Decision]:
        decisions = []
        for request in await self._requests(memory, alert, rules):
            if isinstance(request, Decision):
                decision = request
            else:
                known = await memory.known(request)
                decision = intake.intake(request, alert, known, rules, now)
                await self._remember(memory, request, alert.status, decision, rules, now)
            await memory.record(decision, now)
            decisions.append(decision)
        return decisions

    async def _requests(
        self, memory: Intake, alert: Alert, rules: intake.Rules
    ) -> Sequence[Request | Decision]:
        """Return what the alert asks for: once resolved, the end of whatever its firing did."""
        if alert.status is AlertStatus.RESOLVED:
            episodes = await memory.episodes(alert.fingerprint)
            if episodes:
                return [intake.resume(alert, episode) for episode in episodes]
        return [intake.select(alert, rules.config)]

    async def _remember(
        self,
        memory: Intake,
        request: Request,
        status: AlertStatus,
        decision: Decision,
        rules: intake.Rules,
        now: float,
    ) -> None:
        if decision.kind is Kind.QUEUED:
            hold_down = rules.config.hold_down if status is AlertStatus.RESOLVED else 0.0
            await memory.remember(request, status, Outcome.PENDING, now)
            await memory.enqueue(request, now + hold_down)
        elif decision.reason is Reason.NOTHING_DRAINED:
            await memory.remember(request, status, Outcome.DONE, now)
        elif decision.reason is Reason.DUPLICATE:
            await memory.touch(request.fingerprint, now)
