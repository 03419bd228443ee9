"""Alerts played for real: a fault in the lab, and what the real Prometheus fires."""

from __future__ import annotations

import re

import pytest

from tests.support.alerts import BY_NAME
from tests.support.story import Recorded

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
