"""The page at `/`: groups, interfaces and addresses as tables that people read.

Plain HTML without scripts or anything from elsewhere, light or dark as the reader's system is; on a
phone each row becomes a card. Every value is escaped; the policy forbids all but the one style.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from ipmp.model import AddressStatus, DaemonStatus, GroupStatus, InterfaceStatus, Status
from ipmp_exporter.daemon import Reading

_STYLE = """
:root { color-scheme: light dark; --line: #c8ccd0; --quiet: #5b6570; --link: #0b57a4;
  --good: #17692f; --warn: #8a5200; --bad: #b3201b; }
@media (prefers-color-scheme: dark) {
  :root { --line: #444b53; --quiet: #a0a9b2; --link: #85bdf7;
    --good: #6fd08c; --warn: #f0b45a; --bad: #ff8a80; }
}
body { font: 1rem/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 80rem;
  overflow-wrap: break-word; padding: 0 1rem; }
main { overflow-x: auto; }
a { color: var(--link); }
table { border-collapse: collapse; margin: 1.5rem 0; width: 100%; }
caption { font-size: 1.2rem; font-weight: 600; padding: .3rem 0; text-align: left; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .8rem; padding-left: 0;
  text-align: left; vertical-align: top; }
[data-label="Role"], [data-label="Why"] { overflow-wrap: anywhere; }
thead th, footer { color: var(--quiet); font-size: .875rem; font-weight: 500; }
.ok, .degraded, .failed, .offline, .unknown { font-weight: 600; }
.ok { color: var(--good); }
.degraded, .offline, .unknown { color: var(--warn); }
.failed, .notice { color: var(--bad); }
@media (max-width: 48rem) {
  thead { display: none; }
  table, caption, tbody, tr, th, td { display: block; }
  tr { border-bottom: 1px solid var(--line); padding: .6rem 0; }
  th, td { border: 0; overflow-wrap: anywhere; padding: .1rem 0; }
  td { display: flex; gap: .8rem; }
  td::before { color: var(--quiet); content: attr(data-label); flex: 0 0 7rem; }
}
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


class _State(str):
    """A cell whose text is a state, shown in the state's colour."""


def page(reading: Reading, version: str, telemetry_path: str) -> str:
    """Return the whole page for one reading of the daemon."""
    status = reading.status
    title = "IPMP" if status is None else f"IPMP on {status.host}"
    body = _notice(reading.error) if status is None else "".join(_sections(status))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(title)}</h1>\n"
        f'<nav><a href="{escape(telemetry_path)}">Metrics</a></nav></header>\n'
        f"<main>\n{body}</main>\n"
        f"<footer>ipmp_exporter {escape(version)}{_daemon(status)}</footer>\n</body>\n</html>\n"
    )


def _sections(status: Status) -> Iterable[str]:
    yield from _daemon_notices(status.daemon)
    if not status.groups:
        yield "<p>No group is configured.</p>\n"
        return
    yield _table("Groups", _GROUP_COLUMNS, map(_group_row, status.groups))
    yield _table("Interfaces", _INTERFACE_COLUMNS, map(_interface_row, status.interfaces))
    yield _table("Addresses", _ADDRESS_COLUMNS, map(_address_row, status.addresses))


def _daemon_notices(daemon: DaemonStatus) -> Iterable[str]:
    if not daemon.config_last_reload_successful:
        yield _notice(f"The last configuration was not accepted: {daemon.config_error}")
    if daemon.paused is not None:
        yield _notice(
            f"Remediation is paused since {_when(daemon.paused.since)} "
            f"by {daemon.paused.actor}: {daemon.paused.reason}"
        )


_GROUP_COLUMNS = ("Group", "State", "Usable", "Kept usable", "Failback", "Last failover", "Since")


def _group_row(group: GroupStatus) -> tuple[str, ...]:
    return (
        group.name,
        _State(group.state),
        f"{group.usable} of {len(group.interfaces)}",
        f"at least {group.min_usable}",
        "yes" if group.failback else "no",
        _when(group.last_failover),
        _when(group.since),
    )


_INTERFACE_COLUMNS = ("Interface", "Group", "State", "Link", "Probes", "Role", "Since", "Why")


def _interface_row(interface: InterfaceStatus) -> tuple[str, ...]:
    return (
        interface.name,
        interface.group,
        _State(interface.state),
        interface.link,
        interface.probe,
        _role(interface),
        _when(interface.since),
        interface.reason,
    )


def _role(interface: InterfaceStatus) -> str:
    words = ["active" if interface.active else "not active"]
    if interface.standby:
        words.append("standby")
    if interface.hold is not None:
        words.append(f"held by {interface.hold.actor}: {interface.hold.reason}")
    return ", ".join(words)


_ADDRESS_COLUMNS = ("Address", "Group", "Interface", "Home", "Moves", "Last move", "Why")


def _address_row(address: AddressStatus) -> tuple[str, ...]:
    return (
        address.address,
        address.group,
        address.interface or "nowhere",
        address.home or "any",
        str(address.moves),
        _when(address.last_move),
        address.reason,
    )


def _table(caption: str, columns: Sequence[str], rows: Iterable[tuple[str, ...]]) -> str:
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join(_row(columns, row) for row in rows)
    return (
        f"<table>\n<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}</tbody>\n</table>\n"
    )


def _row(columns: Sequence[str], cells: tuple[str, ...]) -> str:
    rest = zip(columns[1:], cells[1:], strict=True)
    data = "".join(f'<td data-label="{column}">{_cell(cell)}</td>' for column, cell in rest)
    return f'<tr><th scope="row">{escape(cells[0])}</th>{data}</tr>\n'


def _cell(text: str) -> str:
    if isinstance(text, _State):
        return f'<span class="{escape(text)}">{escape(text)}</span>'
    # One element, so that a card on a phone has two columns: the label and this.
    return f"<span>{escape(text or '-')}</span>"


def _notice(sentence: str) -> str:
    return f'<p class="notice">{escape(sentence)}</p>\n'


def _when(timestamp: float) -> str:
    if not timestamp:
        return ""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _daemon(status: Status | None) -> str:
    if status is None:
        return ""
    read = _when(status.time)
    return f", mpathd {escape(status.daemon.version)}, state of {escape(read)}"
