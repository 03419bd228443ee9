"""The remediator and the real daemon: drains, refusals, and a person who steps in."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ipmp.lab import Lab
from tests.scenarios.conftest import StartHost
from tests.support.lab import Host
from tests.support.remediator import InProcess, alert, until, write_policy

THREE = """
[groups.ipmp0]
interfaces = ["ni0", "ni1", "ni2"]
addresses = ["192.168.1.5/24", "fd00:1::5/64"]
"""


async def _left(host: Host, *members: str) -> None:
    """Every data address is somewhere, and none on these."""

    def elsewhere() -> bool:
        places = {address.interface for address in host.status().addresses}
        return bool(places) and not places & {None, *members}

    await until(elsewhere, f"all have left {members}")


@pytest.mark.checklist("7.1", 16)
@pytest.mark.checklist("7.1", 21)
@pytest.mark.checklist("7.1", 32)
async def test_alerts_drain_all_but_the_last_and_a_person_outranks(
    lab3: Lab, start_host3: StartHost, tmp_path: Path
) -> None:
    host = await asyncio.to_thread(start_host3, THREE)
    policy = write_policy(tmp_path)
    async with InProcess(tmp_path, Path(host.run_dir), policy) as remediator:
        assert await remediator.post(alert("ni0")) == 202
        await remediator.decided("drained", "firing")
        await _left(host, "ni0")
        assert await remediator.post(alert("ni1")) == 202
        await remediator.decided("drained", "firing")
        await _left(host, "ni0", "ni1")
        assert await remediator.post(alert("ni2")) == 202
        await remediator.decided("refused", "min_usable")
        told = await asyncio.to_thread(host.ipmp, "explain", "ni2")
        assert "are usable now, at least 1 must stay so" in told.stdout

        back = await asyncio.to_thread(host.if_mpadm, "-r", "ni0")
        assert back.returncode == 0
        # One is usable again, so the alert that waits gets its drain; ni0 stays with the person.
        await until(lambda: host.status().interface("ni2").offline is not None, "ni2 is drained")
        assert host.status().interface("ni0").offline is None
        for name in ("ni1", "ni2"):
            assert await remediator.post(alert(name, status="resolved")) == 202
        await until(
            lambda: all(i.offline is None for i in host.status().interfaces), "all are back"
        )
