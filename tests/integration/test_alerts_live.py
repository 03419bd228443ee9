"""Alerts played for real: a fault in the lab, and what the real Prometheus fires."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from ipmp.lab.rules import prometheus_config, quickened
from ipmp.lab.stage import Stage
from tests.support.alerts import ALERTS, BY_NAME
from tests.support.lab import need_namespaces
from tests.support.story import Recorded
from tests.support.tools import need
from tests.support.wait import eventually

pytestmark = [pytest.mark.netns, pytest.mark.prometheus, pytest.mark.slow]

FIRED = {
    "IpmpDaemonDown": {},
    "IpmpFailover": {"group": "ipmp0"},
    "IpmpGroupDegraded": {"group": "ipmp0"},
    "IpmpGroupFailed": {"group": "ipmp0"},
    "IpmpGroupNoRedundancy": {"group": "ipmp0"},
    "IpmpInterfaceFailed": {"group": "ipmp0", "interface": "ni0"},
    "IpmpInterfaceFlapping": {"group": "ipmp0", "interface": "ni0", "remediation": "drain"},
    "IpmpInterfaceOfflineByRemediation": {"group": "ipmp0", "interface": "ni0"},
    "IpmpWatchdog": {},
    "IpmpWebhookAuthFailures": {},
}
FIRING = 'ALERTS{alertstate="firing"}'


@pytest.mark.parametrize("alert", FIRED)
def test_a_fault_in_the_lab_fires_the_alert(story: Recorded, alert: str) -> None:
    about = "remediator" if re.search("Webhook|Watchdog", alert) else "exporter"
    labels = {"instance": getattr(story, about), "severity": BY_NAME[alert]["labels"]["severity"]}
    seen = [row.labels for row in story.ever(FIRING) if row.labels["alertname"] == alert]
    assert any((FIRED[alert] | labels).items() <= found.items() for found in seen), seen


def test_nothing_else_fires(story: Recorded) -> None:
    assert {row.labels["alertname"] for row in story.ever(FIRING)} == set(FIRED)


@pytest.mark.parametrize(
    ("moment", "alerts"),
    [
        ("healthy", set()),
        ("one cable", {"IpmpInterfaceFailed", "IpmpGroupDegraded", "IpmpGroupNoRedundancy"}),
        ("both cables", {"IpmpGroupFailed", "IpmpInterfaceFailed"}),
        ("drained", {"IpmpInterfaceFlapping", "IpmpInterfaceOfflineByRemediation"}),
        ("killed", {"IpmpDaemonDown"}),
    ],
)
def test_alerts_fire_at_their_moment(story: Recorded, moment: str, alerts: set[str]) -> None:
    firing = {row.labels["alertname"] for row in story.at(moment, FIRING)}
    assert alerts <= firing
    others = {"IpmpGroupFailed", "IpmpDaemonDown", "IpmpInterfaceOfflineByRemediation"}
    assert not firing & (others - alerts)


def test_the_request_for_the_drain_came_through_alertmanager(story: Recorded) -> None:
    (told,) = story.at("drained", "ipmp_webhook_last_notification_timestamp_seconds")
    assert told.value > story.moments["both cables"]


LOSSY = """\
[groups.ipmp0]
interfaces = ["ni0", "ni1"]
failure_detection_time = "1s"
"""
QUICKER = 30.0
LOSS_PERCENT = 8  # in each direction: too little for five lost in a row
DRAINED_WITHIN = 150.0


def test_a_lossy_path_is_drained_while_the_other_one_is_clean() -> None:
    need_namespaces()
    need("prometheus")
    need("alertmanager")
    with (
        tempfile.TemporaryDirectory(prefix="ipmp-") as short,
        Stage(Path(short)) as stage,
    ):
        assert stage.prometheus
        assert stage.alertmanager
        (stage.directory / "ipmp.toml").write_text(LOSSY)
        assert stage.command("ipmp", "reload").returncode == 0
        rules = stage.directory / "quick.rules.yml"
        rules.write_text(quickened((ALERTS / "ipmp.rules.yml").read_text(), QUICKER))
        stage.prometheus.reload(
            prometheus_config(
                {"ipmp": [stage.exporter.removeprefix("http://")]},
                rules=[rules],
                alertmanager=stage.alertmanager.url.removeprefix("http://"),
                interval="500ms",
            )
        )
        stage.lab.fault("loss", "ni0", LOSS_PERCENT)

        def drained() -> bool:
            interface = stage.status().interface("ni0")
            assert interface is not None
            assert interface.offline is not None, interface
            return interface.offline.actor.startswith("remediator")

        assert eventually(drained, DRAINED_WITHIN, 0.2)
        (firing,) = stage.prometheus.query('ALERTS{remediation="drain", alertstate="firing"}')
        assert firing.labels["alertname"] == "IpmpProbeLossHigh"
        assert firing.labels["interface"] == "ni0"
