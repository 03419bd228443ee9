"""The table of events in SQLite; `history` decides when to use it and what to do when it fails."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path

import aiosqlite
import msgspec

from ipmp.decision import Kind
from ipmp.model import Event

CHUNK = 500  # rows made in one go: this is work in the event loop

#: Errors that no retry mends: the file itself is bad.
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    kind TEXT NOT NULL,
    "group" TEXT NOT NULL,
    interfaces TEXT NOT NULL,  -- ' ni0 ni1 ': its own, and source and target of a move
    address TEXT NOT NULL,     -- without prefix length
    event BLOB NOT NULL        -- the whole event, JSON
);
CREATE TABLE IF NOT EXISTS reserved (id INTEGER NOT NULL);
INSERT INTO reserved SELECT 0 WHERE NOT EXISTS (SELECT * FROM reserved);
"""
_INSERT = "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)"
_TRIM = "DELETE FROM events WHERE id <= (SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?)"
_LAST_ID = "SELECT max((SELECT id FROM reserved), (SELECT ifnull(max(id), 0) FROM events))"
_SELECT = """
SELECT event FROM events
WHERE time >= :since
  AND (:group = '' OR "group" = :group)
  AND (:interface = '' OR instr(interfaces, ' ' || :interface || ' '))
  AND (:address = '' OR address = :address)
  AND (:kinds = '' OR instr(:kinds, ' ' || kind || ' '))
  AND NOT instr(:without, ' ' || kind || ' ')
  AND (:before = 0 OR id < :before)
ORDER BY id DESC LIMIT :limit
"""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


class Query(msgspec.Struct, frozen=True):
    """Which events are wanted; what is empty does not restrict."""

    limit: int
    since: float = 0.0  # Unix seconds
    group: str = ""
    interface: str = ""  # its own, or source or target of a move
    address: str = ""  # compared without prefix length
    kinds: Collection[Kind] = ()
    without: Collection[Kind] = ()  # of no such kind
    before: int = 0  # only events with a lower number


class Store:
    """One database of events. Every method raises `sqlite3.Error` when the database fails."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, path: Path | str) -> Store:
        """Open the database at `path`, or make it."""
        connection = await aiosqlite.connect(path)
        try:
            await connection.executescript(_SCHEMA)
        except sqlite3.Error:
            await connection.close()
            raise
        return cls(connection)

    async def close(self) -> None:
        """Close the database."""
        await self._connection.close()

    async def last_id(self) -> int:
        """Return the highest id that is used or reserved."""
        cursor = await self._connection.execute(_LAST_ID)
        row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def reserve(self, last_id: int) -> None:
        """Note that ids up to `last_id` are taken."""
        async with self._transaction():
            await self._connection.execute("UPDATE reserved SET id = ?", (last_id,))

    async def insert(self, events: Sequence[Event]) -> None:
        """Add `events`, all or none."""
        async with self._transaction():
            for start in range(0, len(events), CHUNK):
                rows = [_row(event) for event in events[start : start + CHUNK]]
                await self._connection.executemany(_INSERT, rows)

    async def trim(self, rows: int) -> None:
        """Delete all but the newest `rows` events."""
        async with self._transaction():
            await self._connection.execute(_TRIM, (rows,))

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        try:
            yield
            await self._connection.commit()
        except sqlite3.Error:
            await self._connection.rollback()
            raise

    async def select(self, query: Query) -> list[Event]:
        """Return the newest events that match, newest first."""
        parameters = msgspec.structs.asdict(query)
        parameters["address"] = query.address.partition("/")[0]
        parameters["kinds"] = _words(query.kinds)
        parameters["without"] = _words(query.without)
        events: list[Event] = []
        async with self._connection.execute(_SELECT, parameters) as cursor:
            async for (event,) in cursor:
                # A newer version may have written kinds that this one does not know.
                with contextlib.suppress(msgspec.ValidationError):
                    events.append(_decode(event))
        return events


def _words(names: Collection[str]) -> str:
    """A list in which SQL finds a name by the blanks around it."""
    return f" {' '.join(names)} " if names else ""


def _row(event: Event) -> tuple[int, float, str, str, str, str, bytes]:
    decision = event.decision
    return (
        event.id,
        event.time,
        decision.kind.value,
        decision.group,
        _words(decision.interfaces),
        decision.address.partition("/")[0],
        _encode(event),
    )
