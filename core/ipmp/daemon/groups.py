"""The groups' runners: started, changed by a reload, and stopped without touching an address."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from ipmp.config import Config, GroupConfig
from ipmp.daemon.context import Context
from ipmp.daemon.members import Members
from ipmp.daemon.retirement import retired_tests
from ipmp.daemon.runner import Runner
from ipmp.daemon.sysctls import SysctlKeeper
from ipmp.decision import Decision, Kind, Reason
from ipmp.homes import Homes, retired, without
from ipmp.intent import Intent, IntentStore
from ipmp.kernel.protocol import Changes
from ipmp.plan import gather


class House(Context, Protocol):
    """What the groups need of the daemon."""

    intent: Intent

    def save_intent(self) -> None:
        """Write the intent, durably."""

    def overrun(self) -> None:
        """The kernel had to drop events; every group reads its state anew."""


class Groups:
    """All groups of the configuration, by name."""

    def __init__(self, house: House, store: IntentStore, sysctls: SysctlKeeper) -> None:
        self.runners: dict[str, Runner] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._house = house
        self._store = store
        self._sysctls = sysctls
        self._homes = store.load_homes()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, config: Config, *, clean: bool) -> None:
        """Start every group; returns when each has been looked at once."""
        for group in config.groups.values():
            self._add(group, clean)
        await self._watch()

    async def change(self, config: Config) -> None:
        """Apply the difference to another configuration; what did not change is not touched."""
        for name in self.runners.keys() - config.groups.keys():
            await self._dissolve(name)
        for name, group in config.groups.items():
            runner = self.runners.get(name)
            if runner is None:
                self._add(group, clean=True)
            elif group != runner.config:
                await self._reconfigure(runner, group)
        await self._watch()

    async def stop(self) -> bool:
        """Stop all runners; whether none had anything under way, or without a place."""
        settled = all(r.is_settled and r.is_whole for r in self.runners.values())
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for runner in self.runners.values():
            runner.close()
        return settled

    def stuck(self, seconds: float) -> list[str]:
        """The groups whose loop has not got on for so many seconds, in words."""
        found = ((name, runner.pulse.stuck_for()) for name, runner in self.runners.items())
        return [f"group {name} has not got on for {s:.1f} s" for name, s in found if s >= seconds]

    def summary(self) -> str:
        """The states of the groups in one line."""
        groups = (runner.members.group for runner in self.runners.values())
        return ", ".join(f"{group.name} {group.state}" for group in groups) or "no groups"

    def save_homes(self) -> None:
        """Write where everything is at home, before anything of it moves."""
        self._homes = {name: runner.homes for name, runner in self.runners.items()}
        self._store.save_homes(self._homes)

    def changed(self, changes: Changes) -> None:
        """Others changed something on members."""
        if changes.overrun:
            self._house.overrun()
        for runner in self.runners.values():
            runner.changed(changes)

    def _add(self, config: GroupConfig, clean: bool) -> None:
        """Start a group; the last daemon may have known it by another configuration."""
        self._sysctls.keep(config)
        homes = without(self._homes.get(config.name, Homes()), (), config.members)
        intent = self._house.intent
        members = Members(self._house, config, intent.inactive, intent.failed)
        runner = Runner(self._house, config, homes, members, clean)
        runner.retirement.ask(_retirements(homes, config))
        self.runners[config.name] = runner
        task = asyncio.create_task(runner.run(), name=f"group {config.name}")
        task.add_done_callback(self.ended)
        self._tasks[config.name] = task

    async def _watch(self) -> None:
        """Listen to the members, and wait until every group has been looked at."""
        members = [m for runner in self.runners.values() for m in runner.config.members]
        self._house.kernel.watch(members, self.changed)
        await asyncio.gather(*(runner.looked() for runner in self.runners.values()))

    async def _reconfigure(self, runner: Runner, config: GroupConfig) -> None:
        """Between two passes: one that has read other members must not learn from them any more."""
        runner.wake()
        async with runner.turn:
            self._let_go([m for m in runner.config.members if m not in config.members])
            self._sysctls.keep(config)
            steps = list(retired_tests(runner.config, config, runner.snapshot))
            runner.retirement.ask(_retirements(runner.homes, config))
            runner.configure(config)
            self.save_homes()
        if steps:
            self._house.kernel.links(config.members)
            kernel = self._house.kernel
            await kernel.apply(kernel.prepare(steps))
        await runner.retirement.finished()

    async def _dissolve(self, name: str) -> None:
        """The group left the configuration: its addresses stay, what we set is put back."""
        runner, task = self.runners.pop(name), self._tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        runner.close()
        await self._gather(runner)
        self._let_go(runner.config.members)
        self.save_homes()
        self._house.emit([Decision(Kind.CONFIG, Reason.DISSOLVED, name)])

    async def _gather(self, runner: Runner) -> None:
        """No route of the group stays spread: nobody would take a dead member out of it."""
        kernel = self._house.kernel
        snapshot = await kernel.snapshot(kernel.links(runner.config.members))
        steps = list(gather(runner.members.group, runner.homes, snapshot))
        if steps:
            await kernel.apply(kernel.prepare(steps))

    def _let_go(self, members: Iterable[str]) -> None:
        """These interfaces are no members any more: forget what was asked of them."""
        for member in members:
            self._house.intent.offline.pop(member, None)
            self._house.intent.holds.pop(member, None)
            self._sysctls.put_back(member)
        self._house.save_intent()

    def ended(self, task: asyncio.Task[None]) -> None:
        """A task ends only by cancellation; anything else is a defect that ends the daemon."""
        if not task.cancelled() and not self.failed.done():
            self.failed.set_exception(task.exception() or RuntimeError(task.get_name()))


def _retirements(homes: Homes, config: GroupConfig) -> dict[str, Decision]:
    """Addresses that the configuration does not list any more, and why they go."""
    return {
        a.key: Decision(Kind.ADDRESS_RETIRED, Reason.DECLARED, a.group, address=a.key)
        for a in retired(homes, config)
    }
