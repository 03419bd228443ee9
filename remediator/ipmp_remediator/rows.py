"""Structs to rows and back: the columns of a table are the fields of its struct, in order."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from ipmp_remediator.decision import Decision

Row = TypeVar("Row", bound=msgspec.Struct)


def select(
    db: sqlite3.Connection,
    kind: type[Row],
    query: str,
    values: tuple[object, ...] | Mapping[str, object] = (),
) -> tuple[Row, ...]:
    """Return the rows of a query as structs; converted together, which is many times faster."""
    cursor = db.execute(query, values)
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor]
    return msgspec.convert(rows, tuple[kind, ...], strict=False)  # type: ignore[valid-type]


def put(db: sqlite3.Connection, table: str, value: msgspec.Struct) -> None:
    """Insert a struct, in place of a row with the same key."""
    fields = msgspec.structs.asdict(value)
    columns = ", ".join(f'"{name}"' for name in fields)
    marks = ", ".join(f":{name}" for name in fields)
    # The table and the columns are names of this program.
    db.execute(f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({marks})", fields)  # noqa: S608


def record(db: sqlite3.Connection, decision: Decision, now: float) -> None:
    """Add a decision to the audit table."""
    db.execute(
        'INSERT INTO decisions (time, "group", interface, decision) VALUES (?, ?, ?, ?)',
        (now, decision.group, decision.interface, msgspec.json.encode(decision).decode()),
    )
