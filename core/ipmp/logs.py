"""Logging of every program of ours: one line an event on standard error, as logfmt or JSON.

Where standard error is the systemd journal, an event becomes an entry with fields instead.

The first keys of a line are those of the Prometheus world: ts, level, msg. Events below the level
cost next to nothing, because moves of thousands of addresses are told at debug level. What
libraries log comes out in the same form, from warnings up: below that they speak of themselves. A
log that cannot be written (a full disk) is lost and stops nobody.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from ipmp import journald

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
FORMATS = ("logfmt", "json")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add `--log.level` and `--log.format`; their values are what `configure` takes."""
    parser.add_argument(
        "--log.level",
        dest="log_level",
        choices=tuple(LEVELS),
        default="info",
        help="least severe messages to log (default %(default)s)",
    )
    parser.add_argument(
        "--log.format",
        dest="log_format",
        choices=FORMATS,
        default="logfmt",
        help="format of the log on stderr (default %(default)s)",
    )


def configure(level: str, form: str) -> None:
    """Send our own events, and those of libraries, to standard error, or to the journal."""
    threshold = LEVELS[level]
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("msg"),
        _printable,
    ]
    renderer: Processor = structlog.processors.JSONRenderer()
    if form == "logfmt":
        renderer = structlog.processors.LogfmtRenderer(
            key_order=["ts", "level", "msg"], bool_as_flag=False
        )
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if journald.is_stderr():
        handler, renderer = journald.Handler(), _entry
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(level=max(logging.WARNING, threshold), handlers=[handler], force=True)
    ours = logging.getLogger("ipmp")
    ours.setLevel(threshold)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_names: ours,
    )


def _entry(_logger: WrappedLogger, _method: str, event: EventDict) -> Any:
    """Render for the journal; as text, because that is what handlers of the library pass on."""
    datagram = journald.entry(dict(event), Path(sys.argv[0]).name)
    return datagram.decode(errors="surrogateescape")


def _printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop empty fields; escape control characters, so that no label can forge a log line."""
    return {
        key: _escape(value) if isinstance(value, str) else value
        for key, value in event.items()
        if value != ""
    }


def _escape(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
