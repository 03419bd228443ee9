"""The remediator's memory, as the loop and the API see it: each method is one transaction.

An operation is stored before the daemon hears of it, and ends together with its effect, its trace
for the limits and its decision: a kill at any moment leaves all of them or none.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ipmp_remediator.database import Database
from ipmp_remediator.decision import Action, Decision, Reason, Record
from ipmp_remediator.rows import put, record, select
from ipmp_remediator.state import (
    Act,
    Change,
    Drain,
    Episode,
    Memory,
    Onset,
    Operation,
    Outcome,
    Trouble,
)

EPISODE_LIFETIME = 7 * 86400.0  # longer than Alertmanager remembers (120 h) plus a repeat
DECISION_LIFETIME = 30 * 86400.0
DECISIONS_KEPT = 200_000
TRACE_LIFETIME = 8 * 86400.0  # acts and onsets; no limit looks back farther than a week


class Store:
    """The remediator's memory."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    async def open(cls, path: Path) -> Store:
        """Open or create the file; raise StoreError when that is impossible."""
        return cls(await Database.open(path))

    async def close(self) -> None:
        """Close the file."""
        await self.database.close()

    async def memory(self, lookback: float) -> Memory:
        """Read all that planning needs; of new alerts those of the last `lookback` seconds."""
        since = time.time() - lookback
        return await self.database.read(lambda db: read_memory(db, since))

    async def pending(self) -> int:
        """Count the episodes that wait for their drain, and the drains that are to end."""
        return await self.database.read(count_pending)

    async def decisions(self, limit: int, name: str = "") -> list[Record]:
        """Return the last decisions, newest last; all, or those about a group or interface."""

        def read(db: sqlite3.Connection) -> list[sqlite3.Row]:
            where = 'WHERE interface = :name OR "group" = :name' if name else ""
            query = f"SELECT * FROM decisions {where} ORDER BY id DESC LIMIT :limit"  # noqa: S608
            return db.execute(query, {"name": name, "limit": limit}).fetchall()

        return [
            Record(row["id"], row["time"], decision, decision.sentence())
            for row in reversed(await self.database.read(read))
            for decision in (msgspec.json.decode(row["decision"], type=Decision),)
        ]

    async def weather(self, trouble: Trouble) -> None:
        """Store what the storm stop remembers."""

        def write(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE trouble SET storm_since = ?, storm_last = ?",
                (trouble.storm_since, trouble.storm_last),
            )

        await self.database.run(write)

    async def apply(self, changes: Sequence[Change], now: float) -> list[Decision]:
        """Store what was decided, except about alerts that have changed; return what was."""

        def write(db: sqlite3.Connection) -> list[Decision]:
            return [c.decision for c in changes if _apply(db, c, now) and c.decision]

        return await self.database.run(write)

    async def begin(self, operation: Operation) -> bool:
        """Remember that the daemon is about to be asked, and count it for the limits.

        False, and nothing is stored, when the alerts that it was planned for have changed.
        """

        def write(db: sqlite3.Connection) -> bool:
            if not _still_wanted(db, operation):
                return False
            put(db, "operations", operation)
            db.execute(
                "INSERT OR REPLACE INTO acts VALUES (?, ?, ?, ?, ?)",
                (
                    operation.request_id,
                    operation.began,
                    operation.action,
                    operation.interface,
                    operation.group,
                ),
            )
            return True

        return await self.database.run(write)

    async def refuse(
        self, operation: Operation, changes: Sequence[Change], now: float
    ) -> list[Decision]:
        """End an operation that had no effect: it does not count. Return what was recorded."""

        def write(db: sqlite3.Connection) -> list[Decision]:
            for table in ("operations", "acts"):
                db.execute(
                    f"DELETE FROM {table} WHERE request_id = ?",  # noqa: S608
                    (operation.request_id,),
                )
            return [c.decision for c in changes if _apply(db, c, now) and c.decision]

        return await self.database.run(write)

    async def finish(
        self, operation: Operation, decisions: Sequence[Decision], undo: Reason | None, now: float
    ) -> None:
        """End an operation that was carried out; `undo`: a drain that is to be taken back."""

        def write(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM operations WHERE request_id = ?", (operation.request_id,))
            if operation.action is Action.DRAIN:
                _drained(db, operation, undo, now)
            else:
                db.execute("DELETE FROM drains WHERE interface = ?", (operation.interface,))
            for decision in decisions:
                record(db, decision, now)
            _count_failure(db, undo is not None, operation.action, now)

        await self.database.run(write)

    async def fail(self, operation: Operation, decision: Decision, now: float) -> None:
        """End an operation that the daemon could not carry out."""

        def write(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM operations WHERE request_id = ?", (operation.request_id,))
            if operation.action is Action.DRAIN:
                _settle(db, operation, Outcome.GIVEN_UP)
            record(db, decision, now)
            _count_failure(db, True, operation.action, now)

        await self.database.run(write)

    async def approve(self, id: str, actor: str, now: float) -> None:
        """Remember that a person has approved a drain."""

        def write(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO approvals VALUES (?, ?, ?)", (id, actor, now))

        await self.database.run(write)

    async def prune(self, now: float) -> None:
        """Drop what is too old to matter; an alert that keeps an interface offline matters."""

        def write(db: sqlite3.Connection) -> None:
            db.execute(
                """DELETE FROM episodes WHERE heard < ?
                AND interface NOT IN (SELECT interface FROM drains)
                AND interface NOT IN (SELECT interface FROM operations)""",
                (now - EPISODE_LIFETIME,),
            )
            db.execute("DELETE FROM decisions WHERE time < ?", (now - DECISION_LIFETIME,))
            db.execute(
                "DELETE FROM decisions WHERE id <= (SELECT max(id) FROM decisions) - ?",
                (DECISIONS_KEPT,),
            )
            for table in ("acts", "onsets", "approvals"):
                db.execute(f"DELETE FROM {table} WHERE time < ?", (now - TRACE_LIFETIME,))  # noqa: S608

        await self.database.run(write)


def count_pending(db: sqlite3.Connection) -> int:
    """Count the episodes that wait for their drain."""
    row = db.execute(
        """SELECT count(*) FROM episodes
        WHERE status = 'firing' AND wish = 'offline' AND outcome = 'pending'"""
    ).fetchone()
    return int(row[0])


def read_memory(db: sqlite3.Connection, since: float) -> Memory:
    """Read all that planning needs; of new alerts those after `since`."""
    return Memory(
        episodes=select(
            db,
            Episode,
            """SELECT * FROM episodes WHERE status = 'firing' UNION ALL
            SELECT * FROM episodes WHERE status != 'firing' AND interface IN (
                SELECT interface FROM drains UNION SELECT interface FROM operations)""",
        ),
        drains=select(db, Drain, "SELECT * FROM drains"),
        operations=select(db, Operation, "SELECT * FROM operations"),
        acts=select(db, Act, 'SELECT time, action, interface, "group" FROM acts ORDER BY time'),
        onsets=select(db, Onset, "SELECT * FROM onsets WHERE time > ? ORDER BY time", (since,)),
        trouble=select(db, Trouble, "SELECT * FROM trouble")[0],
        approved=frozenset(row[0] for row in db.execute("SELECT id FROM approvals")),
    )


def _still_wanted(db: sqlite3.Connection, operation: Operation) -> bool:
    """Look once more, in the transaction that begins the operation."""
    if operation.action is Action.DRAIN:
        query = """SELECT 1 FROM episodes WHERE interface = :interface AND "group" = :group
            AND fingerprint = :fingerprint AND status = 'firing' AND outcome = 'pending'"""
        return db.execute(query, msgspec.structs.asdict(operation)).fetchone() is not None
    if operation.reason is not Reason.RESOLVED:
        return True
    query = """SELECT 1 FROM episodes WHERE interface = :interface AND wish = 'offline'
        AND status = 'firing' AND outcome != 'given_up'"""
    return db.execute(query, msgspec.structs.asdict(operation)).fetchone() is None


def _apply(db: sqlite3.Connection, change: Change, now: float) -> bool:
    """Store one change; False when the alert that it is about has changed since it was read."""
    if episode := change.episode:
        cursor = db.execute(
            """UPDATE episodes SET outcome = ?, told = ? WHERE fingerprint = ? AND "group" = ?
            AND interface = ? AND started = ? AND status = ?""",
            (
                episode.outcome,
                episode.told,
                episode.fingerprint,
                episode.group,
                episode.interface,
                episode.started,
                episode.status,
            ),
        )
        if cursor.rowcount == 0:
            return False
    if change.decision:
        record(db, change.decision, now)
    if change.drain:
        put(db, "drains", change.drain)
    if change.forget:
        db.execute("DELETE FROM drains WHERE interface = ?", (change.forget,))
    return True


def _drained(db: sqlite3.Connection, operation: Operation, undo: Reason | None, now: float) -> None:
    put(
        db,
        "drains",
        Drain(
            interface=operation.interface,
            group=operation.group,
            fingerprint=operation.fingerprint,
            alertname=operation.alertname,
            policy=operation.policy,
            request_id=operation.request_id,
            since=now,
            undo=undo or "",
        ),
    )
    _settle(db, operation, Outcome.GIVEN_UP if undo else Outcome.DONE)


def _settle(db: sqlite3.Connection, operation: Operation, outcome: Outcome) -> None:
    db.execute(
        """UPDATE episodes SET outcome = ?, told = '' WHERE fingerprint = ? AND "group" = ?
        AND interface = ?""",
        (outcome, operation.fingerprint, operation.group, operation.interface),
    )


def _count_failure(db: sqlite3.Connection, failed: bool, action: Action, now: float) -> None:
    """A drain that succeeds closes the circuit again."""
    if failed:
        db.execute("UPDATE trouble SET failures = failures + 1, failed_at = ?", (now,))
    elif action is Action.DRAIN:
        db.execute("UPDATE trouble SET failures = 0")
