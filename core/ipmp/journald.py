"""The systemd journal as a place for logs: each key of an event is a field of its own.

`journalctl IPMP_INTERFACE=ni0` then finds what happened to an interface. Native journal protocol
(systemd's JOURNAL_NATIVE_PROTOCOL): one datagram an entry. A journal that is busy or away loses
lines; it never stops a daemon that moves addresses.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import struct
import sys
from typing import Any

SOCKET = "/run/systemd/journal/socket"
PREFIX = "IPMP_"
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}  # syslog(3)

#: What the journal knows by another name, or notes by itself.
_KNOWN = {"msg": "MESSAGE", "level": "PRIORITY", "ts": ""}


def is_stderr() -> bool:
    """Say whether standard error is a stream to the journal (sd-journal: $JOURNAL_STREAM)."""
    try:
        stderr = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


def entry(event: dict[str, Any], identifier: str) -> bytes:
    """Return the datagram of an event of a log: PRIORITY, MESSAGE, and IPMP_* for all else."""
    fields = {"SYSLOG_IDENTIFIER": identifier}
    for key, value in event.items():
        name = _KNOWN.get(key, PREFIX + re.sub(r"[^A-Z0-9_]", "_", key.upper()))
        if key == "level":
            fields[name] = str(PRIORITIES.get(str(value), 6))
        elif name:
            fields[name] = str(value)
    return b"".join(_field(name, value.encode(errors="replace")) for name, value in fields.items())


def _field(name: str, value: bytes) -> bytes:
    """Return a field in the short form, or with its length when it has several lines."""
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


class Handler(logging.Handler):
    """Sends what its formatter has made with `entry` to the journal."""

    def __init__(self, path: str = SOCKET) -> None:
        super().__init__()
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; what the journal does not take is lost."""
        try:
            datagram = self.format(record).encode(errors="surrogateescape")
            self._socket.sendto(datagram, self._path)
        except OSError:
            return
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()
