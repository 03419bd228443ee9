"""A storm: 500 alerts for 100 hosts at once, through the real dispatcher and the real budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipmp.fleetlock.client import FleetLockClient
from ipmp.fleetlock.config import FleetConfig
from ipmp_remediator.budget import Pace, Refused
from ipmp_remediator.decision import Reason
from tests.support.etcd import etcd, fleetlock
from tests.support.remediator import alert
from tests.support.simulated_fleet import simulated_fleet
from tests.support.wait import eventually_async

pytestmark = pytest.mark.tools

HOSTS, PER_POOL, SLOTS = 100, 20, 3
POOLS = HOSTS // PER_POOL


async def test_no_more_are_drained_than_the_budget_and_all_return(tmp_path: Path) -> None:
    store, endpoint = etcd(tmp_path)
    config = tmp_path / "fleetlock.toml"
    config.write_text(f'default_slots = {SLOTS}\n[slots]\n[etcd]\nendpoints = ["{endpoint}"]\n')
    servers = [fleetlock(tmp_path, config) for _ in range(2)]
    store.start()
    try:
        for process, _ in servers:
            process.start()
        await _storm(tmp_path, tuple(url for _, url in servers))
    finally:
        for process, _ in servers:
            process.kill()
        store.kill()


async def _storm(directory: Path, urls: tuple[str, ...]) -> None:
    quick = Pace(settle=0.2, spread=0.2)
    async with simulated_fleet(
        directory, urls, hosts=HOSTS, per_pool=PER_POOL, retry=0.5, pace=quick
    ) as fleet:
        storm = [alert(instance=host, name=f"Alert{n}") for host in fleet.hosts for n in range(5)]
        assert len(storm) == 500
        assert await fleet.notify(storm) == 0
        assert all(len(host.heard) == 5 for host in fleet.hosts.values())
        await eventually_async(lambda: len(fleet.drained) == POOLS * SLOTS, timeout=20)
        waiting = [host for host in fleet.hosts.values() if not host.drained]
        full = [
            Refused(Reason.BUDGET_FULL, f"pool {host.pool} has no free slot") for host in waiting
        ]
        await eventually_async(
            lambda: all(why in host.refusals for host, why in zip(waiting, full, strict=True)),
            timeout=20,
        )

        over = [
            alert(instance=host, name=f"Alert{n}", status="resolved")
            for host in fleet.hosts
            for n in range(5)
        ]
        assert await fleet.notify(over) == 0
        await eventually_async(lambda: not fleet.drained, timeout=20)
        owed = [host.budget for host in fleet.hosts.values()]
        await eventually_async(lambda: all(b.owed == 0 for b in owed), timeout=20)
        assert max(fleet.ledger.most.values()) == SLOTS
        client = FleetLockClient(FleetConfig(urls=urls))
        assert [h.id for group in await client.groups() for h in group.holders] == []
