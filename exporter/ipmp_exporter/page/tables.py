"""What the page shows in its `<main>`: a summary, notices, and one table a subject."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple

from ipmp.model import (
    AddressStatus,
    DaemonStatus,
    Event,
    GroupState,
    GroupStatus,
    InterfaceStatus,
    ProbeStatus,
    Status,
)
from ipmp_exporter.daemon import Reading
from ipmp_exporter.events import Recent

MAX_ADDRESSES = 200  # rows that a browser shows at once; those away from home come first
CARRIED = 4  # addresses that are named in the row of the interface that carries them


class _State(str):
    """A cell whose text is a state, shown in the state's colour."""


class _Away(str):
    """A cell that names another interface than the address belongs to."""


class _Row(NamedTuple):
    """Cells, what identifies the row, and what of it a reader wants to see change."""

    cells: tuple[str, ...]
    key: str = ""
    state: str = ""


def title(status: Status | None) -> str:
    """Return the title of the window: what is wrong comes first."""
    if status is None:
        return "IPMP: no state"
    worst = _worst(status)
    name = f"IPMP on {status.host}"
    return name if worst is GroupState.OK else f"{worst.upper()}: {name}"


def main_part(reading: Reading, recent: Recent) -> str:
    """Return the part of the page that changes with the state."""
    status = reading.status
    return _notice(reading.error) if status is None else "".join(_sections(status, recent))


def _sections(status: Status, recent: Recent) -> Iterator[str]:
    yield _summary(status)
    yield from map(_notice, _daemon_notices(status.daemon))
    yield from (_notice(fight.sentence) for group in status.groups for fight in group.fights)
    if status.groups:
        yield _table("Groups", _GROUP_COLUMNS, map(_group_row, status.groups))
        interfaces = (_interface_row(i, status) for i in status.interfaces)
        yield _table("Interfaces", _INTERFACE_COLUMNS, interfaces)
        yield _addresses(status)
        targets = [row for i in status.interfaces for p in i.probes for row in _target_rows(i, p)]
        if targets:
            yield _table("Probe targets", _TARGET_COLUMNS, targets)
    if recent.error:
        yield _notice(f"The last events cannot be shown: {recent.error}")
    elif recent.events:
        yield _table("Last events", _EVENT_COLUMNS, map(_event_row, reversed(recent.events)))


def _worst(status: Status) -> GroupState:
    states = {group.state for group in status.groups}
    order = (GroupState.FAILED, GroupState.DEGRADED)
    return next((state for state in order if state in states), GroupState.OK)


def _summary(status: Status) -> str:
    if not status.groups:
        sentence = "No group is configured."
    else:
        states = Counter(group.state for group in status.groups)
        told = ", ".join(f"{states[state]} {state}" for state in GroupState if states[state])
        groups = "1 group" if len(status.groups) == 1 else f"{len(status.groups)} groups"
        away = sum(map(_is_away, status.addresses))
        sentence = f"{groups}: {told}. " + (
            f"{away} of {len(status.addresses)} addresses are away from home."
            if away
            else "Every address is where it belongs."
        )
    return (
        f'<p class="summary {_worst(status)}" data-title="{escape(title(status))}">'
        f"{escape(sentence)}</p>\n"
    )


def _daemon_notices(daemon: DaemonStatus) -> Iterable[str]:
    if not daemon.config_last_reload_successful:
        yield f"The last configuration was not accepted: {daemon.config_error}"
    if daemon.paused is not None:
        yield (
            f"Remediation is paused since {when(daemon.paused.since)} "
            f"by {daemon.paused.actor}: {daemon.paused.reason}"
        )


_GROUP_COLUMNS = (
    *("Group", "State", "Usable", "Kept usable", "Failback", "Outbound", "Detection"),
    *("Last failover", "Since"),
)


def _group_row(group: GroupStatus) -> _Row:
    detection = group.failure_detection_time
    cells = (
        group.name,
        _State(group.state),
        f"{group.usable} of {len(group.interfaces)}",
        f"at least {group.min_usable}",
        "yes" if group.failback else "no",
        group.outbound,
        "link only" if detection is None else f"{detection:g} s",
        when(group.last_failover),
        when(group.since),
    )
    return _Row(cells, f"group {group.name}", f"{group.state} {group.usable}")


