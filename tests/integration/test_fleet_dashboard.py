"""The fleet's dashboard over 300 hosts: a real Prometheus, filled with what exporters expose."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

import pytest

from ipmp.lab.monitoring import Prometheus, Sample
from ipmp.lab.rules import prometheus_config
from tests.support.alerts import ALERTS
from tests.support.dashboards import DIRECTORY, interpolate, load, panel_queries
from tests.support.tools import need
from tests.support.wait import eventually

pytestmark = [pytest.mark.prometheus, pytest.mark.slow]

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
HOSTS = {"healthy": 270, "offline": 20, "daemon_away": 7, "failed": 3}
SAMPLES, APART = 4, 15  # seconds
EXPRESSIONS = {
    query.panel["title"]: query.expression
    for query in panel_queries(load(DIRECTORY / "ipmp-fleet.json"))
}


def openmetrics(ended: float) -> Iterator[str]:
    """Yield the scrapes of all hosts, until `ended`, as promtool reads them."""
    states = chain.from_iterable(repeat(state, count) for state, count in HOSTS.items())
    for number, state in enumerate(states):
        target = f'job="ipmp",instance="host{number:03}:10088"'
        for line in (GOLDEN / f"exporter_{state}.txt").read_text().splitlines():
            if not line or line.startswith("#"):
                continue
            series, value = line.rsplit(" ", 1)
            name, _, labels = series.partition("{")
            labels = labels.rstrip("}")
            for sample in reversed(range(SAMPLES)):
                when = ended - sample * APART
                yield f"{name}{{{target}{',' if labels else ''}{labels}}} {value} {when:.0f}\n"
    yield "# EOF\n"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    promtool = need("promtool")
    need("prometheus")
    directory = tmp_path_factory.mktemp("fleet")
    scrapes = directory / "scrapes.om"
    with scrapes.open("w") as out:
        out.writelines(openmetrics(time.time()))
    command = (promtool, "tsdb", "create-blocks-from", "openmetrics", scrapes, directory / "data")
    subprocess.run(command, check=True, capture_output=True)
    config = prometheus_config({}, rules=[ALERTS / "ipmp.rules.yml"])
    with Prometheus(config, directory) as running:
        eventually(lambda: running.query("job:ipmp_group_state:count"), 30)
        yield running


def shown(prometheus: Prometheus, title: str) -> list[Sample]:
    return prometheus.query(interpolate(EXPRESSIONS[title], __range="2m", __rate_interval="1m"))


@pytest.mark.parametrize(
    ("title", "number"),
    [
        ("Hosts", 300),
        ("Daemons down", 7),
        ("Groups failed", 3),
        ("Groups on one interface", 20),
        ("Interfaces failed", 3),
        ("Interfaces offline", 20),
        ("Addresses away", 2 * 20 + 2 * 3),
        ("Remediation paused", 20),
    ],
)
def test_numbers_count_every_host(prometheus: Prometheus, title: str, number: int) -> None:
    (sample,) = shown(prometheus, title)
    assert sample.value == number


def test_only_groups_in_trouble_are_listed_and_the_worst_come_first(
    prometheus: Prometheus,
) -> None:
    rows = shown(prometheus, "Groups that need attention")
    assert [row.value for row in rows] == [3] * 3 + [2] * 20
    drawn = shown(prometheus, "Groups that were not well")
    assert {row.labels["instance"] for row in drawn} == {row.labels["instance"] for row in rows}


def test_states_are_counted_in_a_handful_of_series(prometheus: Prometheus) -> None:
    groups = {
        row.labels["ipmp_group_state"]: row.value for row in shown(prometheus, "Groups by state")
    }
    assert groups == {"ok": 2 * 270 + 20 + 3, "degraded": 20, "failed": 3}
    assert len(shown(prometheus, "Interfaces by state")) == 4
