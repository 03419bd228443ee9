"""The journal as a place for logs: a program as systemd starts it, and a socket as journald's."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipmp import journald

PROGRAM = """
import os, sys
from ipmp import journald, logs
where = os.fstat(2)
os.environ["JOURNAL_STREAM"] = sys.argv[2] or f"{where.st_dev}:{where.st_ino}"
journald.Handler.__init__.__defaults__ = (sys.argv[1],)
logs.configure("info", "logfmt")
from ipmp.daemon.journal import Journal
from ipmp.decision import Decision, Kind, Reason
from ipmp.history import History
Journal(History(), lambda: 1.0).emit(
    [Decision(Kind.INTERFACE_STATE, Reason.LINK_DOWN, "ipmp0", "ni0")]
)
"""


@pytest.fixture
def journal() -> Iterator[socket.socket]:
    with (
        tempfile.TemporaryDirectory(prefix="ipmp-") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening,
    ):
        listening.bind(str(Path(directory, "socket")))
        listening.settimeout(5)
        yield listening


def run(path: str, stream: str = "") -> str:
    done = subprocess.run(
        (sys.executable, "-c", PROGRAM, path, stream), capture_output=True, text=True, check=True
    )
    return done.stderr


def fields(datagram: bytes) -> dict[str, str]:
    """Take an entry apart, as the protocol says."""
    found = {}
    while datagram:
        head, _, datagram = datagram.partition(b"\n")
        name, short, value = head.partition(b"=")
        if not short:
            (length,) = struct.unpack("<Q", datagram[:8])
            value, datagram = datagram[8 : 8 + length], datagram[9 + length :]
        found[name.decode()] = value.decode()
    return found


def test_a_decision_is_an_entry_with_fields(journal: socket.socket) -> None:
    assert run(journal.getsockname()) == "", "nothing twice"
    told = fields(journal.recv(65536))
    assert told == {
        "SYSLOG_IDENTIFIER": "-c",
        "MESSAGE": "The link has gone down on ni0",
        "PRIORITY": "3",
        "IPMP_KIND": "interface-state",
        "IPMP_REASON": "link-down",
        "IPMP_GROUP": "ipmp0",
        "IPMP_INTERFACE": "ni0",
    }


def test_without_the_journal_it_is_a_line_on_standard_error(journal: socket.socket) -> None:
    assert 'msg="The link has gone down on ni0"' in run(journal.getsockname(), "1:1")


def test_a_journal_that_is_away_stops_nobody(tmp_path: Path) -> None:
    assert run(str(tmp_path / "absent")) == ""


def test_a_full_journal_stops_nobody(journal: socket.socket) -> None:
    handler = journald.Handler(journal.getsockname())
    record = journald.logging.makeLogRecord({"msg": "MESSAGE=x\n"})
    for _ in range(int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 10):
        handler.emit(record)
    handler.close()
    assert journal.recv(65536) == b"MESSAGE=x\n"


def test_several_lines_cannot_forge_a_field() -> None:
    text = "first\nPRIORITY=0\nlast"
    told = fields(journald.entry({"msg": text, "level": "warning", "odd-key": os.sep}, "mpathd"))
    assert told == {
        "SYSLOG_IDENTIFIER": "mpathd",
        "MESSAGE": text,
        "PRIORITY": "4",
        "IPMP_ODD_KEY": "/",
    }
