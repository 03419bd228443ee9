"""The page at `/`: groups, interfaces, addresses, targets and events as tables that people read.

One HTML document with one style and one script, nothing from elsewhere; light or dark as the
reader's system is; on a phone each row becomes a card. Every value is escaped, and the policy
forbids all but that style, that script and its stream. Without JavaScript the page reloads itself.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path

from ipmp_exporter.daemon import Reading
from ipmp_exporter.events import NO_EVENTS, Recent
from ipmp_exporter.page.tables import main_part, title, when

RELOAD_SECONDS = 10  # for readers without JavaScript

_STYLE, _SCRIPT = (
    Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("style.css", "live.js")
)


def _source(text: str) -> str:
    """Return what the policy calls an inline style or script: its hash (CSP level 2)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {_source(_STYLE)}; script-src {_source(_SCRIPT)}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}

__all__ = ["HEADERS", "main_part", "page"]


def page(reading: Reading, version: str, telemetry_path: str, recent: Recent = NO_EVENTS) -> str:
    """Return the whole page for one reading of the daemon."""
    status = reading.status
    heading = "IPMP" if status is None else f"IPMP on {status.host}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<noscript><meta http-equiv="refresh" content="{RELOAD_SECONDS}"></noscript>\n'
        f"<title>{escape(title(status))}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(heading)}</h1>\n"
        f'<nav><a href="{escape(telemetry_path)}">Metrics</a></nav>\n'
        f'<span id="live" role="status">Reloads every {RELOAD_SECONDS} s</span></header>\n'
        f"<main>\n{main_part(reading, recent)}</main>\n"
        f"<footer>ipmp_exporter {escape(version)}{_daemon(reading)}</footer>\n"
        f"<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _daemon(reading: Reading) -> str:
    if reading.status is None:
        return ""
    started = when(reading.status.daemon.started)
    return f", mpathd {escape(reading.status.daemon.version)}, running since {escape(started)}"
