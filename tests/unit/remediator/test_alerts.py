"""From an alert to its effect and back: dedup, order, ownership, refusals, dry run."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from ipmp.model import HoldIntent
from tests.support.fake_control_daemon import FakeDaemon
from tests.support.remediator import InProcess, alert, until, write_policy

OFF, ON = ("offline", "ni0"), ("online", "ni0")


async def _drain(remediator: InProcess, **fields: object) -> dict[str, object]:
    """Post a firing alert and wait until it has drained ni0."""
    firing = alert(**fields)
    assert await remediator.post(firing) == 202
    await remediator.decided("drained", "firing")
    return firing


def _resolved(firing: dict[str, object]) -> dict[str, object]:
    return firing | {"status": "resolved", "endsAt": alert(status="resolved")["endsAt"]}


@pytest.mark.checklist("7.1", 1)
@pytest.mark.checklist("7.1", 16)
async def test_firing_drains_and_resolved_brings_back(
    remediator: InProcess, daemon: FakeDaemon
) -> None:
    firing = await _drain(remediator)
    assert daemon.effects == [OFF]
    await remediator.counts(1, "ipmp_remediation_drained_interfaces", group="ipmp0")
    [(_, _, request)] = daemon.requests
    assert request.actor == "remediator"
    assert "IpmpProbeLossHigh" in request.reason
    assert str(firing["fingerprint"]) in request.reason

    assert await remediator.post(_resolved(firing)) == 202
    await remediator.decided("undrained", "resolved")
    assert daemon.effects == [OFF, ON]
    await remediator.counts(0, "ipmp_remediation_drained_interfaces", group="ipmp0")
    for action in ("drain", "undrain"):
        await remediator.counts(1, "ipmp_remediation_actions_total", action=action)
        await remediator.counts(1, "ipmp_remediation_requests_total", action=action)
    for status in ("firing", "resolved"):
        name = "ipmp_webhook_alerts_received_total"
        await remediator.counts(1, name, status=status)


@pytest.mark.checklist("7.1", 14)
async def test_fifty_deliveries_are_one_action(remediator: InProcess, daemon: FakeDaemon) -> None:
    firing = alert()
    statuses = await asyncio.gather(*(remediator.post(firing) for _ in range(50)))
    assert set(statuses) == {202}
    assert await remediator.post(firing, firing, firing) == 202  # and within one notification
    await remediator.counts(0, "ipmp_remediation_pending")
    assert daemon.effects == [OFF]
    assert len(daemon.requests) == 1
    name = "ipmp_webhook_alerts_duplicate_total"
    await remediator.counts(52, name, status="firing")
    assert (await remediator.verdicts()).count(("ignored", "duplicate")) == 52


@pytest.mark.checklist("7.1", 2)
async def test_each_alert_is_judged_by_itself(remediator: InProcess, daemon: FakeDaemon) -> None:
    """A firing group may hold resolved alerts; the top-level status says nothing."""
    firing = await _drain(remediator)
    assert await remediator.post(_resolved(firing), alert("ni1"), alert("nope9")) == 202
    await remediator.counts(0, "ipmp_remediation_pending")
    await until(lambda: len(daemon.effects) == 3, "both are done")
    assert daemon.effects == [OFF, ON, ("offline", "ni1")]
    assert ("refused", "unknown_object") in await remediator.verdicts()


async def test_flips_end_as_the_last_news_says(remediator: InProcess, daemon: FakeDaemon) -> None:
    now = time.time() - 600
    for episode in range(5):
        firing = alert(started=now + 60 * episode)
        assert await remediator.post(firing) == 202
        ended = alert(status="resolved", started=now + 60 * episode, ended=now + 60 * episode + 30)
        assert await remediator.post(ended) == 202
    await remediator.rests()
    assert "ni0" not in daemon.offline
    assert daemon.effects == [OFF, ON] * (len(daemon.effects) // 2)

    assert await remediator.post(alert(started=now + 500)) == 202
    await remediator.decided("drained", "firing")
    assert "ni0" in daemon.offline


@pytest.mark.checklist("7.1", 15)
async def test_reordered_deliveries_end_like_ordered_ones(
    remediator: InProcess, daemon: FakeDaemon
) -> None:
    """Every alert has ended, so whatever the order, nothing stays drained."""
    start = time.time() - 600
    news = []
    for episode in range(6):
        began, ended = start + 60 * episode, start + 60 * episode + 30
        news.append(alert(started=began))
        news.append(alert(status="resolved", started=began, ended=ended))
    deliveries = news * 3
    random.Random(7).shuffle(deliveries)
    # The sender repeats what it has not delivered: the last news is at the end in any case.
    for delivery in [*deliveries, news[-1]]:
        assert await remediator.post(delivery) == 202
    await remediator.rests()
    assert "ni0" not in daemon.offline


@pytest.mark.checklist("7.1", 15)
async def test_firing_after_its_own_resolution_is_stale(
    remediator: InProcess, daemon: FakeDaemon
) -> None:
    firing = await _drain(remediator)
    await remediator.post(_resolved(firing))
    await remediator.decided("undrained", "resolved")
    assert await remediator.post(firing) == 202
    await remediator.decided("refused", "stale")
    assert daemon.effects == [OFF, ON]
    labels = {"action": "drain", "reason": "stale"}
    await remediator.counts(1, "ipmp_remediation_refusals_total", **labels)


async def test_resolution_overtakes_its_firing(remediator: InProcess, daemon: FakeDaemon) -> None:
    firing = alert()
    assert await remediator.post(_resolved(firing)) == 202
    await remediator.decided("ignored", "nothing_drained")
    assert await remediator.post(firing) == 202
    await remediator.decided("refused", "stale")
    assert daemon.requests == []


async def test_resolution_of_an_earlier_episode_is_stale(
    remediator: InProcess, daemon: FakeDaemon
) -> None:
    began = time.time() - 100
    await _drain(remediator, started=began)
    late = alert(status="resolved", started=began - 60, ended=began - 30)
    assert await remediator.post(late) == 202
    await remediator.decided("refused", "stale")
    assert daemon.effects == [OFF]


async def test_resolution_with_a_merged_start_counts(
    remediator: InProcess, daemon: FakeDaemon
) -> None:
    """Two Prometheis began at different times: Alertmanager names the earlier start at the end."""
    began = time.time() - 100
    await _drain(remediator, started=began)
    assert await remediator.post(alert(status="resolved", started=began - 5)) == 202
    await remediator.decided("undrained", "resolved")
    assert daemon.effects == [OFF, ON]


@pytest.mark.checklist("7.1", 15)
async def test_an_old_alert_is_not_acted_on(remediator: InProcess, daemon: FakeDaemon) -> None:
    assert await remediator.post(alert(started=time.time() - 3700)) == 202
    await remediator.decided("refused", "stale")
    assert await remediator.post(alert("ni1", started=time.time() + 3600)) == 202
    await remediator.decided("refused", "clock_skew")
    assert daemon.requests == []


async def test_the_end_of_a_long_episode_counts(
    remediator: InProcess, daemon: FakeDaemon, tmp_path: Path
) -> None:
    firing = await _drain(remediator, started=time.time() - 60)
    policy = write_policy(tmp_path)
    policy.write_text(policy.read_text().replace('"1h"', '"10s"'))
    assert remediator.remediator.reload()
    assert await remediator.post(_resolved(firing)) == 202
    await remediator.decided("undrained", "resolved")
    assert daemon.effects == [OFF, ON]


@pytest.mark.parametrize(
    ("fields", "kind", "reason"),
    [
        ({"interface": "nope9"}, "refused", "unknown_object"),  # neither allowed nor existing
        ({"interface": "gone0"}, "refused", "unknown_object"),  # allowed, unknown to the daemon
        ({"group": "ipmp7"}, "refused", "not_allowed"),
        ({"group": "ipmp1"}, "refused", "not_in_group"),  # allowed, but a member of ipmp0
        ({"interface": ""}, "refused", "missing_label"),
        ({"interface": "../../v1/pause?"}, "refused", "unknown_object"),
        ({"remediation": "none"}, "ignored", "no_policy"),
        ({"remediation": "drain2"}, "ignored", "no_policy"),
    ],
)
@pytest.mark.checklist("7.1", 31)
async def test_what_is_not_allowed_is_recorded_and_changes_nothing(
    remediator: InProcess, daemon: FakeDaemon, fields: dict[str, str], kind: str, reason: str
) -> None:
    await until(lambda: remediator.remediator.members is not None, "the daemon was looked at")
    assert await remediator.post(alert(**fields)) == 202
    await remediator.decided(kind, reason)
    assert daemon.requests == []
    assert daemon.effects == []
    if kind == "refused":
        labels = {"action": "drain", "reason": reason}
        await remediator.counts(1, "ipmp_remediation_refusals_total", **labels)


@pytest.mark.checklist("7.1", 21)
async def test_the_last_usable_interface_is_refused_until_another_is_back(
    remediator: InProcess, daemon: FakeDaemon
) -> None:
    assert await remediator.post(alert("ni1"), alert("ni2")) == 202
    await until(lambda: len(daemon.effects) == 2, "two are drained")
    last = alert("ni0")
    assert await remediator.post(last) == 202
    await remediator.decided("refused", "min_usable")
    labels = {"action": "drain", "reason": "min_usable"}
    await remediator.counts(1, "ipmp_remediation_refusals_total", **labels)
    assert "ni0" not in daemon.offline

    assert await remediator.post(alert("ni1", status="resolved")) == 202
    await remediator.decided("drained", "firing")  # nobody had to send it again
    assert daemon.effects[2:] == [("online", "ni1"), OFF]


@pytest.mark.checklist("7.1", 32)
async def test_what_an_operator_took_offline_stays_so(
    remediator: InProcess, daemon: FakeDaemon
) -> None:
    daemon.operator_offline("ni0")
    firing = alert()
    assert await remediator.post(firing) == 202
    await remediator.decided("unchanged", "already_offline")
    await remediator.counts(0, "ipmp_remediation_drained_interfaces", group="ipmp0")
    assert await remediator.post(_resolved(firing)) == 202
    await remediator.decided("ignored", "nothing_drained")
    assert daemon.effects == []
    assert "ni0" in daemon.offline


@pytest.mark.checklist("7.1", 32)
async def test_an_operator_who_takes_over_our_drain_keeps_it(
    remediator: InProcess, daemon: FakeDaemon
) -> None:
    firing = await _drain(remediator)
    daemon.operator_online("ni0")
    daemon.operator_offline("ni0")
    assert await remediator.post(_resolved(firing)) == 202
    await remediator.decided("forgotten", "operator")
    assert daemon.effects == [OFF]
    await remediator.counts(0, "ipmp_remediation_drained_interfaces", group="ipmp0")


async def test_what_an_operator_brought_online_is_not_drained_again(
    remediator: InProcess, daemon: FakeDaemon
) -> None:
    firing = await _drain(remediator)
    daemon.operator_online("ni0")
    assert await remediator.post(firing) == 202
    await remediator.decided("forgotten", "already_online")
    assert await remediator.post(_resolved(firing)) == 202
    await remediator.decided("ignored", "nothing_drained")
    assert daemon.effects == [OFF]


async def test_an_interface_stays_offline_until_its_last_alert_is_resolved(
    remediator: InProcess, daemon: FakeDaemon
) -> None:
    first = await _drain(remediator, name="First")
    second = alert(name="Second")
    assert await remediator.post(second) == 202
    await remediator.decided("unchanged", "already_drained")
    assert await remediator.post(_resolved(first)) == 202
    await remediator.decided("ignored", "other_alert_open")
    assert daemon.effects == [OFF]
    assert await remediator.post(_resolved(second)) == 202
    await remediator.decided("undrained", "resolved")
    assert daemon.effects == [OFF, ON]


async def test_an_alert_that_drained_nothing_undoes_nothing(
    remediator: InProcess, daemon: FakeDaemon
) -> None:
    await _drain(remediator, name="First")
    second = alert(name="Second")
    assert await remediator.post(second, _resolved(second)) == 202
    await remediator.counts(0, "ipmp_remediation_pending")
    assert daemon.effects == [OFF]
    assert "ni0" in daemon.offline


async def test_a_hold_refuses_a_drain_and_delays_an_undrain(
    remediator: InProcess, daemon: FakeDaemon
) -> None:
    firing = await _drain(remediator)
    daemon.holds["ni0"] = daemon.holds["ni1"] = HoldIntent("swap", "root", time.time())
    assert await remediator.post(alert("ni1")) == 202
    await remediator.decided("refused", "held")
    assert await remediator.post(_resolved(firing)) == 202
    await remediator.counts(1, "ipmp_remediation_refusals_total", action="undrain", reason="held")
    assert daemon.effects == [OFF]
    daemon.holds.clear()
    await remediator.decided("drained", "firing")  # and what was refused follows
    assert daemon.effects == [OFF, ON, ("offline", "ni1")]


@pytest.mark.checklist("7.1", 29)
async def test_a_pause_refuses_a_drain_and_delays_an_undrain(
    remediator: InProcess, daemon: FakeDaemon
) -> None:
    firing = await _drain(remediator)
    daemon.paused = HoldIntent("change window", "root", time.time())
    assert await remediator.post(alert("ni1")) == 202
    await remediator.decided("refused", "paused")
    assert await remediator.post(_resolved(firing)) == 202
    await remediator.counts(1, "ipmp_remediation_refusals_total", action="undrain", reason="paused")
    assert daemon.effects == [OFF]
    daemon.paused = None
    await remediator.decided("drained", "firing")  # and what was refused follows
    assert daemon.effects == [OFF, ON, ("offline", "ni1")]


@pytest.mark.checklist("7.1", 34)
async def test_a_busy_daemon_is_asked_again(remediator: InProcess, daemon: FakeDaemon) -> None:
    daemon.busy = 2
    assert await remediator.post(alert()) == 202
    await remediator.decided("drained", "firing")
    assert daemon.effects == [OFF]
    assert len({request.request_id for _, _, request in daemon.requests}) == 3
    assert (await remediator.verdicts()).count(("refused", "busy")) == 1


@pytest.mark.parametrize("name", ["a\nb\x1b[2J", "x" * 2000, ""])
async def test_odd_alert_names_are_no_obstacle(
    remediator: InProcess, daemon: FakeDaemon, name: str
) -> None:
    await _drain(remediator, name=name)
    assert daemon.effects == [OFF]


@pytest.mark.checklist("7.1", 34)
async def test_jobs_wait_for_the_daemon(tmp_path: Path, run_dir: Path) -> None:
    daemon = FakeDaemon(run_dir, {"ipmp0": ("ni0", "ni1")})
    async with InProcess(tmp_path, run_dir, write_policy(tmp_path)) as remediator:
        assert await remediator.post(alert()) == 202
        await remediator.decided("waiting", "daemon_unreachable")
        await remediator.counts(1, "ipmp_remediation_pending")
        failures = "ipmp_remediation_action_failures_total"
        await remediator.counts(1, failures, action="drain")
        await daemon.start()
        try:
            await remediator.decided("drained", "firing")
            assert daemon.effects == [OFF]
        finally:
            await daemon.stop()


async def test_resolved_while_the_daemon_was_away_drains_nothing(
    tmp_path: Path, run_dir: Path
) -> None:
    daemon = FakeDaemon(run_dir, {"ipmp0": ("ni0", "ni1")})
    async with InProcess(tmp_path, run_dir, write_policy(tmp_path)) as remediator:
        firing = alert()
        assert await remediator.post(firing) == 202
        assert await remediator.post(_resolved(firing)) == 202
        await daemon.start()
        try:
            await until(lambda: remediator.remediator.members is not None, "the daemon is seen")
            await remediator.decided("ignored", "nothing_drained")
            assert daemon.requests == []
        finally:
            await daemon.stop()


@pytest.mark.checklist("7.1", 25)
async def test_hold_down_waits_and_a_new_episode_ends_it(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    policy = write_policy(tmp_path, hold_down="700ms")
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        firing = await _drain(remediator, started=time.time() - 60)
        assert await remediator.post(_resolved(firing)) == 202
        again = alert()
        assert await remediator.post(again) == 202
        await remediator.decided("unchanged", "already_drained")
        assert daemon.effects == [OFF]

        assert await remediator.post(_resolved(again)) == 202
        resolved_at = time.monotonic()
        await remediator.decided("undrained", "resolved")
        assert time.monotonic() - resolved_at >= 0.65
        assert daemon.effects == [OFF, ON]


@pytest.mark.checklist("7.1", 27)
async def test_dry_run_asks_and_changes_nothing(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    async with InProcess(tmp_path, run_dir, write_policy(tmp_path, dry_run=True)) as remediator:
        firing = alert()
        assert await remediator.post(firing) == 202
        await remediator.decided("refused", "dry_run")
        assert await remediator.post(_resolved(firing)) == 202
        await remediator.decided("ignored", "nothing_drained")
        await remediator.counts(1, "ipmp_remediation_dry_run")
        assert daemon.effects == []
        assert [request.dry_run for _, _, request in daemon.requests] == [True]

        write_policy(tmp_path, dry_run=False)
        assert remediator.remediator.reload()
        await remediator.counts(0, "ipmp_remediation_dry_run")
        await _drain(remediator)
        assert daemon.effects == [OFF]


async def test_a_repeat_acts_once_dry_run_is_over(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    async with InProcess(tmp_path, run_dir, write_policy(tmp_path, dry_run=True)) as remediator:
        firing = alert()
        assert await remediator.post(firing) == 202
        await remediator.decided("refused", "dry_run")
        write_policy(tmp_path, dry_run=False)
        assert remediator.remediator.reload()
        assert await remediator.post(firing) == 202
        await remediator.decided("drained", "firing")
        assert daemon.effects == [OFF]


async def test_what_an_old_policy_drained_is_undone_under_a_new_one(
    remediator: InProcess, daemon: FakeDaemon, tmp_path: Path
) -> None:
    firing = await _drain(remediator)
    policy = write_policy(tmp_path)
    policy.write_text(policy.read_text().replace('"drain" }', '"other" }').replace("ni0", "ni9"))
    assert remediator.remediator.reload()
    assert await remediator.post(_resolved(firing)) == 202
    await remediator.decided("undrained", "resolved")
    assert daemon.effects == [OFF, ON]


async def test_a_drain_that_an_operator_ended_is_forgotten_at_the_next_start(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    policy = write_policy(tmp_path)
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        await _drain(remediator)
    daemon.operator_online("ni0")
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        await remediator.decided("forgotten", "already_online")
        name = "ipmp_remediation_drained_interfaces"
        await remediator.counts(0, name, group="ipmp0")
