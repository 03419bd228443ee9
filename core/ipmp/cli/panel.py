"""What `ipmp watch` shows: a view and the size of a screen become lines. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from ipmp.cli.cells import Line, Span, clip, line, padded, printable, width
from ipmp.cli.feed import Lost
from ipmp.cli.fitting import Part, allotted, cut
from ipmp.cli.status import COLOURS, notes, why
from ipmp.decision import IN_BULK
from ipmp.model import (
    AddressStatus,
    Event,
    Fight,
    GroupState,
    GroupStatus,
    InterfaceState,
    InterfaceStatus,
    Status,
)

KEPT = 200  # entries; no screen shows more
EVENT_LINES = 3  # at most, of one event
TITLE = "\033[1m"
ALARM = "\033[7m"
HEADERS = ("INTERFACE", "STATE", "LINK", "PROBE", "WHY")


class Entry(NamedTuple):
    """An event, and how many like it came in a row: each address of a failover has one."""

    event: Event
    times: int = 1


class View(NamedTuple):
    """All that the screen is made from."""

    status: Status
    entries: tuple[Entry, ...] = ()  # newest last
    only: str | None = None  # the group that is watched
    lost: Lost | None = None


def noted(view: View, events: Iterable[Event]) -> View:
    """Return the view with what has happened."""
    entries = list(view.entries)
    for event in events:
        if view.only and event.decision.group not in ("", view.only):
            continue
        if entries and _alike(entries[-1].event, event):
            entries[-1] = Entry(entries[-1].event, entries[-1].times + 1)
        else:
            entries.append(Entry(event))
    return view._replace(entries=tuple(entries[-KEPT:]))


def render(view: View, columns: int, rows: int) -> list[Line]:
    """Return at most `rows` lines, of at most `columns`."""
    head = list(_head(view))
    groups = [g for g in view.status.groups if view.only in (None, g.name)]
    room = max(rows - len(head), 0)
    wanted = len(view.entries) and 1 + min(len(view.entries), max(rows // 3, 3))
    body = _body(view.status, groups, columns, max(room - wanted, min(room, 3)))
    tail = _tail(view, columns, room - len(body))
    return [clip(each, columns) for each in [*head, *body, *tail][:rows]]


# The top: what is watched, and all that is unusual about it.


def _head(view: View) -> Iterator[Line]:
    status, daemon = view.status, view.status.daemon
    began = datetime.fromtimestamp(daemon.started)
    yield line(
        f"{status.host}: mpathd {daemon.version}, pid {daemon.pid}, "
        f"since {began:%Y-%m-%d %H:%M:%S}  (q ends)",
        TITLE,
    )
    if view.lost is not None:
        since = datetime.fromtimestamp(view.lost.since)
        yield line(f"NO ANSWER since {since:%H:%M:%S}, this is old: {view.lost.sentence}", ALARM)
    else:
        yield line(f"Under way: {', '.join(_under_way(view)) or 'nothing'}")
    for note in notes(status):
        yield line(note, COLOURS["degraded"])
    if view.only and status.group(view.only) is None:
        yield line(f"Group {view.only} is not there any more", COLOURS["failed"])


def _under_way(view: View) -> Iterator[str]:
    for operation, requests in view.status.daemon.operations_under_way.items():
        if requests:
            yield f"{operation} ({_counted(requests, 'request')})"
    for group in view.status.groups:
        if group.moves_under_way and view.only in (None, group.name):
            yield f"{_counted(group.moves_under_way, 'move')} in {group.name}"


# The middle: groups with their interfaces and addresses.


def _body(status: Status, groups: Sequence[GroupStatus], columns: int, room: int) -> list[Line]:
    """Everything if there is room for it, reasons in full; else what is urgent."""
    if not groups or room <= 0:
        return []
    shown = _parts(status, groups, columns)
    lengths = [[len(parts[rank].items) for parts in shown] for rank in range(3)]
    if 1 + len(groups) + sum(map(sum, lengths)) > room:
        return _cramped(status, groups, columns, room)
    whole = _joined(status, groups, shown, lengths)
    roomy = _joined(status, groups, _parts(status, groups, columns, in_full=True), lengths)
    return roomy if len(roomy) <= room else whole


def _cramped(status: Status, groups: Sequence[GroupStatus], columns: int, room: int) -> list[Line]:
    rest = room - 1  # the header
    titles = Part(
        groups,
        lambda chosen: [_title(status, group) for group in chosen],
        lambda group: group.state is not GroupState.OK,
        lambda group: str(group.state),
        "",
    )
    if len(groups) > rest:
        return cut(titles, room)
    shown = _parts(status, groups, columns)
    lengths = [[len(parts[rank].items) for parts in shown] for rank in range(3)]
    return _joined(status, groups, shown, allotted(lengths, rest - len(groups)))


def _joined(
    status: Status,
    groups: Sequence[GroupStatus],
    shown: Sequence[Sequence[Part]],
    given: Sequence[Sequence[int]],
) -> list[Line]:
    """The groups one after the other, each list in as many rows as it was given."""
    lines = [_columns(HEADERS, _widths(status))]
    for number, (group, parts) in enumerate(zip(groups, shown, strict=True)):
        lines.append(_title(status, group))
        for rank, part in enumerate(parts):
            lines += cut(part, given[rank][number])
    return lines


def _parts(
    status: Status, groups: Sequence[GroupStatus], columns: int, *, in_full: bool = False
) -> list[tuple[Part, Part, Part]]:
    """The lists of each group, the most important first."""
    widths = _widths(status)

    def interfaces(chosen: Sequence[InterfaceStatus]) -> list[Line]:
        room = columns if in_full else 0
        return [row for each in chosen for row in _interface(each, widths, room)]

    return [
        (
            Part(
                [i for i in status.interfaces if i.group == group.name],
                interfaces,
                lambda i: i.state is not InterfaceState.OK or i.hold is not None,
                lambda i: str(i.state),
                "  ",
            ),
            Part(group.fights, _fights, lambda _: False, lambda _: "fighting", "  "),
            Part(
                [a for a in status.addresses if a.group == group.name],
                _addresses,
                lambda a: a.interface is None or _is_away(a),
                lambda a: f"on {a.interface or 'no interface'}",
                "    ",
            ),
        )
        for group in groups
    ]


def _title(status: Status, group: GroupStatus) -> Line:
    count = sum(address.group == group.name for address in status.addresses)
    return (
        Span(f"{group.name}: "),
        Span(group.state, COLOURS.get(group.state, "")),
        Span(f", {group.usable} of {len(group.interfaces)} usable, "),
        Span(f"{count} address{'' if count == 1 else 'es'}"),
    )


def _interface(interface: InterfaceStatus, widths: Sequence[int], room: int) -> Iterator[Line]:
    """One line; with room given as many as the reason needs."""
    cells = _cells(interface)
    column = 2 + sum(each + 2 for each in widths)
    reason = printable(why(interface))
    pieces = textwrap.wrap(reason, room - column) if room > column + 20 else []
    first, *more = pieces or [reason]
    yield _columns((*cells, first), widths, COLOURS.get(interface.state, ""))
    for piece in more:
        yield line(" " * column + piece)


def _addresses(chosen: Sequence[AddressStatus]) -> list[Line]:
    longest = max((width(address.address) for address in chosen), default=0)
    return [_address(address, longest) for address in chosen]


def _address(address: AddressStatus, longest: int) -> Line:
    where = f"on {address.interface}" if address.interface else "on no interface"
    home = f", home {address.home}" if address.home else ""
    state = "failed" if not address.interface else "degraded" if _is_away(address) else ""
    return (
        Span(f"    {padded(address.address, longest)}  "),
        Span(where, COLOURS.get(state, "")),
        Span(home),
    )


def _fights(chosen: Sequence[Fight]) -> list[Line]:
    return [line(f"  fighting: {fight.sentence}", COLOURS["failed"]) for fight in chosen]


def _is_away(address: AddressStatus) -> bool:
    return address.home not in (None, address.interface)


def _cells(interface: InterfaceStatus) -> tuple[str, ...]:
    return interface.name, interface.state, interface.link, interface.probe


def _widths(status: Status) -> list[int]:
    rows = [HEADERS[:-1], *map(_cells, status.interfaces)]
    return [max(width(row[index]) for row in rows) for index in range(len(HEADERS) - 1)]


def _columns(cells: Sequence[str], widths: Sequence[int], colour: str = "") -> Line:
    """A line of the table; the second column is the state."""
    name, state, *others = (padded(c, w) for c, w in zip(cells[:-1], widths, strict=True))
    return Span(f"  {name}  "), Span(state, colour), Span("  ".join(("", *others, cells[-1])))


# The bottom: what has happened.


def _tail(view: View, columns: int, room: int) -> list[Line]:
    """As many events as there is room for, the newest last; a long one in several lines."""
    if room < 2 or not view.entries:
        return []
    lines: list[Line] = []
    for entry in reversed(view.entries):
        block = _entry(entry, view.status.time, columns)
        left = room - 1 - len(lines)
        if lines and len(block) > left:
            break
        lines = block[:left] + lines
    return [line("Last events (before: ipmp history)", TITLE), *lines]


def _entry(entry: Entry, now: float, columns: int) -> list[Line]:
    moment, today = datetime.fromtimestamp(entry.event.time), datetime.fromtimestamp(now)
    shown = f"{moment:%H:%M:%S}" if moment.date() == today.date() else f"{moment:%m-%d %H:%M}"
    more = f" (and {entry.times - 1} more like it)" if entry.times > 1 else ""
    text = printable(entry.event.sentence) + more
    indent = " " * (len(shown) + 2)
    pieces = textwrap.wrap(
        f"{shown}  {text}",
        max(columns, len(indent) + 20),
        subsequent_indent=indent,
        max_lines=EVENT_LINES,
        placeholder=" ...",
        break_long_words=False,
        drop_whitespace=True,
    )
    return [line(piece) for piece in pieces]


def _alike(one: Event, other: Event) -> bool:
    ends = ("source", "target")
    a, b = one.decision, other.decision
    return a.kind in IN_BULK and all(
        (
            (a.kind, a.reason, a.group) == (b.kind, b.reason, b.group),
            [a.detail.get(end) for end in ends] == [b.detail.get(end) for end in ends],
        )
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
