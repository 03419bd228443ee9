"""A fleet in one process: hosts that are simulated, everything between them that is real.

Real are the dispatcher (over TLS), the budget of each host with its FleetLock client (over HTTP),
two budget servers and etcd (processes). A host is a few lines that stand for its remediator: what
an alert names is wanted offline, and drained once the budget grants it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import web

from ipmp.fleetlock.client import FleetLockClient
from ipmp.fleetlock.config import FleetConfig
from ipmp.serving.tls import server_context
from ipmp_remediator.budget import FleetBudget, Pace, Refused, Target
from ipmp_remediator.payload import Alert, AlertStatus, parse
from ipmp_remediator.route.config import Limits, RouteConfig, Targets
from ipmp_remediator.route.dispatch import Dispatcher
from ipmp_remediator.route.metrics import RouteMetrics
from ipmp_remediator.route.split import split
from ipmp_remediator.route.targets import targets_of
from tests.support.fleet import Authority
from tests.support.remediator import notification

TARGET = Target("ipmp0", "ni0")
LABEL = "instance"
_AT_ONCE = 50


class Ledger:
    """What is drained in each pool at each moment, and the most there ever was."""

    def __init__(self) -> None:
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    def drained(self, pool: str) -> None:
        self.now[pool] += 1
        self.most[pool] = max(self.most[pool], self.now[pool])

    def online(self, pool: str) -> None:
        self.now[pool] -= 1


class Line:
    """A host's way to the servers; all hosts share a process, which can do only so much at once."""

    def __init__(self, client: FleetLockClient, places: asyncio.Semaphore) -> None:
        self._client = client
        self._places = places

    async def take(self, group: str, client: str) -> None:
        async with self._places:
            await self._client.take(group, client)

    async def give_back(self, group: str, client: str) -> None:
        async with self._places:
            await self._client.give_back(group, client)


class SimulatedHost:
    """Stands for a remediator: stores alerts, drains within the budget, returns."""

    def __init__(self, name: str, pool: str, budget: FleetBudget, ledger: Ledger) -> None:
        self.name = name
        self.pool = pool
        self.budget = budget
        self.ledger = ledger
        self.open: set[str] = set()
        self.heard: set[str] = set()
        self.drained = False
        self.refusals: list[Refused] = []
        self.retry = 0.0
        self._wake = asyncio.Event()

    def store(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            self.heard.add(alert.fingerprint)
            if alert.status is AlertStatus.FIRING:
                self.open.add(alert.fingerprint)
            else:
                self.open.discard(alert.fingerprint)
        self._wake.set()

    async def run(self) -> None:
        while True:
            self._wake.clear()
            await self._follow()
            timeout = self.retry if self.open and not self.drained and self.retry else None
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _follow(self) -> None:
        if self.open and not self.drained:
            answer = await self.budget.take(TARGET)
            if isinstance(answer, Refused):
                self.refusals.append(answer)
            elif self.open:
                self.drained = True
                self.ledger.drained(self.pool)
            else:
                self.budget.give_back(TARGET)
        elif self.drained and not self.open:
            self.drained = False
            self.ledger.online(self.pool)
            self.budget.give_back(TARGET)


class Fleet:
    """The hosts, the dispatcher before them, and what came of it."""

    def __init__(self, hosts: dict[str, SimulatedHost], ledger: Ledger) -> None:
        self.hosts = hosts
        self.ledger = ledger
        self._dispatcher: Dispatcher

    @property
    def drained(self) -> list[SimulatedHost]:
        return [host for host in self.hosts.values() if host.drained]

    async def notify(self, alerts: list[dict[str, object]]) -> int:
        """Send a notification through the real splitting and dispatching; return the failures."""
        body = json.dumps(notification(*alerts)).encode()
        parts = split(body, LABEL, 1_000_000)
        return len(await self._dispatcher.dispatch(parts.by_host))

    async def take(self, request: web.Request) -> web.Response:
        for alert in parse(await request.read()).alerts:
            self.hosts[alert.labels[LABEL]].store([alert])
        response = web.Response(status=202)
        response.force_close()  # each host would be another connection
        return response

    async def open(self, authority: Authority, directory: Path) -> AsyncExitStack:
        """Listen for all hosts at one port, and dispatch to it; each part by its own handshake."""
        stack = AsyncExitStack()
        port = await stack.enter_async_context(
            _listening(self, server_context(authority.server("127.0.0.1")))
        )
        file = directory / "targets.json"
        groups = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {LABEL: name}} for name in self.hosts
        ]
        file.write_text(json.dumps(groups))
        config = RouteConfig(
            targets=Targets(file=file),
            hosts_tls=authority.client("route.example"),
            limits=Limits(connections=64, host_timeout=30.0, timeout=600.0),  # type: ignore[arg-type]
        )
        self._dispatcher = Dispatcher(config, targets_of(config), RouteMetrics())
        await self._dispatcher.open()
        stack.push_async_callback(self._dispatcher.close)
        return stack


@asynccontextmanager
async def _listening(fleet: Fleet, tls: ssl.SSLContext) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_post("/alerts", fleet.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls, backlog=1024).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def simulated_fleet(
    directory: Path, urls: tuple[str, ...], *, hosts: int, per_pool: int, retry: float, pace: Pace
) -> AsyncIterator[Fleet]:
    """So many hosts, so many of them in a pool; what is refused is tried again after `retry` s."""
    ledger = Ledger()
    places = asyncio.Semaphore(_AT_ONCE)
    found = {}
    for n in range(hosts):
        name, pool = f"db{n}.example", f"rack-{n // per_pool}"
        client = FleetLockClient(FleetConfig(urls=urls[n % 2 :] + urls[: n % 2], pools=(pool,)))
        budget = FleetBudget(Line(client, places), name, lambda group, pool=pool: (pool,), pace)
        found[name] = SimulatedHost(name, pool, budget, ledger)
        found[name].retry = retry
    fleet = Fleet(found, ledger)
    async with await fleet.open(Authority(directory), directory):
        tasks = []
        for host in found.values():
            await host.budget.start([], [TARGET])
            tasks.append(asyncio.create_task(host.run()))
        try:
            yield fleet
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await asyncio.gather(*(host.budget.stop() for host in found.values()))