_INTERFACE_COLUMNS = (
    *("Interface", "Group", "State", "Link", "Probes", "Role", "Carries", "Since", "Why"),
)


def _interface_row(interface: InterfaceStatus, status: Status) -> _Row:
    carried = [a.address for a in status.addresses if a.interface == interface.name]
    cells = (
        interface.name,
        interface.group,
        _State(interface.state),
        interface.link,
        interface.probe,
        _role(interface),
        _few(carried),
        when(interface.since),
        interface.reason,
    )
    return _Row(cells, f"interface {interface.name}", interface.state)


def _role(interface: InterfaceStatus) -> str:
    words = ["active" if interface.active else "not active"]
    if interface.standby:
        words.append("standby")
    if interface.outbound:
        words.append("sends")
    if interface.hold is not None:
        words.append(f"held by {interface.hold.actor}: {interface.hold.reason}")
    return ", ".join(words)


def _few(names: Sequence[str]) -> str:
    more = len(names) - CARRIED
    return ", ".join(names[:CARRIED]) + (f" and {more} more" if more > 0 else "")


_ADDRESS_COLUMNS = ("Address", "Group", "Interface", "Home", "Moves", "Last move", "Why")


def _addresses(status: Status) -> str:
    """Return the table of addresses; of many, those that are not at home and the first others."""
    shown = sorted(status.addresses, key=_is_away, reverse=True)[:MAX_ADDRESSES]
    table = _table("Addresses", _ADDRESS_COLUMNS, map(_address_row, shown))
    more = len(status.addresses) - len(shown)
    if not more:
        return table
    return f'{table}<p class="more">and {more} more, see <code>ipmpstat -a</code></p>\n'


def _is_away(address: AddressStatus) -> bool:
    return address.interface is None or address.home not in (None, address.interface)


def _address_row(address: AddressStatus) -> _Row:
    where = address.interface or "nowhere"
    cells = (
        address.address,
        address.group,
        _Away(where) if _is_away(address) else where,
        address.home or "any",
        str(address.moves),
        when(address.last_move),
        address.reason,
    )
    return _Row(cells, f"address {address.address}", where)


_TARGET_COLUMNS = ("Target", "Interface", "Group", "RTT", "Mean deviation", "From", "Answered")


def _target_rows(interface: InterfaceStatus, probes: ProbeStatus) -> Iterator[_Row]:
    """Yield a row a target; the counters are those of the interface and family."""
    for target in probes.targets:
        yield _Row(
            (
                target.address,
                interface.name,
                interface.group,
                _milliseconds(target.rtt_average),
                _milliseconds(target.rtt_deviation),
                f"{probes.test_address or 'no address'} ({probes.mode})",
                f"{probes.acked} of {probes.sent} on {interface.name}, {probes.lost} lost",
            )
        )


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3f} ms" if seconds else ""


_EVENT_COLUMNS = ("When", "What", "Reason", "Group", "Interface")


def _event_row(event: Event) -> _Row:
    decision = event.decision
    cells = (when(event.time), event.sentence, decision.reason, decision.group, decision.interface)
    return _Row(cells)


def _table(caption: str, columns: Sequence[str], rows: Iterable[_Row]) -> str:
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join(_row(columns, row) for row in rows)
    return (
        f"<table>\n<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}</tbody>\n</table>\n"
    )


def _row(columns: Sequence[str], row: _Row) -> str:
    rest = zip(columns[1:], row.cells[1:], strict=True)
    data = "".join(f'<td data-label="{column}">{_cell(cell)}</td>' for column, cell in rest)
    marks = f' data-key="{escape(row.key)}" data-state="{escape(row.state)}"' if row.key else ""
    return f'<tr{marks}><th scope="row">{escape(row.cells[0])}</th>{data}</tr>\n'


def _cell(text: str) -> str:
    if isinstance(text, _State):
        return f'<span class="{escape(text)}">{escape(text)}</span>'
    if isinstance(text, _Away):
        return f'<span class="away">{escape(text)}</span>'
    # One element, so that a card on a phone has two columns: the label and this.
    return f"<span>{escape(text or '-')}</span>"


def _notice(sentence: str) -> str:
    return f'<p class="notice">{escape(sentence)}</p>\n'


def when(timestamp: float) -> str:
    """Return a moment as people read it, or nothing for never."""
    if not timestamp:
        return ""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
