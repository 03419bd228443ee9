"""The metrics' page: complete from the start, and clean for promtool."""

from __future__ import annotations

import subprocess

import pytest

from ipmp_remediator.decision import REFUSAL_REASONS
from ipmp_remediator.metrics import Metrics
from tests.support.fake_control_daemon import FakeDaemon
from tests.support.remediator import InProcess, alert
from tests.support.tools import need


@pytest.mark.checklist("7.1", 40)
async def test_everything_starts_at_zero(remediator: InProcess) -> None:
    for action in ("drain", "undrain"):
        for reason in REFUSAL_REASONS:
            name = "ipmp_remediation_refusals_total"
            assert await remediator.metric(name, action=action, reason=reason) == 0
    for group in ("ipmp0", "ipmp1"):
        name = "ipmp_remediation_drained_interfaces"
        assert await remediator.metric(name, group=group) == 0
    assert await remediator.metric("ipmp_webhook_last_notification_timestamp_seconds") == 0
    _, text, headers = await remediator.request("GET", "/metrics", token=None)
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "_created" not in text


@pytest.mark.parametrize("accept", ["application/openmetrics-text;version=abc", "*/*;q=x", ""])
async def test_no_accept_header_makes_an_error(remediator: InProcess, accept: str) -> None:
    status, text, _ = await remediator.request("GET", "/metrics", headers={"Accept": accept})
    assert status == 200
    assert "# EOF" not in text


def test_two_remediators_in_one_process_share_nothing() -> None:
    first, second = Metrics(), Metrics()
    first.pending.set(3)
    assert b"ipmp_remediation_pending 0.0" in second.render()


@pytest.mark.prometheus
@pytest.mark.checklist("7.1", 40)
async def test_promtool_finds_nothing_to_say(remediator: InProcess, daemon: FakeDaemon) -> None:
    assert await remediator.post(alert(), alert("nope9")) == 202
    await remediator.decided("drained", "firing")
    _, text, _ = await remediator.request("GET", "/metrics", token=None)
    result = subprocess.run(
        [need("promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
