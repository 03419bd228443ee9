"""What every program writes to standard error; in its own process, as `configure` is global."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ipmp.logs import LEVELS

EVENTS = """\
import logging, structlog, sys
from ipmp import logs
logs.configure(*sys.argv[1:])
FORGED = 'x"\\nlevel=error \\x1b[31m'
ours, theirs = structlog.get_logger("ours"), logging.getLogger("theirs")
for level in ("debug", "info", "warning", "error"):
    getattr(ours, level)(f"ours at {level}", empty="", flag=True, label=FORGED)
    getattr(theirs, level)("theirs at %s", level)
try:
    raise ValueError("a defect")
except ValueError:
    ours.exception("ours failed")
    theirs.exception("theirs failed")
"""
NAMES = {"debug": "debug", "info": "info", "warn": "warning", "error": "error"}


def logged(level: str, form: str) -> list[str]:
    command = (sys.executable, "-c", EVENTS, level, form)
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()


@pytest.mark.parametrize("level", LEVELS)
def test_only_what_is_severe_enough_is_logged_and_libraries_from_warnings_up(level: str) -> None:
    names = list(NAMES.values())
    severe = names[list(NAMES).index(level) :]
    expected = [
        f"{who} at {name}"
        for name in severe
        for who in ("ours", "theirs")
        if who == "ours" or name in ("warning", "error")
    ]
    lines = [json.loads(line) for line in logged(level, "json")]
    assert [line["msg"] for line in lines] == [*expected, "ours failed", "theirs failed"]
    assert all(line["level"] == line["msg"].rpartition(" ")[2] for line in lines[:-2])


def test_an_event_is_one_line_that_begins_with_time_level_and_message() -> None:
    lines = logged("debug", "logfmt")
    assert len(lines) == 8
    assert all(line.startswith("ts=20") for line in lines)
    assert lines[1].split("Z ", 1)[1].startswith('level=info msg="ours at info" flag=true label=')


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_no_label_can_forge_a_line_or_colour_a_terminal(form: str) -> None:
    for line in logged("debug", form):
        assert line.isprintable()
        assert "empty" not in line


def test_a_defect_is_told_with_its_traceback_whoever_logs_it() -> None:
    for line in map(json.loads, logged("error", "json")[-2:]):
        assert line["level"] == "error"
        assert "ValueError: a defect" in line["exception"]


def test_a_log_that_cannot_be_written_stops_nobody() -> None:
    script = f"{EVENTS}print('still here')\n"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            (sys.executable, "-c", script, "debug", "json"), stdout=subprocess.PIPE, stderr=full
        )
    assert done.stdout == b"still here\n"
