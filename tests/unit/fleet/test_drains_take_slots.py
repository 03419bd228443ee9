"""A running remediator takes a slot before each drain; FleetLock server and etcd are real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ipmp.fleetlock.client import FleetLockClient
from ipmp.fleetlock.config import FleetConfig
from ipmp_remediator import operations
from ipmp_remediator.app import read_policy
from ipmp_remediator.budget import FleetBudget, Granted, Pace, Refused, Target, fleet
from ipmp_remediator.reader import ConfigError
from tests.support.etcd import Process, fleetlock
from tests.support.fake_control_daemon import FakeDaemon
from tests.support.remediator import InProcess, alert, until, write_policy

pytestmark = pytest.mark.tools

OFF, ON = ("offline", "ni0"), ("online", "ni0")


class Budget:
    """One slot of pool `rack`, kept by a server that the test may kill."""

    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.url = url
        self.client = FleetLockClient(FleetConfig(urls=(url,)))

    async def holders(self) -> list[str]:
        return [holder.id for group in await self.client.groups() for holder in group.holders]

    async def held_by(self, *ids: str) -> None:
        async def so() -> bool:
            return await self.holders() == list(ids)

        await until(so, f"slots of {ids}")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "Pace", lambda: Pace(settle=0.2, spread=0.2))


@pytest.fixture
def budget(tmp_path: Path, endpoint: str, prefix: str) -> Iterator[Budget]:
    config = tmp_path / "fleetlock.toml"
    etcd = f'[etcd]\nendpoints = ["{endpoint}"]\nprefix = "{prefix}"\n'
    config.write_text(f"[slots]\nrack = 1\n{etcd}")
    process, url = fleetlock(tmp_path, config)
    process.start()
    yield Budget(process, url)
    process.kill()


@pytest.fixture
def policy(tmp_path: Path, budget: Budget) -> Path:
    (tmp_path / "fleet.toml").write_text(
        f'urls = ["{budget.url}"]\npools = ["rack"]\nhost = "db1"\ntimeout = "1s"\n'
    )
    return write_policy(tmp_path, extra='fleet_file = "fleet.toml"\n')


@pytest.fixture
async def host(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon, policy: Path
) -> AsyncIterator[InProcess]:
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        yield remediator


@pytest.mark.checklist("7.1", 22)
async def test_a_drain_needs_a_slot_of_the_fleet_and_gives_it_back(
    host: InProcess, daemon: FakeDaemon, budget: Budget
) -> None:
    await budget.client.take("rack", "db2/ni0")
    assert await host.post(alert()) == 202
    await host.decided("refused", "budget_full")
    labels = {"action": "drain", "reason": "budget_full"}
    await host.counts(1, "ipmp_remediation_refusals_total", **labels)
    await host.counts(1, "ipmp_fleet_budget_up", pool="rack")
    assert daemon.effects == []
    await budget.client.give_back("rack", "db2/ni0")
    await host.decided("drained", "firing")
    assert await budget.holders() == ["db1/ni0"]
    assert await host.post(alert(status="resolved")) == 202
    await host.decided("undrained", "resolved")
    await budget.held_by()
    assert daemon.effects == [OFF, ON]


async def test_without_an_answer_nothing_is_drained_and_what_is_drained_comes_back(
    host: InProcess, daemon: FakeDaemon, budget: Budget
) -> None:
    assert await host.post(alert()) == 202
    await host.decided("drained", "firing")
    budget.process.kill()
    assert await host.post(alert("ni1")) == 202
    await host.decided("refused", "budget_unreachable")
    await host.counts(0, "ipmp_fleet_budget_up", pool="rack")
    assert await host.post(alert(status="resolved"), alert("ni1", status="resolved")) == 202
    await until(lambda: daemon.effects == [OFF, ON], "it comes back without the budget")
    budget.process.start()
    await budget.held_by()


async def test_a_restart_keeps_the_slots_of_drains_and_no_others(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon, policy: Path, budget: Budget
) -> None:
    async with InProcess(tmp_path, run_dir, policy) as host:
        assert await host.post(alert()) == 202
        await host.decided("drained", "firing")
    assert await budget.holders() == ["db1/ni0"]
    async with InProcess(tmp_path, run_dir, policy) as host:
        assert await host.post(alert("ni1")) == 202
        await host.decided("refused", "budget_full")
        assert await budget.holders() == ["db1/ni0"]
        assert await host.post(alert(status="resolved")) == 202
        await budget.held_by("db1/ni1")
    async with InProcess(tmp_path, run_dir, policy) as host:
        assert await host.post(alert("ni1", status="resolved")) == 202
        await budget.held_by()


async def test_an_alert_that_is_resolved_while_a_slot_is_taken_drains_nothing(
    host: InProcess, daemon: FakeDaemon, budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on, take = asyncio.Event(), asyncio.Event(), FleetBudget.take

    async def slow(self: FleetBudget, target: Target) -> Granted | Refused:
        answer = await take(self, target)
        if isinstance(answer, Granted):
            asked.set()
            await go_on.wait()
        return answer

    monkeypatch.setattr(FleetBudget, "take", slow)
    assert await host.post(alert()) == 202
    await asked.wait()
    assert await budget.holders() == ["db1/ni0"]
    assert await host.post(alert(status="resolved")) == 202
    go_on.set()
    await budget.held_by()
    assert daemon.effects == []


async def test_what_the_daemon_refuses_keeps_no_slot(
    host: InProcess, daemon: FakeDaemon, budget: Budget
) -> None:
    daemon.busy = 1000
    assert await host.post(alert()) == 202
    await host.decided("refused", "busy")
    await budget.held_by()
    daemon.busy = 0
    await host.decided("drained", "firing")
    assert await budget.holders() == ["db1/ni0"]


async def test_every_alert_that_waits_for_a_slot_is_told_why(
    host: InProcess, budget: Budget
) -> None:
    await budget.client.take("rack", "db2/ni0")
    assert await host.post(alert(name="First"), alert(name="Second")) == 202
    assert await host.post(alert("ni1", name="Third")) == 202

    async def told() -> bool:
        refused = [r["decision"] for r in await host.decisions()]
        full = {d["alertname"] for d in refused if d["reason"] == "budget_full"}
        return full == {"First", "Second", "Third"}

    await until(told, "all three are refused")


async def test_a_new_alert_asks_at_once_however_long_an_earlier_one_was_to_wait(
    host: InProcess, daemon: FakeDaemon, budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, take = [], FleetBudget.take

    async def noted(self: FleetBudget, target: Target) -> Granted | Refused:
        asked.append(await take(self, target))
        return asked[-1]

    await budget.client.take("rack", "db2/ni0")
    assert await host.post(alert(name="First")) == 202
    await host.decided("refused", "budget_full")
    monkeypatch.setattr(operations, "_BACKOFF_FIRST", 1000.0)
    monkeypatch.setattr(FleetBudget, "take", noted)
    await until(lambda: bool(asked), "it has asked in vain once more")
    await budget.client.give_back("rack", "db2/ni0")
    assert await host.post(alert(name="First", status="resolved"), alert(name="Second")) == 202
    await host.decided("drained", "firing")
    assert daemon.effects == [OFF]


def test_mistakes_of_the_fleet_file_are_mistakes_of_the_policy(
    host: InProcess, tmp_path: Path
) -> None:
    (tmp_path / "fleet.toml").write_text('urls = ["ftp://x"]\n')
    with pytest.raises(ConfigError) as found:
        read_policy(host.settings)
    assert len(found.value.errors) == 2
    assert all("fleet.toml" in error for error in found.value.errors)
