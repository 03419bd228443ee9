"""The demo as a user plays it: it does what it tells, and however it ends, nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import need_namespaces, program
from tests.support.tools import need
from tests.support.wait import eventually, patience

pytestmark = [pytest.mark.netns, pytest.mark.prometheus, pytest.mark.slow]

PLAYS_WITHIN = 120.0
GONE_WITHIN = 15.0


class Demo:
    """A running `ipmp demo --once`; all that it makes lies below `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._said = directory.with_suffix(".log")
        command = ("env", "--default-signal=INT,HUP", program("ipmp"), "demo", "--once")
        with self._said.open("w") as out:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=os.environ | {"TMPDIR": str(directory)},
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._said.read_text()

    @property
    def left(self) -> list[str]:
        """What there is of it: files, and the command lines of its processes, also in the lab."""
        try:
            files = [str(path) for path in self.directory.rglob("*")]
        except FileNotFoundError as vanished:  # it is being removed at this moment
            files = [str(vanished.filename)]
        mark = f"TMPDIR={self.directory}".encode()
        return files + [_read(p, "cmdline").decode() for p in _processes() if mark in _environ(p)]

    def is_gone(self) -> bool:
        assert self.left == []
        return True


@pytest.fixture
def demo() -> Iterator[Demo]:
    need_namespaces()
    need("prometheus")
    need("alertmanager")
    with tempfile.TemporaryDirectory(prefix="ipmp-") as short:
        directory = Path(short, "tmp")
        directory.mkdir()
        running = Demo(directory)
        yield running
        running.process.kill()
        running.process.wait(patience(GONE_WITHIN))
        eventually(running.is_gone, GONE_WITHIN)


def test_the_story_comes_true_and_nothing_is_left(demo: Demo) -> None:
    status = demo.process.wait(patience(PLAYS_WITHIN))
    assert status == 0, demo.said
    assert "Everything did what it should" in demo.said
    assert demo.said.count("\n    ok\n") == 6
    assert demo.left == [], "not even for a moment"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_interrupted_in_the_middle_it_leaves_nothing(demo: Demo, number: signal.Signals) -> None:
    eventually(lambda: "\n(c)" in demo.said, PLAYS_WITHIN)
    assert len(demo.left) > 10
    if number is signal.SIGINT:  # ^C: the terminal tells everybody
        os.killpg(demo.process.pid, number)
    else:
        demo.process.send_signal(number)
    demo.process.wait(patience(GONE_WITHIN))
    eventually(demo.is_gone, GONE_WITHIN)
    assert "Traceback" not in demo.said


def _processes() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]


def _environ(process: Path) -> list[bytes]:
    return _read(process, "environ").split(b"\0")


def _read(process: Path, name: str) -> bytes:
    try:
        return (process / name).read_bytes()
    except OSError:  # it has just ended, or is somebody else's
        return b""
