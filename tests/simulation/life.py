"""One life of the daemon: from its start to a clean stop, or to a death at any point.

Wires the real `Daemon` to the simulated kernel, disk and clock. Death is kill -9: a `Killed` goes
through everything that runs, and nothing of this life ever runs again; the kernel and the disk keep
what they have.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

import structlog

from ipmp.config import load
from ipmp.daemon.clock import Clock
from ipmp.daemon.daemon import Daemon
from ipmp.history import History
from ipmp.intent import IntentStore
from ipmp.kernel.protocol import Changes
from ipmp.plan import Step
from ipmp.world import Link
from tests.simulation.clock import VirtualLoop
from tests.simulation.connection import Connection
from tests.simulation.disk import Chronicle, Store
from tests.simulation.kernel import Device, SimulatedKernel
from tests.simulation.sysctls import SimulatedSysctls

if TYPE_CHECKING:
    from tests.simulation.world import World

NOTICE_SECONDS = 1.0  # in which somebody awaits a task that has failed
NO_DEFAULTS = Path(os.devnull)  # in place of /etc/default/mpathd


class Killed(SystemExit):
    """The daemon dies here and now; as SystemExit it passes through tasks and the loop."""


class Life:
    """One process."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.loop = VirtualLoop(world.clock, world.chance)
        self.loop.set_exception_handler(self._unhandled)
        self.loop.set_task_factory(self._task)
        self.connection = Connection(world.kernel, world.network, self, world.faults, world.chance)
        self.daemon: Daemon | None = None
        self.ready = False
        self.ended = False
        self.fuse: int | None = None  # effects until it dies
        self.seen: dict[str, Link] = {}
        self.read_at: dict[str, float] = {}
        self.last_write = 0.0
        self._orders: set[asyncio.Task[Any]] = set()
        self.loop.create_task(self._serve())

    async def _serve(self) -> None:
        world = self._world
        store = Store(world.disk, self.effect, world.intended)
        self.daemon = Daemon(
            load(world.config_file, NO_DEFAULTS),
            cast(IntentStore, store),
            cast(History, Chronicle(world.disk, world.decided)),
            self.connection,
            cast(Clock, world.clock),
        )
        await self.daemon.start()
        self.ready = True
        await self.daemon.failed

    def order(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run what a client asks of the daemon."""
        task = self.loop.create_task(coroutine)
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)

    def stop(self) -> None:
        """SIGTERM: clients are cut off, the daemon stops, the process ends."""

        async def stop() -> None:
            assert self.daemon is not None
            for task in self._orders:
                task.cancel()
            await asyncio.gather(*self._orders, return_exceptions=True)
            await self.daemon.stop()
            self._world.stopped(self)
            self.end()
            self.loop.stop()

        self.ready = False
        self.loop.create_task(stop())

    def kill(self) -> None:
        """Die now, wherever it is called from."""
        self.end()
        raise Killed

    def end(self) -> None:
        """The process is gone; what it had open is closed."""
        self.ended, self.ready = True, False
        self.connection.close()

    def bury(self) -> None:
        """Release the loop; what was suspended in it finds that it can do nothing any more."""
        for task in asyncio.all_tasks(self.loop):
            with suppress(RuntimeError, SystemExit):
                task.get_coro().close()
        self.loop.close()

    # Watcher of the connection --------------------------------------------------------------------

    def effect(self, what: str) -> None:
        """Something leaves the daemon, unless it dies first."""
        if self.ended:
            raise Killed
        self._world.count()
        if what == "message":
            self.last_write = self._world.clock.now
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self._world.note("the daemon is killed before %s", what)
                self.kill()

    def read(self, links: dict[str, Link]) -> None:
        """A snapshot of these members begins."""
        self.read_at.update(dict.fromkeys(links, self._world.clock.now))
        self.seen.update(links)

    def looked(self, links: dict[str, Link]) -> None:
        """The daemon has seen these links; its pass goes on with what it had seen at its start."""
        self.seen = {name: link for name, link in self.seen.items() if name in links}

    def refused(self, step: Step, number: int) -> None:
        """The kernel refuses a step."""
        self._world.note("refused (%s): %s", os.strerror(number), step)

    def sent(self, device: Device, key: str) -> None:
        """A frame leaves the host."""
        self._world.invariants.announced(self, device, key)

    def heard(self, changes: Changes) -> None:
        """A notification reaches the daemon."""
        self._world.count()

    # Defects --------------------------------------------------------------------------------------

    def _task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **kwargs: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **kwargs)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        """A task that ended with an exception, which nobody takes notice of, has met a defect."""
        if not task.cancelled() and task._log_traceback:  # type: ignore[attr-defined]
            self.loop.call_later(NOTICE_SECONDS, self._noticed, task)

    def _noticed(self, task: asyncio.Task[Any]) -> None:
        if task._log_traceback and not self.ended:  # type: ignore[attr-defined]
            error = task.exception()
            self._world.broken("defect", f"{task.get_name()} ended with {error!r}", error)

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, Exception) and not self.ended:
            self._world.broken("defect", f"{context.get('message')}: {error!r}", error)


@contextmanager
def seams(kernel: SimulatedKernel, *, threads: bool) -> Iterator[None]:
    """Put the simulated sysctls under the daemon and silence its log while a simulation runs.

    With `threads` it computes in threads as it does with thousands of addresses.
    """
    sysctls = SimulatedSysctls(kernel)
    replaced: dict[str, object] = {
        "ipmp.daemon.daemon.load": partial(load, mpathd_defaults=NO_DEFAULTS),
        "ipmp.daemon.sysctls.inspect": sysctls.inspect,
        "ipmp.daemon.sysctls.correct": sysctls.correct,
        "ipmp.daemon.sysctls.restore": sysctls.restore,
        "ipmp.daemon.prober.SystemRandom": lambda: kernel.random,
    }
    if threads:
        replaced["ipmp.daemon.aside.MANY"] = 0
    silent = structlog.make_filtering_bound_logger(logging.CRITICAL)(None, [], {})
    with ExitStack() as stack:
        for name, function in replaced.items():
            stack.enter_context(patch(name, function))
        for name, module in list(sys.modules.items()):
            if name.startswith("ipmp.daemon.") and hasattr(module, "log"):
                stack.enter_context(patch.object(module, "log", silent))
        yield
