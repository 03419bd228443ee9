"""One SQLite file, one thread that owns it, and transactions that survive a power cut.

What is asked for while a transaction is being written joins the next one: many notifications share
one write to the disk, and each of them is answered only when that write is done. Each is a
savepoint of its own, so that one that fails takes no other with it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ipmp_remediator.schema import SCHEMA

_LOCK_WAIT = 1.0  # seconds to wait for a foreign reader or backup

_Result = TypeVar("_Result")
_Work = Callable[[sqlite3.Connection], Any]


class StoreError(Exception):
    """The memory cannot be read or written; what was asked for has not happened."""


class Database:
    """The file; `run` is one transaction as far as its caller can tell.

    What only reads has a connection and a thread of its own: no notification waits for it.
    """

    def __init__(self, writer: sqlite3.Connection, thread: ThreadPoolExecutor, path: Path) -> None:
        self._db = writer
        self._thread = thread
        self._reader = sqlite3.connect(
            path, isolation_level=None, timeout=_LOCK_WAIT, check_same_thread=False
        )
        self._reader.row_factory = sqlite3.Row
        self._reading = ThreadPoolExecutor(1, "reader")
        self._waiting: list[tuple[_Work, asyncio.Future[Any]]] = []
        self._writing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path) -> Database:
        """Open or create the file; raise StoreError when that is impossible."""
        thread = ThreadPoolExecutor(1, "store")
        try:
            loop = asyncio.get_running_loop()
            connection = await loop.run_in_executor(thread, connect, path)
        except sqlite3.Error as error:
            thread.shutdown(wait=False)
            raise StoreError(f"cannot use {path}: {error}") from error
        return cls(connection, thread, path)

    async def close(self) -> None:
        """Finish what is being written and close the file."""
        if self._writing:
            await asyncio.wait([self._writing])
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._reading, self._reader.close)
        await loop.run_in_executor(self._thread, self._db.close)
        self._reading.shutdown()
        self._thread.shutdown()

    async def read(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Read what has been written up to now, consistently; raise StoreError."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._reading, _snapshot, self._reader, work)
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error

    async def run(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Do the work in a transaction; when this returns, it is on the disk.

        Raises StoreError, or what the work raises; then nothing of it has happened.
        """
        future: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return await future

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            works = [work for work, _ in batch]
            outcomes = await loop.run_in_executor(self._thread, _transaction, self._db, works)
            for (_, future), (result, error) in zip(batch, outcomes, strict=True):
                if future.cancelled():
                    continue
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)
        self._writing = None


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, with its tables."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=_LOCK_WAIT)
    try:
        connection.row_factory = sqlite3.Row
        connection.executescript(SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _snapshot(db: sqlite3.Connection, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
    db.execute("BEGIN")
    try:
        return work(db)
    finally:
        db.execute("ROLLBACK")


def _transaction(db: sqlite3.Connection, works: list[_Work]) -> list[tuple[Any, Exception | None]]:
    """Do all the works in one transaction; return the result or the error of each."""
    outcomes: list[tuple[Any, Exception | None]] = []
    try:
        db.execute("BEGIN IMMEDIATE")
        for work in works:
            outcomes.append(_savepoint(db, work))
        db.execute("COMMIT")
    except sqlite3.Error as error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        return [(None, StoreError(str(error)))] * len(works)
    return outcomes


def _savepoint(db: sqlite3.Connection, work: _Work) -> tuple[Any, Exception | None]:
    db.execute("SAVEPOINT work")
    try:
        result = work(db)
    except sqlite3.Error:
        raise  # the whole transaction is in doubt
    except Exception as error:
        db.execute("ROLLBACK TO work")
        db.execute("RELEASE work")
        return None, error
    db.execute("RELEASE work")
    return result, None
