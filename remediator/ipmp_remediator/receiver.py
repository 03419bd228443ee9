"""Take in one notification: judge each alert and store what follows, all or nothing."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence

from ipmp_remediator import intake
from ipmp_remediator.database import Database
from ipmp_remediator.decision import Action, Decision, Kind, Reason
from ipmp_remediator.journal import Journal
from ipmp_remediator.metrics import Metrics
from ipmp_remediator.payload import Alert, AlertStatus, Notification
from ipmp_remediator.policy import Wish
from ipmp_remediator.rows import put, record, select
from ipmp_remediator.state import Episode, Known, Onset, Outcome, Request
from ipmp_remediator.store import count_pending

_Judged = list[tuple[Alert, list[Decision]]]
_REMEMBERED = (Reason.NOTHING_DRAINED, Reason.OTHER_ALERT_OPEN)


class QueueFullError(Exception):
    """So many drains wait that no more are taken; the sender shall try again."""


class Receiver:
    """Turns notifications into stored episodes and decisions."""

    def __init__(self, database: Database, metrics: Metrics, journal: Journal) -> None:
        self._database = database
        self._metrics = metrics
        self._journal = journal

    async def receive(self, notification: Notification, rules: intake.Rules) -> None:
        """Store the notification's consequences; raise StoreError or QueueFullError if it cannot.

        When it returns, every alert's episode and decision is on the disk.
        """
        now = time.time()
        judged, pending = await self._database.run(lambda db: take_in(db, notification, rules, now))
        self._metrics.pending.set(pending)
        self._metrics.last_notification.set(now)
        self._metrics.alerts_truncated.inc(notification.truncated_alerts)
        for alert, decisions in judged:
            self._metrics.received(alert, decisions)
            for decision in decisions:
                self._journal.tell(decision)


def take_in(
    db: sqlite3.Connection, notification: Notification, rules: intake.Rules, now: float
) -> tuple[_Judged, int]:
    """Judge each alert and store what follows; return that, and how many drains wait now.

    Raises QueueFullError when they would be too many.
    """
    judged = []
    for alert in notification.alerts:
        decisions = [_judge(db, alert, wanted, rules, now) for wanted in _wanted(db, alert, rules)]
        judged.append((alert, decisions))
    queued = any(
        d.kind is Kind.QUEUED and d.action is Action.DRAIN for _, found in judged for d in found
    )
    pending = count_pending(db)
    if queued and pending > rules.config.max_pending:
        raise QueueFullError
    return judged, pending


def _wanted(
    db: sqlite3.Connection, alert: Alert, rules: intake.Rules
) -> Sequence[Request | Decision]:
    """Return what the alert asks for: once resolved, the end of whatever its firing did."""
    if alert.status is AlertStatus.RESOLVED:
        query = "SELECT * FROM episodes WHERE fingerprint = ?"
        if episodes := select(db, Episode, query, (alert.fingerprint,)):
            return [intake.resume(alert, episode) for episode in episodes]
    return [intake.select(alert, rules.config)]


def _judge(
    db: sqlite3.Connection,
    alert: Alert,
    wanted: Request | Decision,
    rules: intake.Rules,
    now: float,
) -> Decision:
    if isinstance(wanted, Decision):
        decision = wanted
    else:
        known = _known(db, wanted)
        decision = intake.intake(wanted, alert, known, rules, now)
        _remember(db, wanted, known, decision, now)
    record(db, decision, now)
    return decision


def _known(db: sqlite3.Connection, request: Request) -> Known:
    """Return what matters to one request."""
    episodes = select(
        db,
        Episode,
        'SELECT * FROM episodes WHERE fingerprint = ? AND "group" = ? AND interface = ?',
        (request.fingerprint, request.group, request.interface),
    )
    episode = episodes[0] if episodes else None
    if request.status is AlertStatus.FIRING:
        return Known(episode=episode)
    drained = db.execute(
        """SELECT 1 FROM drains WHERE interface = :name UNION ALL
        SELECT 1 FROM operations WHERE interface = :name AND action = 'drain'""",
        {"name": request.interface},
    ).fetchone()
    keeper = db.execute(
        """SELECT alertname FROM episodes WHERE interface = ? AND status = 'firing'
        AND wish = 'offline' AND outcome != 'given_up' AND fingerprint != ? ORDER BY started""",
        (request.interface, request.fingerprint),
    ).fetchone()
    name = (keeper[0] or "(no name)") if keeper else ""
    return Known(episode=episode, drained=drained is not None, keeper=name)


def _remember(
    db: sqlite3.Connection, request: Request, known: Known, decision: Decision, now: float
) -> None:
    """Store what was heard; a repeat only renews it."""
    if decision.reason is Reason.DUPLICATE:
        db.execute(
            "UPDATE episodes SET heard = ? WHERE fingerprint = ?", (now, request.fingerprint)
        )
        return
    if decision.kind not in (Kind.QUEUED, Kind.NOTED) and decision.reason not in _REMEMBERED:
        return
    firing = request.status is AlertStatus.FIRING
    put(
        db,
        "episodes",
        Episode(
            fingerprint=request.fingerprint,
            group=request.group,
            interface=request.interface,
            alertname=request.alertname,
            policy=request.policy,
            wish=request.wish,
            status=request.status,
            started=request.started,
            first=now if firing or known.episode is None else known.episode.first,
            heard=now,
            changed=now,
            outcome=Outcome.PENDING if firing and request.wish is Wish.OFFLINE else Outcome.DONE,
        ),
    )
    if firing and request.wish is Wish.OFFLINE:
        put(db, "onsets", Onset(now, request.policy, request.interface))
