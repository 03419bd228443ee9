"""Solaris' formatted output (ofmt): columns, headers, the field list of `-o`, parsable rows.

Pure: rows in, text out. The rules are those of reference ipmp-semantics sections 4.2 and 4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

Row = TypeVar("Row")
Json = str | bool | float | list[str] | dict[str, list[str]] | None

UNDEFINED = "--"  # how an empty value reads in human format
MAX_COLUMNS = 80  # columns are shown by default while their widths add up to no more


class Column(NamedTuple, Generic[Row]):
    """One field: NAME, width with the separating blank, and how to get it from a row."""

    name: str
    width: int
    text: Callable[[Row], str]
    data: Callable[[Row], Json] | None = None  # for JSON, where the text is not the value


class FieldError(Exception):
    """A field list that cannot be used at all."""


class Selection(NamedTuple, Generic[Row]):
    """The columns to show, and the warning that Solaris prints about fields it ignores."""

    columns: tuple[Column[Row], ...]
    warning: str = ""


def select(
    fields: str | None, template: Sequence[Column[Row]], *, parsable: bool = False
) -> Selection[Row]:
    """Choose columns by a field list as given to -o; None takes what fits in 80 characters."""
    if parsable and not fields:
        raise FieldError("output fields must be specified in parsable mode")
    if parsable and fields == "all":
        raise FieldError("output field `all' invalid in parsable mode")
    if fields is None:
        return Selection(_fitting(template))
    if fields == "all":
        return Selection(tuple(template))
    return _named(fields, template, parsable=parsable)


def _fitting(template: Sequence[Column[Row]]) -> tuple[Column[Row], ...]:
    width = 0
    for count, column in enumerate(template):
        width += column.width
        if width > MAX_COLUMNS:
            return tuple(template[:count])
    return tuple(template)


def _named(fields: str, template: Sequence[Column[Row]], *, parsable: bool) -> Selection[Row]:
    names = fields.split(",") if fields else []
    if not names or len(names) > len(template):  # Solaris answers both with an ENOMEM error
        raise FieldError(f"between 1 and {len(template)} output fields can be given")
    known = {column.name.lower(): column for column in template}
    bad = [name for name in names if name.lower() not in known]
    if len(bad) == len(names):
        raise FieldError("no valid output fields")
    complaint = f"unknown output field{'s' if len(bad) > 1 else ''}:" + "".join(
        f" `{name}'" for name in bad
    )
    if bad and parsable:
        raise FieldError(complaint)
    columns = tuple(known[name.lower()] for name in names if name.lower() in known)
    return Selection(columns, f"ignoring {complaint}" if bad else "")


def human(columns: Sequence[Column[Row]], rows: Iterable[Row], height: int) -> Iterator[str]:
    """Yield lines for people: a header before the first row and once in each screenful."""
    header = line([column.name for column in columns], columns)
    for number, row in enumerate(rows):
        if number % max(height - 1, 1) == 0:
            yield header
        yield line([column.text(row) for column in columns], columns)


def line(values: Sequence[str], columns: Sequence[Column[Row]]) -> str:
    """Lay out one line; after a value that is too long the following columns give up blanks."""
    parts: list[str] = []
    overflow = 0  # characters that the line is ahead of its columns
    for value, column in zip(values[:-1], columns, strict=False):
        shown = value or UNDEFINED
        room = column.width - overflow
        padded = shown.ljust(room) if len(shown) < room else shown + " "
        overflow += len(padded) - column.width
        parts.append(padded)
    parts.append(values[-1] or UNDEFINED)
    return "".join(parts)


def parsable(columns: Sequence[Column[Row]], rows: Iterable[Row]) -> Iterator[str]:
    """Yield lines for programs: fields separated by colons, escaped unless there is only one."""
    for row in rows:
        values = [column.text(row) for column in columns]
        if len(values) == 1:
            yield values[0]
        else:
            yield ":".join(v.replace("\\", "\\\\").replace(":", "\\:") for v in values)


def objects(columns: Sequence[Column[Row]], rows: Iterable[Row]) -> list[dict[str, Json]]:
    """Return the rows as JSON objects; an empty field is null, names are in lower case."""
    return [
        {
            column.name.lower(): column.data(row) if column.data else column.text(row) or None
            for column in columns
        }
        for row in rows
    ]
