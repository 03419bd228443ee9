"""A host whose interface `ni0` flaps, seen by the real exporter: what monitoring is tested with.

mpathd is a stand-in that answers with one status after another; exporter and what scrapes it are
real programs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ipmp.model import GroupState, Histogram, InterfaceState, LinkState, Status
from tests.support import exporter_statuses as statuses
from tests.support.exporter_daemon import FakeDaemon, short_directory
from tests.support.exporter_process import running_exporter


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
        link_losses=failures,
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


class FlappingHost:
    """The host: an exporter to scrape, and a link that changes when told to."""

    def __init__(self) -> None:
        self.address = ""  # host:port of the exporter
        self.run_dir = Path()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._changes: asyncio.Queue[tuple[int, float] | None] = asyncio.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Let the stand-in for mpathd answer, from a thread of its own."""
        self._thread.start()
        assert self._ready.wait(10), "the stand-in for mpathd did not start"

    def flap(self, changes: int, seconds: float) -> None:
        """Change the link so many times from now on, one change every `seconds`."""
        self._loop.call_soon_threadsafe(self._changes.put_nowait, (changes, seconds))

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._changes.put_nowait, None)
        self._thread.join(10)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._answer())

    async def _answer(self) -> None:
        async with short_directory() as directory:
            daemon = FakeDaemon(directory, after(0))
            async with daemon.listening():
                self.run_dir = directory
                self._ready.set()
                flapping: asyncio.Task[None] | None = None
                while (order := await self._changes.get()) is not None:
                    flapping = asyncio.create_task(_change(daemon, *order))
                if flapping:
                    flapping.cancel()


async def _change(daemon: FakeDaemon, changes: int, seconds: float) -> None:
    for told in range(1, changes + 1):
        daemon.answer = after(told)
        await asyncio.sleep(seconds)  # how fast it flaps


@contextmanager
def flapping_host() -> Iterator[FlappingHost]:
    """Run the exporter beside a stand-in for mpathd whose link can be made to flap."""
    host = FlappingHost()
    host.start()
    try:
        with running_exporter(host.run_dir) as host.address:
            yield host
    finally:
        host.end()
