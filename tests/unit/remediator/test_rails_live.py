"""Rails of a running remediator: what is refused, counted, told, undone, and remembered."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ipmp_remediator import daemon_client
from ipmp_remediator.decision import Reason
from tests.support.fake_control_daemon import FakeDaemon
from tests.support.remediator import InProcess, alert, until, write_policy

OFF, ON = ("offline", "ni0"), ("online", "ni0")


@pytest.mark.checklist("7.1", 24)
@pytest.mark.checklist("7.1", 35)
@pytest.mark.checklist("7.1", 36)
async def test_a_drain_that_hurts_is_undone_told_and_opens_the_circuit(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    daemon.fragile = True
    limits = 'breaker = { failures = 1, retry_after = "1h" }'
    policy = write_policy(tmp_path, limits=limits)
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        assert await remediator.post(alert()) == 202
        await remediator.decided("undrained", "group_hurt")
        assert daemon.effects == [OFF, ON]
        name = "ipmp_remediation_escalations_total"
        await remediator.counts(1, name, reason="group_hurt")
        await remediator.counts(1, "ipmp_remediation_consecutive_failures")
        assert await remediator.post(alert("ni1")) == 202
        await remediator.decided("refused", "breaker")
    async with InProcess(tmp_path, run_dir, policy) as remediator:  # it is remembered
        assert await remediator.post(alert("ni2")) == 202
        await remediator.decided("refused", "breaker")
        labels = {"action": "drain", "reason": "breaker"}
        await remediator.counts(1, "ipmp_remediation_refusals_total", **labels)
    assert daemon.effects == [OFF, ON]


@pytest.mark.checklist("7.1", 17)
@pytest.mark.checklist("7.1", 19)
async def test_limits_count_what_was_done_before_a_restart(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    policy = write_policy(tmp_path, limits='drained_group = 1\nrate_group = "1/1h"')
    first = alert()
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        assert await remediator.post(first, alert("ni1"), alert("ni2")) == 202
        await remediator.decided("refused", "concurrency_group")
        assert len(daemon.effects) == 1
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        drained = daemon.effects[0][1]
        assert await remediator.post(alert(drained, status="resolved")) == 202
        await until(lambda: len(daemon.effects) == 2, "it is brought back")
        await remediator.decided("refused", "rate_group")
        assert len(daemon.effects) == 2


@pytest.mark.checklist("7.1", 23)
async def test_a_storm_of_alerts_drains_nothing_more(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    policy = write_policy(tmp_path, limits='storm = { alerts = 3, within = "5m", calm = "10m" }')
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        assert await remediator.post(alert("ni0"), alert("ni1"), alert("ni2")) == 202
        await remediator.decided("refused", "storm")
        await remediator.counts(1, "ipmp_remediation_storm")
        assert daemon.requests == []


@pytest.mark.checklist("7.1", 45)
async def test_what_our_own_drain_causes_drains_nothing(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    policy = write_policy(tmp_path, limits='loop_guard = "1m"')
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        assert await remediator.post(alert(started=time.time() - 60)) == 202
        await remediator.decided("drained", "firing")
        assert await remediator.post(alert("ni1", name="GroupDegraded")) == 202
        await remediator.decided("refused", "loop_guard")
        assert await remediator.post(alert("ni0", name="InterfaceOffline")) == 202
        await remediator.decided("unchanged", "already_drained")
        assert daemon.effects == [OFF]


@pytest.mark.checklist("7.1", 33)
async def test_a_daemon_that_does_not_answer_in_time_is_asked_again(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_client, "OPERATION_TIMEOUT", 0.2)
    async with InProcess(tmp_path, run_dir, write_policy(tmp_path)) as remediator:
        daemon.before_effect.shut()
        assert await remediator.post(alert()) == 202
        await until(lambda: len(daemon.requests) >= 2, "it is asked again")
        daemon.before_effect.open()
        await remediator.decided("drained", "firing")
        assert daemon.effects == [OFF]
        assert len({request.request_id for _, _, request in daemon.requests}) == 1


async def test_an_alert_of_another_host_is_refused(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    policy = write_policy(
        tmp_path, extra='host_names = ["h1", "2001:db8::1"]\n', policy='host_label = "instance"'
    )
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        for instance, verdict in (
            ("h2:10088", ("refused", "other_host")),
            ("", ("refused", "missing_label")),
            ("h1.other:10088", ("refused", "other_host")),
            ("[2001:db8::2]:10088", ("refused", "other_host")),
        ):
            assert await remediator.post(alert(instance=instance)) == 202
            await remediator.decided(*verdict)
        assert daemon.requests == []
        assert await remediator.post(alert("ni1", instance="[2001:db8::1]:10088")) == 202
        await remediator.decided("drained", "firing")
        assert await remediator.post(alert(instance="h1:10088")) == 202
        await remediator.decided("drained", "firing")


async def test_policies_that_hold_bring_online_and_only_note(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    path = write_policy(tmp_path)
    more = "".join(
        f'[[policy]]\nname = "{word}"\nmatch = {{ remediation = "{word}" }}\naction = "{word}"\n'
        for word in ("hold", "online", "notify-only")
    )
    path.write_text(path.read_text() + more)
    async with InProcess(tmp_path, run_dir, path) as remediator:
        assert await remediator.post(alert(remediation="notify-only")) == 202
        await remediator.decided("noted", "notify_only")
        hold = alert("", name="Upgrade", remediation="hold")  # the whole group
        assert await remediator.post(hold) == 202
        assert await remediator.post(alert()) == 202
        await remediator.decided("refused", "alert_hold")
        assert daemon.requests == []
        assert await remediator.post(hold | {"status": "resolved"}) == 202
        await remediator.decided("drained", "firing")
        assert await remediator.post(alert(name="Tested", remediation="online")) == 202
        await remediator.decided("undrained", "alert_online")
        assert daemon.effects == [OFF, ON]


@pytest.mark.checklist("7.1", 26)
async def test_the_third_alert_within_the_time_acts(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    policy = write_policy(tmp_path, policy='threshold = "3/1h"')
    began = time.time() - 100
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        for count in (1, 2):
            firing = alert(started=began + 10 * count)
            assert await remediator.post(firing) == 202
            await remediator.decided("refused", "threshold")
            assert await remediator.post(firing | {"status": "resolved"}) == 202
            await remediator.decided("ignored", "nothing_drained")
        assert await remediator.post(alert(started=began + 50)) == 202
        await remediator.decided("drained", "firing")
        assert daemon.effects == [OFF]


@pytest.mark.checklist("7.1", 38)
@pytest.mark.checklist("7.1", 39)
async def test_every_decision_is_audited_with_what_it_was_about(
    remediator: InProcess, daemon: FakeDaemon
) -> None:
    firing = alert()
    assert await remediator.post(firing, alert("nope9"), alert(remediation="no")) == 202
    await remediator.decided("drained", "firing")
    records = await remediator.decisions()
    assert [r["id"] for r in records] == sorted(r["id"] for r in records)
    for record in records:
        assert record["time"] > 0
        assert record["sentence"]
        assert record["decision"]["reason"] in tuple(Reason)
    about = [r["decision"] for r in records if r["decision"].get("interface") == "ni0"]
    assert [d["kind"] for d in about] == ["queued", "drained"]
    assert all(d["fingerprint"] == firing["fingerprint"] for d in about)
    [(_, _, request)] = daemon.requests
    assert request.request_id
    assert daemon.offline["ni0"].request_id == request.request_id


@pytest.mark.checklist("7.1", 44)
async def test_it_asks_for_two_verbs_and_knows_no_netlink(
    remediator: InProcess, daemon: FakeDaemon
) -> None:
    firing = alert()
    assert await remediator.post(firing, alert("../../v1/pause"), alert("ni1/hold")) == 202
    await remediator.decided("drained", "firing")
    assert await remediator.post(firing | {"status": "resolved"}) == 202
    await remediator.decided("undrained", "resolved")
    assert {operation for operation, _, _ in daemon.requests} == {"offline", "online"}
    code = "import ipmp_remediator.main, sys, json; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    )
    assert not [name for name in loaded if name.startswith(("pyroute2", "ipmp.kernel"))]
