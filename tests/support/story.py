"""A story in the lab, played for real and recorded by a real Prometheus.

Everything is the product's own: `mpathd` in the lab's host, exporter, remediator, shipped rules
(made quick), Alertmanager. Tests look at what Prometheus holds when the story is over: which alerts
have fired, and what each query of a dashboard says about each of its moments.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from ipmp.lab.monitoring import Prometheus, Sample
from ipmp.lab.rules import prometheus_config, quickened
from ipmp.lab.stage import QUICKER, SCRAPE, Stage
from ipmp.lab.topology import HOST
from tests.support.alerts import RULES
from tests.support.lab import need_namespaces
from tests.support.remediator import alert, notification
from tests.support.tools import need
from tests.support.wait import eventually

WITHIN = 60.0  # seconds for an alert to fire or to end; it takes a few
FLAPS = 5
FLAP_SECONDS = 0.5  # down, and up again: each flap must be told as one
STRANGERS = 8  # requests with a wrong token

# The shortest windows of these are a minute, which must still hold four scrapes.
FACTORS = {"ipmp-daemon.rules.yml": 30.0, "ipmp-remediation.rules.yml": 30.0}


class Recorded(NamedTuple):
    """What Prometheus holds after the story, and when each moment of it was."""

    prometheus: Prometheus
    exporter: str  # host:port, the label `instance`
    remediator: str
    moments: dict[str, float]  # Unix times

    def at(self, moment: str, expression: str) -> list[Sample]:
        """Return the instant vector that an expression gave at a moment of the story."""
        answer = self.prometheus.get("/api/v1/query", query=expression, time=self.moments[moment])
        rows = answer["data"]["result"]
        return [Sample(row["metric"], float(row["value"][1])) for row in rows]

    def ever(self, expression: str) -> list[Sample]:
        """Return the greatest number that each series of an expression had during the story."""
        began, ended = min(self.moments.values()) - 2, max(self.moments.values()) + 1
        answer = self.prometheus.get(
            "/api/v1/query_range", query=expression, start=began, end=ended, step=0.5
        )
        series = (
            (row["metric"], [float(v) for _, v in row["values"] if v != "NaN"])
            for row in answer["data"]["result"]
        )
        return [Sample(labels, max(numbers)) for labels, numbers in series if numbers]


@contextmanager
def recorded_story(directory: Path) -> Iterator[Recorded]:
    """Play the story in `directory` and yield what was recorded."""
    need_namespaces()
    need("prometheus")
    need("alertmanager")
    with Stage(directory) as stage:
        assert stage.prometheus
        assert stage.alertmanager
        exporter = stage.exporter.removeprefix("http://")
        remediator = stage.remediator.removeprefix("http://")
        quick = [directory / f"quick-{path.name}" for path in RULES]
        for path, made in zip(RULES, quick, strict=True):
            factor = FACTORS.get(path.name, QUICKER)
            made.write_text(quickened(path.read_text(), factor))
        stage.prometheus.reload(
            prometheus_config(
                {"ipmp": [exporter], "ipmp_remediator": [remediator]},
                rules=quick,
                alertmanager=stage.alertmanager.url.removeprefix("http://"),
                interval=SCRAPE,
            )
        )
        moments = _Play(stage, stage.prometheus).play()
        yield Recorded(stage.prometheus, exporter, remediator, moments)


class _Play:
    """The scenes; each ends when Prometheus has seen what it is about."""

    def __init__(self, stage: Stage, prometheus: Prometheus) -> None:
        self.stage = stage
        self.prometheus = prometheus
        self.moments: dict[str, float] = {}

    def play(self) -> dict[str, float]:
        self._healthy()
        self._one_cable()
        self._both_cables()
        self._flapping()
        self._strangers()
        self._killed()
        return self.moments

    def _healthy(self) -> None:
        self._until("count_over_time(ipmp_up[1m]) > 4")
        self._until("count_over_time(ipmp_remediation_dry_run[1m]) > 4")
        self._now("healthy")

    def _one_cable(self) -> None:
        """The cable of ni0 is pulled for long enough, and plugged in again."""
        self.stage.lab.fault("cable-pull", "ni0")
        for name in ("IpmpInterfaceFailed", "IpmpGroupDegraded", "IpmpGroupNoRedundancy"):
            self._until_firing(name)
        self._now("one cable")
        self.stage.lab.repair("ni0")
        self._until('ipmp_group_state{ipmp_group_state="ok"} == 1')
        self._now("plugged in")

    def _both_cables(self) -> None:
        for nic in ("ni1", "ni0"):  # the one that carries the addresses last: they stay there
            self.stage.lab.fault("cable-pull", nic)
        self._until_firing("IpmpGroupFailed")
        self._now("both cables")
        for nic in ("ni0", "ni1"):
            self.stage.lab.repair(nic)
        self._until('ipmp_group_state{ipmp_group_state="ok"} == 1')

    def _flapping(self) -> None:
        """The link of ni0 flaps: alert, drain by the remediator, recovery, return."""
        for _ in range(FLAPS):
            self.stage.lab.fault("cable-pull", "ni0")
            time.sleep(FLAP_SECONDS)
            self.stage.lab.repair("ni0")
            time.sleep(FLAP_SECONDS)
        self._until_firing("IpmpInterfaceOfflineByRemediation")
        self._until("ipmp_remediation_drained_interfaces == 1")
        refused = self.stage.command("if_mpadm", "-d", "ni1")
        assert refused.returncode == 1, "ni1 is the last usable interface"
        self._until('ipmp_operation_failures_total{reason="minimum-redundancy"} > 0')
        self._now("drained")
        self._until('ipmp_interface_state{interface="ni0", ipmp_interface_state="ok"} == 1')
        self._until("ipmp_remediation_drained_interfaces == 0")
        self._now("returned")

    def _strangers(self) -> None:
        """Somebody posts with a wrong token, and an alert asks for what is not allowed."""
        for _ in range(STRANGERS):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                self._post("wrong", b"{}")
        token = (self.stage.directory / "token").read_text()
        self._post(token, json.dumps(notification(alert("ni9"))).encode())
        self._until_firing("IpmpWebhookAuthFailures")
        self._until("ipmp_remediation_refusals_total > 0")
        self._now("refused")

    def _post(self, token: str, body: bytes) -> None:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.stage.remediator}/alerts", body, headers)
        urllib.request.urlopen(request, timeout=5).close()

    def _killed(self) -> None:
        pid = self.stage.status().daemon.pid  # as the lab's own pid namespace counts
        self.stage.lab.run(HOST, ("sh", "-c", f"kill -KILL {pid}"))
        self._until_firing("IpmpDaemonDown")
        self.moments["killed"] = time.time()

    def _now(self, moment: str) -> None:
        """Note the time as soon as the recording rules, too, have seen what was waited for."""
        self._until(f"timestamp(job:ipmp_group_state:count) > {time.time()}")
        self.moments[moment] = time.time()

    def _until(self, expression: str) -> None:
        def seen() -> bool:
            assert self.prometheus.query(expression), f"not seen: {expression}"
            return True

        eventually(seen, WITHIN, 0.1)

    def _until_firing(self, name: str) -> None:
        self._until(f'ALERTS{{alertname="{name}", alertstate="firing"}}')
