"""A controller made of real parts where it can be, and a client on the real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp

from ipmp.api import Server
from ipmp.api.stream import Streams
from ipmp.decision import Decision, Kind, Reason
from ipmp.history import History
from ipmp.model import (
    DaemonStatus,
    Event,
    OperationRequest,
    OperationResult,
    ProbeReport,
    Status,
)

ME = f"{pwd.getpwuid(os.getuid()).pw_name} (uid {os.getuid()})"


def decision(number: int) -> Decision:
    return Decision(Kind.INTERFACE_STATE, Reason.LINK_DOWN, "ipmp0", f"ni{number}")


def status(**fields) -> Status:
    return Status(
        host="host",
        time=1.0,
        daemon=DaemonStatus("0.1.0", 1, 1.0, "/etc/ipmp/ipmp.toml"),
        **{"groups": (), "interfaces": (), "addresses": (), **fields},
    )


async def until(condition: Callable[[], object], timeout: float = 5.0) -> None:
    """Wait until `condition` holds; TimeoutError when it does not come to that."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


class FakeController:
    """Records what it is asked for; operations wait for `gate`, then raise `error` if given."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.current = status()
        self.calls: list[tuple] = []
        self.error: Exception | None = None
        self.result: OperationResult | None = None
        self.reports: asyncio.Queue[ProbeReport] = asyncio.Queue()
        self.followed = asyncio.Event()  # somebody follows the probes
        self.gate = asyncio.Event()
        self.gate.set()
        self.ring: deque[Event] = deque(maxlen=1000)
        self.queues: set[asyncio.Queue[Event]] = set()
        self.queue_size = 1000

    def status(self) -> Status:
        return self.current

    def publish(self, *decisions: Decision) -> None:
        for one in decisions:
            event = Event(self.history.last_id + 1, 1000.0, one, one.sentence())
            self.history.append(event)
            self.ring.append(event)
            for queue in self.queues:
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(event)

    def events_after(self, id: int) -> list[Event]:
        return [event for event in self.ring if event.id > id]

    @contextlib.contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[Event]]:
        queue: asyncio.Queue[Event] = asyncio.Queue(self.queue_size)
        self.queues.add(queue)
        try:
            yield queue
        finally:
            self.queues.discard(queue)

    @contextlib.contextmanager
    def probes(self) -> Iterator[asyncio.Queue[ProbeReport]]:
        self.followed.set()
        yield self.reports

    async def operate(
        self, operation: str, interface: str, request: OperationRequest, actor: str
    ) -> OperationResult:
        self.calls.append((operation, interface, request, actor))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if self.result is not None:
            return self.result
        return OperationResult(interface, operation, changed=True, dry_run=request.dry_run)

    async def pause(self, request: OperationRequest, actor: str) -> None:
        self.calls.append(("pause", request, actor))

    async def resume(self, request: OperationRequest, actor: str) -> None:
        self.calls.append(("resume", request, actor))

    async def reload(self, actor: str) -> int:
        self.calls.append(("reload", actor))
        if self.error is not None:
            raise self.error
        return 7

    async def explain(self, name: str) -> list[str] | None:
        return {"192.168.1.5/24": ["It is on ni0."]}.get(name)


class Api:
    """A running server, and a client session on each of its sockets."""

    def __init__(self, server: Server, controller: FakeController, run_dir: Path) -> None:
        self.server = server
        self.controller = controller
        self.run_dir = run_dir
        self.read = self._session("status.sock")
        self.control = self._session("control.sock")

    def _session(self, name: str) -> aiohttp.ClientSession:
        connector = aiohttp.UnixConnector(str(self.run_dir / name))
        return aiohttp.ClientSession("http://mpathd", connector=connector)

    async def close(self) -> None:
        await self.read.close()
        await self.control.close()
        await self.server.close()


@contextlib.asynccontextmanager
async def running_api(directory: Path, **streams: float) -> AsyncIterator[Api]:
    """Serve a fake controller in `directory`/run; `streams` are options of the event streams."""
    history = History()
    await history.open(directory / "history.sqlite")
    controller = FakeController(history)
    run_dir = directory / "run"
    server = Server(controller, run_dir, Streams(controller, **streams))
    await server.start()
    api = Api(server, controller, run_dir)
    try:
        yield api
    finally:
        await api.close()
        await history.close()
