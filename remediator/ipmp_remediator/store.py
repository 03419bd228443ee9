"""The remediator's memory: one SQLite file, written in transactions that survive a power cut.

An alert's dedup mark is stored together with its job, and a job's end together with its effect, so
a kill at any moment leaves either both or neither. One connection serves everybody; a lock keeps
their transactions apart.
"""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import aiosqlite
import msgspec

from ipmp_remediator.decision import Action, Decision, Kind, Reason, Record
from ipmp_remediator.payload import AlertStatus
from ipmp_remediator.schema import SCHEMA
from ipmp_remediator.state import Drain, Episode, Job, Known, Outcome, Request

EPISODE_LIFETIME = 7 * 86400.0  # longer than Alertmanager remembers (120 h) plus a repeat
DECISION_LIFETIME = 30 * 86400.0
_LOCK_WAIT = 1.0  # seconds to wait for a foreign reader or backup

_Row = TypeVar("_Row", bound=msgspec.Struct)


class StoreError(Exception):
    """The memory cannot be read or written; what was asked for has not happened."""


class Store:
    """The remediator's memory. Every public method is one transaction, except those of `Intake`."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._db = connection
        self._lock = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> Store:
        """Open or create the file; raise StoreError when that is impossible."""
        try:
            connection = await aiosqlite.connect(path, isolation_level=None, timeout=_LOCK_WAIT)
        except sqlite3.Error as error:
            raise StoreError(f"cannot open {path}: {error}") from error
        try:
            connection.row_factory = sqlite3.Row
            await connection.executescript(SCHEMA)
        except sqlite3.Error as error:
            await connection.close()
            raise StoreError(f"cannot use {path}: {error}") from error
        return cls(connection)

    async def close(self) -> None:
        """Close the file."""
        await self._db.close()

    @asynccontextmanager
    async def intake(self) -> AsyncIterator[Intake]:
        """Begin the transaction in which the alerts of one notification are judged and stored."""
        async with self._transaction():
            yield Intake(self._db)

    async def pending(self) -> int:
        """Count the jobs that wait."""
        async with self._reading():
            return await _count_jobs(self._db)

    async def drains(self) -> list[Drain]:
        """Return the interfaces that are offline on our account."""
        async with self._reading():
            return await self._rows(Drain, "SELECT * FROM drains ORDER BY interface")

    async def idle_drains(self) -> list[Drain]:
        """Return the drains for whose interface no job waits (a job judges its own drain)."""
        async with self._reading():
            return await self._rows(
                Drain, "SELECT * FROM drains WHERE interface NOT IN (SELECT interface FROM jobs)"
            )

    async def decisions(self, limit: int) -> list[Record]:
        """Return the last decisions, newest last."""
        async with self._reading():
            cursor = await self._db.execute(
                "SELECT * FROM decisions ORDER BY id DESC LIMIT ?", (limit,)
            )
            rows = await cursor.fetchall()
        return [
            Record(row["id"], row["time"], decision, decision.sentence())
            for row in reversed(list(rows))
            for decision in (msgspec.json.decode(row["decision"], type=Decision),)
        ]

    async def next_job(self, now: float) -> Job | None:
        """Return the oldest job that is due; those for one interface keep their order."""
        async with self._reading():
            rows = await self._rows(
                Job,
                """SELECT * FROM jobs AS job
                WHERE not_before <= :now AND retry_at <= :now AND NOT EXISTS (
                    SELECT 1 FROM jobs AS earlier
                    WHERE earlier.interface = job.interface
                    AND earlier.id < job.id AND earlier.not_before <= :now)
                ORDER BY id LIMIT 1""",
                {"now": now},
            )
        return rows[0] if rows else None

    async def next_due(self) -> float | None:
        """Return when the next job may be due (Unix seconds), or None when no job waits."""
        async with self._reading():
            cursor = await self._db.execute("SELECT min(max(not_before, retry_at)) FROM jobs")
            row = await cursor.fetchone()
        return None if row is None else row[0]

    async def context(self, job: Job) -> tuple[Drain | None, Episode | None, tuple[Episode, ...]]:
        """Return our drain of the job's interface, its alert's episode, and other open alerts."""
        async with self._reading():
            drains = await self._rows(
                Drain, "SELECT * FROM drains WHERE interface = ?", (job.interface,)
            )
            episodes = await self._rows(
                Episode,
                """SELECT * FROM episodes WHERE interface = :interface
                AND (status = 'firing' OR fingerprint = :fingerprint) ORDER BY started""",
                {"interface": job.interface, "fingerprint": job.fingerprint},
            )
        own = [e for e in episodes if e.fingerprint == job.fingerprint and e.group == job.group]
        others = tuple(e for e in episodes if e.fingerprint != job.fingerprint)
        return (drains[0] if drains else None, own[0] if own else None, others)

    async def mark_sent(self, job: Job) -> None:
        """Remember that the daemon is about to be asked: only its answer ends the job now."""
        async with self._transaction():
            await self._db.execute("UPDATE jobs SET sent = 1 WHERE id = ?", (job.id,))

    async def retry(
        self, job: Job, retry_at: float, now: float, record: Decision | None, *, answered: bool
    ) -> None:
        """Leave a job in the queue for later, and record why unless `record` is None.

        `answered`: the daemon has refused, so the next try is a new operation with a new
        request_id; without an answer it must remain the same one.
        """
        async with self._transaction():
            await self._db.execute(
                "UPDATE jobs SET tries = tries + 1, retry_at = ? WHERE id = ?", (retry_at, job.id)
            )
            if answered:
                await self._db.execute(
                    "UPDATE jobs SET sent = 0, request_id = ? WHERE id = ?", (_new_id(), job.id)
                )
            if record:
                await self._db.execute(
                    "UPDATE jobs SET waiting = ? WHERE id = ?", (record.reason, job.id)
                )
                await _record(self._db, record, now)

    async def finish(self, job: Job, decision: Decision, now: float) -> None:
        """End a job: its decision, its effect on our drains, and its alert's outcome."""
        failed = decision.kind in (Kind.REFUSED, Kind.FAILED)
        async with self._transaction():
            await self._db.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
            await self._db.execute(
                """UPDATE episodes SET outcome = ? WHERE fingerprint = ? AND "group" = ?
                AND interface = ? AND started = ?""",
                (
                    Outcome.REFUSED if failed else Outcome.DONE,
                    job.fingerprint,
                    job.group,
                    job.interface,
                    job.started,
                ),
            )
            await self._apply(job, decision, now)
            await _record(self._db, decision, now)

    async def forget(self, drain: Drain, decision: Decision, now: float) -> None:
        """Drop a drain that somebody else has ended, and say so."""
        async with self._transaction():
            await self._db.execute("DELETE FROM drains WHERE interface = ?", (drain.interface,))
            await _record(self._db, decision, now)

    async def prune(self, now: float) -> None:
        """Drop what is too old to matter; an alert that keeps an interface offline matters."""
        async with self._transaction():
            await self._db.execute(
                """DELETE FROM episodes WHERE updated < ?
                AND fingerprint NOT IN (SELECT fingerprint FROM drains)
                AND fingerprint NOT IN (SELECT fingerprint FROM jobs)""",
                (now - EPISODE_LIFETIME,),
            )
            await self._db.execute(
                "DELETE FROM decisions WHERE time < ?", (now - DECISION_LIFETIME,)
            )

    async def _apply(self, job: Job, decision: Decision, now: float) -> None:
        if decision.kind is Kind.DRAINED:
            await self._db.execute(
                "INSERT OR REPLACE INTO drains VALUES (?, ?, ?, ?, ?, ?)",
                (job.interface, job.group, job.fingerprint, job.alertname, job.request_id, now),
            )
        elif decision.reason is Reason.OTHER_ALERT_OPEN:
            await self._db.execute(
                """UPDATE drains SET (fingerprint, alertname) = (
                    SELECT fingerprint, alertname FROM episodes
                    WHERE interface = :interface AND status = 'firing'
                    AND fingerprint != :fingerprint ORDER BY started LIMIT 1)
                WHERE interface = :interface""",
                {"interface": job.interface, "fingerprint": job.fingerprint},
            )
        elif job.action is Action.UNDRAIN and decision.kind is not Kind.IGNORED:
            await self._db.execute("DELETE FROM drains WHERE interface = ?", (job.interface,))

    async def _rows(
        self, kind: type[_Row], query: str, values: tuple[object, ...] | dict[str, object] = ()
    ) -> list[_Row]:
        return await _select(self._db, kind, query, values)

    def _reading(self) -> AbstractAsyncContextManager[None]:
        return self._transaction("BEGIN")

    @asynccontextmanager
    async def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> AsyncIterator[None]:
        async with self._lock:
            try:
                await self._db.execute(begin)
                try:
                    yield
                    await self._db.commit()
                except BaseException:
                    await self._db.rollback()
                    raise
            except sqlite3.Error as error:
                raise StoreError(str(error)) from error


