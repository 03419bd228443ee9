"""The example for Alertmanager, in a real one: what says more silences what says less."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from ipmp.lab.monitoring import Alertmanager
from tests.support.alerts import ALERTS
from tests.support.tools import need
from tests.support.wait import eventually

pytestmark = [pytest.mark.prometheus]

GROUP = {"job": "ipmp", "instance": "db7:10088", "group": "ipmp0"}
DRAIN = {"interface": "ni0", "remediation": "drain"}


def test_the_worst_alert_about_a_group_silences_the_lesser_ones_but_no_drain(
    tmp_path: Path,
) -> None:
    need("alertmanager")
    told = [
        {"alertname": "IpmpGroupNoRedundancy", **GROUP},
        {"alertname": "IpmpGroupDegraded", **GROUP},
        {"alertname": "IpmpGroupDegraded", **GROUP, "group": "storage"},
        {"alertname": "IpmpInterfaceFlapping", **GROUP, **DRAIN},
    ]
    example = (ALERTS / "alertmanager.example.yml").read_text()
    unreachable = example.replace("http://localhost:10089/", "http://127.0.0.1:9/")
    with Alertmanager(unreachable, tmp_path) as alertmanager:
        body = json.dumps([{"labels": labels} for labels in told]).encode()
        headers = {"Content-Type": "application/json"}
        post = urllib.request.Request(f"{alertmanager.url}/api/v2/alerts", body, headers)
        urllib.request.urlopen(post, timeout=5).close()

        def suppressed() -> list[tuple[str, str]]:
            alerts = [a for a in alertmanager.alerts() if a["status"]["state"] != "unprocessed"]
            assert len(alerts) == len(told)
            silent = [a["labels"] for a in alerts if a["status"]["state"] == "suppressed"]
            return [(labels["alertname"], labels["group"]) for labels in silent]

        assert eventually(suppressed, 20) == [("IpmpGroupDegraded", "ipmp0")]
