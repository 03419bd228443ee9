"""A host whose interface `ni0` flaps, seen by the real exporter: what monitoring is tested with.

mpathd is a stand-in that answers with one status after another; exporter and what scrapes it are
real programs.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ipmp.model import GroupState, Histogram, InterfaceState, LinkState, Status
from tests.support import exporter_statuses as statuses
from tests.support.exporter_daemon import FakeDaemon, short_directory


def after(changes: int) -> Status:
    """Return the status after so many changes of the link: odd ones are failures, even repairs."""
    down = changes % 2 == 1
    failures, repairs = (changes + 1) // 2, changes // 2
    status = statuses.change_interface(
        statuses.healthy(),
        "ni0",
        state=InterfaceState.FAILED if down else InterfaceState.OK,
        link=LinkState.DOWN if down else LinkState.UP,
        active=not down,
        since=statuses.BEGAN + changes,
        transitions={"ok": 1 + repairs, "failed": failures},
    )
    status = statuses.change_group(
        status,
        "ipmp0",
        state=GroupState.DEGRADED if down else GroupState.OK,
        usable=1 if down else 2,
        failovers={"link": failures},
        failbacks={"link": repairs},
        last_failover=statuses.BEGAN + changes,
        failover_duration=Histogram(statuses.BOUNDS, (failures,) * 4, failures * 0.004),
    )
    daemon = msgspec.structs.replace(
        status.daemon, operation_failures={"offline": {"minimum-redundancy": failures}}
    )
    status = msgspec.structs.replace(status, daemon=daemon)
    return statuses.place(status, "ipmp0", "ni1" if down else "ni0")


class Story:
    """The stand-in for mpathd, answering from a thread of its own while the link changes."""

    def __init__(self, changes: int, seconds: float) -> None:
        self._changes = changes
        self._seconds = seconds
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._stop = asyncio.Event()
        self.run_dir = Path()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10), "the stand-in for mpathd did not start"

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._tell())

    async def _tell(self) -> None:
        async with short_directory() as directory:
            daemon = FakeDaemon(directory, after(0))
            async with daemon.listening():
                self.run_dir = directory
                self._ready.set()
                told = 0
                while not self._stop.is_set():
                    try:
                        await asyncio.wait_for(self._stop.wait(), self._seconds)
                    except TimeoutError:
                        told = min(told + 1, self._changes)
                        daemon.answer = after(told)


@contextmanager
def flapping_host(*, changes: int, seconds: float) -> Iterator[str]:
    """Run the exporter on a host whose link changes every `seconds`; yield `host:port`."""
    story = Story(changes, seconds)
    story.start()
    command = Path(sys.executable).with_name("ipmp_exporter")
    arguments = ("--web.listen-address=127.0.0.1:0", f"--run-dir={story.run_dir}")
    exporter = subprocess.Popen([command, *arguments], stderr=subprocess.PIPE, text=True)
    try:
        yield _address(exporter)
    finally:
        exporter.terminate()
        exporter.wait(10)
        story.end()


def _address(exporter: subprocess.Popen[str]) -> str:
    assert exporter.stderr
    for line in exporter.stderr:
        if match := re.search(r"http://(127\.0\.0\.1:\d+)", line):
            return match[1]
    raise AssertionError("the exporter ended without saying where it listens")
