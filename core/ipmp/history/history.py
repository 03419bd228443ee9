"""History: everything that was decided, kept in `<state-dir>/history.sqlite`.

`append` only puts an event in memory; a writer task commits batches, so that a failover never
waits for the disk. A disk that fails (full, read-only, gone) is logged once and history goes on in
memory, bounded, until the disk works again. A damaged file is moved aside and a new one begun.

Event ids never repeat: a block of them is reserved on disk before it is used, so that after a crash
numbering goes on behind whatever a client may have seen. When the old numbers cannot be read, it
goes on from Unix time, which no count of events reaches.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections import deque
from pathlib import Path

import structlog

from ipmp.decision import Kind
from ipmp.history.store import DAMAGED, Query, Store
from ipmp.model import Event

MAX_ROWS = 100_000
MAX_IN_MEMORY = 50_000  # events that wait for the writer, or for the disk to work again
BATCH = 500  # events of one commit
ID_BLOCK = 10_000
RETRY_SECONDS = 30.0

_log = structlog.get_logger("ipmp.history")


class History:
    """The events on disk and, while the disk fails, in memory."""

    _path: Path
    _memory: Store
    _writer: asyncio.Task[None]

    def __init__(self, max_rows: int = MAX_ROWS, retry_seconds: float = RETRY_SECONDS) -> None:
        self._max_rows = max_rows
        self._retry_seconds = retry_seconds
        self._disk: Store | None = None
        self._retry_at = 0.0  # loop time
        self._failing = False  # the disk does not take events, and that has been logged
        self._last_id = 0
        self._numbered = False  # the last id of the previous run is known, or replaced
        self._reserved = 0  # the last id that the disk knows to be taken
        self._untrimmed = 0  # rows written since the last trim
        self._pending: deque[Event] = deque(maxlen=MAX_IN_MEMORY)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()  # nothing is pending
        self._lock = asyncio.Lock()  # one at a time speaks to the stores, or gives one up
        self._closing = False

    @property
    def last_id(self) -> int:
        """The id after which the next event is numbered."""
        return self._last_id

    @property
    def on_disk(self) -> bool:
        """Whether the disk took the last events; else they are kept in memory for now."""
        return not self._failing

    @property
    def pending(self) -> int:
        """How many events wait for the writer."""
        return len(self._pending)

    async def open(self, path: Path) -> None:
        """Open the database at `path`, or make it; a disk that fails is logged, never raised."""
        self._path = path
        self._memory = await Store.open(":memory:")
        await self._disk_works()
        self._writer = asyncio.create_task(self._write_pending(), name="history writer")

    def append(self, event: Event) -> None:
        """Take `event` into the history; returns at once."""
        self._pending.append(event)
        self._last_id = max(self._last_id, event.id)
        self._idle.clear()
        self._wake.set()

    async def query(
        self,
        limit: int = 100,
        since: float = 0.0,
        group: str = "",
        interface: str = "",
        address: str = "",
        kind: Kind | None = None,
    ) -> list[Event]:
        """Return the newest `limit` events that match, newest last; empty means any.

        `since` is Unix seconds, `interface` also matches source and target of a move, `address`
        is compared without its prefix length.
        """
        kinds = () if kind is None else (kind,)
        return await self.select(Query(limit, since, group, interface, address, kinds))

    async def select(self, query: Query) -> list[Event]:
        """Return the newest events that match, newest last."""
        await self._idle.wait()
        async with self._lock:
            events = await self._memory.select(query)
            if self._disk is not None:
                try:
                    events += await self._disk.select(query)
                except sqlite3.Error as error:
                    await self._disk_failed(error)
        newest_last = sorted(events, key=lambda event: event.id)
        return newest_last[-query.limit :]

    async def close(self) -> None:
        """Write what is pending and close the database."""
        self._closing = True
        self._wake.set()
        await self._writer
        if self._disk is not None:
            with contextlib.suppress(sqlite3.Error):  # costs a gap in the ids, no event
                await self._disk.trim(self._max_rows)
                await self._disk.reserve(self._last_id)
            await self._disk.close()
        await self._memory.close()

    async def _write_pending(self) -> None:
        """Write batch after batch, until closed and nothing is left."""
        while self._pending or not self._closing:
            if not self._pending:
                self._idle.set()
                await self._wake.wait()
            self._wake.clear()
            batch = [self._pending.popleft() for _ in range(min(BATCH, len(self._pending)))]
            try:
                async with self._lock:
                    await self._write(batch)
            except Exception:  # one bad batch must not end the history of all that follow
                _log.exception("events could not be recorded", count=len(batch))
        self._idle.set()

    async def _write(self, batch: list[Event]) -> None:
        """Put `batch` on the disk, or in memory while the disk does not take it."""
        if await self._disk_works():
            try:
                await self._write_to_disk(batch)
            except sqlite3.Error as error:
                await self._disk_failed(error)
            else:
                return
        await self._memory.insert(batch)
        await self._memory.trim(MAX_IN_MEMORY)

    async def _write_to_disk(self, batch: list[Event]) -> None:
        assert self._disk is not None
        if self._last_id > self._reserved - ID_BLOCK // 2:
            await self._reserve(self._disk)
        await self._disk.insert(batch)
        self._untrimmed += len(batch)
        if self._untrimmed >= max(BATCH, self._max_rows // 10):
            await self._disk.trim(self._max_rows)
            self._untrimmed = 0

    async def _reserve(self, disk: Store) -> None:
        self._reserved = self._last_id + ID_BLOCK
        await disk.reserve(self._reserved)

    async def _disk_works(self) -> bool:
        """Tell whether the disk takes events; try it (again) when that is due."""
        for _ in range(2):  # the second time after a damaged file was moved aside
            if self._disk is not None and not self._failing:
                return True
            if asyncio.get_running_loop().time() < self._retry_at:
                break
            try:
                await self._recover()
            except (sqlite3.Error, OSError) as error:
                await self._disk_failed(error)
        return self._disk is not None and not self._failing

    async def _recover(self) -> None:
        """Open the database unless it is open, and hand it what has gathered in memory."""
        if self._disk is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._disk = await Store.open(self._path)
            self._last_id = max(self._last_id, await self._disk.last_id())
            self._numbered = True
        await self._reserve(self._disk)
        gathered = await self._memory.select(Query(MAX_IN_MEMORY))
        await self._disk.insert(gathered)
        await self._memory.trim(0)
        if self._failing:
            _log.info("history is on disk again", path=str(self._path), events=len(gathered))
        self._failing = False

    async def _disk_failed(self, error: sqlite3.Error | OSError) -> None:
        """Go on in memory until the next try; a damaged file is moved out of the way."""
        if not self._numbered:
            self._last_id = max(self._last_id, int(time.time()))
            self._numbered = True
        if getattr(error, "sqlite_errorcode", None) in DAMAGED:
            if self._disk is not None:
                await self._disk.close()
                self._disk = None
            if self._move_aside(error):
                self._retry_at = 0.0
                return
        self._retry_at = asyncio.get_running_loop().time() + self._retry_seconds
        if not self._failing:
            _log.warning(
                "history cannot be written and is kept in memory only; see to the disk",
                path=str(self._path),
                error=str(error),
            )
        self._failing = True

    def _move_aside(self, error: Exception) -> bool:
        """Rename the closed database and its companions; tell whether that worked."""
        aside = f"{self._path}.damaged-{int(time.time())}"
        try:
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{self._path}{suffix}").rename(f"{aside}{suffix}")
        except OSError:
            return False
        _log.warning(
            "history was damaged; it was moved aside and a new one begun",
            path=str(self._path),
            moved_to=aside,
            error=str(error),
        )
        return True