class Intake:
    """The transaction of one notification."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._db = connection

    async def pending(self) -> int:
        """Count the jobs that wait, those of this transaction included."""
        return await _count_jobs(self._db)

    async def episodes(self, fingerprint: str) -> list[Episode]:
        """Return what is known about an alert: one episode for each target it has named."""
        return await _select(
            self._db, Episode, "SELECT * FROM episodes WHERE fingerprint = ?", (fingerprint,)
        )

    async def known(self, request: Request) -> Known:
        """Return what matters to one request."""
        target = (request.fingerprint, request.group, request.interface)
        episodes = await _select(
            self._db,
            Episode,
            'SELECT * FROM episodes WHERE fingerprint = ? AND "group" = ? AND interface = ?',
            target,
        )
        cursor = await self._db.execute(
            """SELECT 1 FROM drains WHERE fingerprint = :f AND interface = :i UNION ALL
            SELECT 1 FROM jobs WHERE fingerprint = :f AND interface = :i AND action = :drain""",
            {"f": request.fingerprint, "i": request.interface, "drain": Action.DRAIN},
        )
        drained = await cursor.fetchone() is not None
        return Known(episode=episodes[0] if episodes else None, drained=drained)

    async def remember(
        self, request: Request, status: AlertStatus, outcome: Outcome, now: float
    ) -> None:
        """Store the request's alert as the newest episode."""
        await self._db.execute(
            "INSERT OR REPLACE INTO episodes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                request.fingerprint,
                request.group,
                request.interface,
                request.alertname,
                request.policy,
                request.started,
                status,
                outcome,
                now,
            ),
        )

    async def touch(self, fingerprint: str, now: float) -> None:
        """Note that an alert was heard of again."""
        await self._db.execute(
            "UPDATE episodes SET updated = ? WHERE fingerprint = ?", (now, fingerprint)
        )

    async def enqueue(self, request: Request, not_before: float) -> None:
        """Put a request into the queue."""
        await self._db.execute(
            """INSERT INTO jobs (action, alertname, fingerprint, started, "group", interface,
            policy, request_id, not_before) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (*msgspec.structs.astuple(request), _new_id(), not_before),
        )

    async def record(self, decision: Decision, now: float) -> None:
        """Add a decision to the audit table."""
        await _record(self._db, decision, now)


async def _select(
    db: aiosqlite.Connection,
    kind: type[_Row],
    query: str,
    values: tuple[object, ...] | dict[str, object],
) -> list[_Row]:
    cursor = await db.execute(query, values)
    return [msgspec.convert(dict(row), kind, strict=False) for row in await cursor.fetchall()]


async def _count_jobs(db: aiosqlite.Connection) -> int:
    row = await (await db.execute("SELECT count(*) FROM jobs")).fetchone()
    return int(row[0]) if row else 0


async def _record(db: aiosqlite.Connection, decision: Decision, now: float) -> None:
    await db.execute(
        "INSERT INTO decisions (time, decision) VALUES (?, ?)",
        (now, msgspec.json.encode(decision).decode()),
    )


def _new_id() -> str:
    return f"remediator-{uuid.uuid4()}"
