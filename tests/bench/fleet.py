"""A fleet of 10,000 hosts whose alert fires everywhere at once: the real dispatcher and budget.

One notification for all hosts through the dispatcher (TLS, a handshake for each host), then every
host asks two budget servers with one etcd for a slot, 50 hosts and 2 slots to a pool; later
everything is resolved. Hosts, dispatcher and both servers share this machine.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from ipmp_remediator.budget import Pace
from tests.support.etcd import etcd, fleetlock
from tests.support.remediator import alert
from tests.support.simulated_fleet import Fleet, simulated_fleet

HOSTS, PER_POOL, SLOTS = 10_000, 50, 2


def main() -> None:
    """Print how long each step took."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        store, endpoint = etcd(directory)
        config = directory / "fleetlock.toml"
        config.write_text(f'default_slots = {SLOTS}\n[slots]\n[etcd]\nendpoints = ["{endpoint}"]\n')
        servers = [fleetlock(directory, config) for _ in range(2)]
        try:
            for process in (store, *(process for process, _ in servers)):
                process.start()
            asyncio.run(_measure(directory, tuple(url for _, url in servers)))
        finally:
            for process in (store, *(process for process, _ in servers)):
                process.kill()


async def _measure(directory: Path, urls: tuple[str, ...]) -> None:
    pace = Pace(round=3600.0)
    began = time.monotonic()
    async with simulated_fleet(
        directory, urls, hosts=HOSTS, per_pool=PER_POOL, retry=600.0, pace=pace
    ) as fleet:
        hosts = list(fleet.hosts.values())
        await _until(lambda: not any(host.budget.owed for host in hosts))
        _told("all hosts start at once and give back what they might hold", began)

        began = time.monotonic()
        failures = await fleet.notify([alert(instance=name) for name in fleet.hosts])
        _told(f"one notification of {HOSTS} alerts is stored by all hosts ({failures} not)", began)
        await _until(lambda: all(host.drained or host.refusals for host in hosts))
        _told(f"... and each of them has a slot or a refusal; {len(fleet.drained)} drained", began)
        _over_budget(fleet)

        began = time.monotonic()
        resolved = [alert(instance=name, status="resolved") for name in fleet.hosts]
        await fleet.notify(resolved)
        await _until(lambda: not fleet.drained and not any(h.budget.owed for h in hosts))
        _told("resolved: everything is online and every slot is back", began)
        _over_budget(fleet)


def _over_budget(fleet: Fleet) -> None:
    reasons = sorted({refused.reason for h in fleet.hosts.values() for refused in h.refusals})
    most = max(fleet.ledger.most.values())
    print(f"    at most {most} of {SLOTS} in a pool; refusals: {', '.join(reasons)}", flush=True)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(600):
        while not condition():
            await asyncio.sleep(0.05)


def _told(what: str, began: float) -> None:
    print(f"{time.monotonic() - began:7.1f} s  {what}", flush=True)
