"""Lists that share the rows of a screen: what does not fit is cut, and how much is said. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ipmp.cli.cells import Line, line


class Part(NamedTuple):
    """A list of one kind. Its functions are only asked about as much as is shown or counted."""

    items: Sequence[Any]
    table: Callable[[Sequence[Any]], list[Line]]  # a line for each
    urgent: Callable[[Any], bool]  # whether it is shown rather than others
    tally: Callable[[Any], str]  # under which word it is counted when it is cut
    indent: str


def shares(lengths: Sequence[int], room: int) -> list[int]:
    """Divide the room: the same for each, as far as it needs it."""
    given = [0] * len(lengths)
    while room > 0:
        wanting = [i for i, length in enumerate(lengths) if given[i] < length][:room]
        if not wanting:
            break
        for index in wanting:
            given[index] += 1
        room -= len(wanting)
    return given


def allotted(ranks: Sequence[Sequence[int]], room: int) -> list[list[int]]:
    """Divide the room among lists, given by their lengths, those of an earlier rank before others.

    Each list gets a row first, as far as there are any, to say at least how long it is.
    """
    first = shares([min(length, 1) for rank in ranks for length in rank], room)
    room -= sum(first)
    given = []
    for rank in ranks:
        own, first = first[: len(rank)], first[len(rank) :]
        more = shares([n - got for n, got in zip(rank, own, strict=True)], room)
        room -= sum(more)
        given.append([got + extra for got, extra in zip(own, more, strict=True)])
    return given


def cut(part: Part, rows: int) -> list[Line]:
    """Return a list in so many rows; what is urgent stays, in its place."""
    if len(part.items) <= rows:
        return part.table(part.items)
    if rows == 0:
        return []
    urgent = [i for i, item in enumerate(part.items) if part.urgent(item)][: rows - 1]
    chosen = set(urgent)
    for index in range(len(part.items)):
        if len(chosen) >= rows - 1:
            break
        chosen.add(index)
    shown = [part.items[index] for index in sorted(chosen)]
    rest = (item for index, item in enumerate(part.items) if index not in chosen)
    counted = Counter(map(part.tally, rest))
    told = ", ".join(f"{count} {word}" for word, count in counted.most_common() if word)
    more = f"{part.indent}... {counted.total()} more{': ' + told if told else ''}"
    return [*part.table(shown), line(more)]
