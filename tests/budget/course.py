"""One course: hosts that drain and return, servers and etcd that are killed and paused."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import msgspec

from ipmp.fleetlock.client import FleetLockClient, UnreachableError
from ipmp.fleetlock.config import FleetConfig
from ipmp_remediator.budget import FleetBudget, Granted, Pace, Refused, Target
from tests.support.etcd import Process, etcd, fleetlock

SLOTS = 3
HOSTS = 12
POOL = "rack"
TARGET = Target("ipmp0", "ni0")
PACE = Pace(settle=10.0, spread=1.0, round=15.0)


class Report(msgspec.Struct):
    """What happened."""

    drains: int = 0
    most: int = 0  # at a time
    blows: Counter[str] = msgspec.field(default_factory=Counter)
    refusals: Counter[str] = msgspec.field(default_factory=Counter)
    stuck: list[str] = msgspec.field(default_factory=list)  # slots that nobody holds at the end

    def __str__(self) -> str:
        blows = ", ".join(f"{count} {name}" for name, count in sorted(self.blows.items()))
        refusals = ", ".join(f"{count} {name}" for name, count in sorted(self.refusals.items()))
        return (
            f"{self.drains} drains, at most {self.most} of {SLOTS} at a time; {blows}; "
            f"refused: {refusals}; stuck slots: {len(self.stuck)}"
        )


class Course:
    """Runs it; `random` decides everything, so a seed nearly repeats a course."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._directory = directory
        self._random = random.Random(seed)
        self._drained: set[str] = set()
        self._urls: tuple[str, ...] = ()
        self._quiet = asyncio.Event()
        self.report = Report()

    async def run(self, seconds: float) -> Report:
        """Let hosts drain amid blows, then let all come to rest."""
        store, endpoint = etcd(self._directory)
        config = self._directory / "fleetlock.toml"
        config.write_text(
            f'[slots]\n{POOL} = {SLOTS}\n[etcd]\nendpoints = ["{endpoint}"]\ntimeout = "1s"\n'
        )
        servers = [fleetlock(self._directory, config) for _ in range(2)]
        self._urls = tuple(url for _, url in servers)
        processes = {"etcd": store} | {f"server{n}": p for n, (p, _) in enumerate(servers)}
        try:
            for process in processes.values():
                process.start()
            hosts = [asyncio.create_task(self._host(f"db{n}")) for n in range(HOSTS)]
            await self._blows(processes, seconds)
            self._quiet.set()
            await asyncio.gather(*hosts)
            self.report.stuck = await self._holders()
        finally:
            for process in processes.values():
                process.resume()
                process.kill()
        return self.report

    async def _blows(self, processes: dict[str, Process], seconds: float) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(self._random.uniform(0.2, 2.0))  # blows come now and then
            name = self._random.choice([*processes, "etcd"])
            process = processes[name]
            if self._random.random() < 0.3:
                process.pause()
                await asyncio.sleep(self._random.uniform(0.1, 3.0))  # it stands still so long
                process.resume()
                self.report.blows[f"pauses of {name.rstrip('01')}"] += 1
            else:
                process.kill()
                await asyncio.sleep(self._random.uniform(0.0, 1.5))  # it is away so long
                process.start(wait=False)
                self.report.blows[f"kills of {name.rstrip('01')}"] += 1
        for process in processes.values():
            await asyncio.to_thread(process.await_healthy)

    async def _host(self, name: str) -> None:
        """Lives several lives; each ends as by kill -9, between any two steps."""
        while not self._quiet.is_set():
            budget = await self._born(name)
            life = asyncio.create_task(self._live(name, budget))
            await asyncio.wait([life], timeout=self._random.uniform(15, 40))
            life.cancel()
            await asyncio.wait([life])
            await budget.stop()
            self.report.blows["kills of host"] += not self._quiet.is_set()
        self._drained.discard(name)
        budget = await self._born(name)
        while budget.owed:
            await asyncio.sleep(0.1)
        await budget.stop()

    async def _born(self, name: str) -> FleetBudget:
        first = self._random.randrange(2)
        urls = self._urls[first:] + self._urls[:first]
        client = FleetLockClient(FleetConfig(urls=urls))
        budget = FleetBudget(client, name, lambda group: (POOL,), PACE)
        await budget.start([TARGET] if name in self._drained else [], [TARGET])
        return budget

    async def _live(self, name: str, budget: FleetBudget) -> None:
        while not self._quiet.is_set():
            if name not in self._drained:
                answer = await budget.take(TARGET)
                if isinstance(answer, Refused):
                    self.report.refusals[answer.reason] += 1
                    await asyncio.sleep(self._random.uniform(0.1, 0.5))  # then it asks again
                    continue
                assert answer == Granted()
                self._drain(name)
            await asyncio.sleep(self._random.uniform(0.0, 0.6))  # the drain lasts so long
            self._drained.discard(name)
            await asyncio.sleep(0)  # here it may die, online and with a slot
            budget.give_back(TARGET)
            await asyncio.sleep(self._random.uniform(0.0, 0.3))  # until the next one is wanted

    def _drain(self, name: str) -> None:
        self._drained.add(name)
        self.report.drains += 1
        self.report.most = max(self.report.most, len(self._drained))

    async def _holders(self) -> list[str]:
        """Ask who holds slots, once the servers answer."""
        client = FleetLockClient(FleetConfig(urls=self._urls))
        while True:
            try:
                return [holder.id for group in await client.groups() for holder in group.holders]
            except UnreachableError:
                await asyncio.sleep(0.2)
