"""Conventions of the Prometheus world that hold for all metrics at once, whatever the state."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ipmp.model import Status
from ipmp_exporter.collectors import SUBJECTS
from ipmp_exporter.daemon import Reading
from ipmp_exporter.exposition import VERSION, about_scrape, exposition
from ipmp_exporter.flags import parser
from ipmp_exporter.negotiation import choose_format
from ipmp_exporter.selection import Selection
from tests.support import exporter_statuses as statuses

OPENMETRICS = choose_format("application/openmetrics-text;version=1.0.0")

DECLARED = [family for subject in SUBJECTS for family in subject.families]


def families(status: Status | None) -> list[Metric]:
    body = exposition(Reading(status, 0.001), OPENMETRICS, Selection(SUBJECTS))
    return list(text_string_to_metric_families(body.decode()))


def series(status: Status) -> int:
    return sum(len(family.samples) for family in families(status))


@pytest.mark.checklist("7.2", 1, 2)
def test_what_is_not_called_ipmp_is_about_the_process() -> None:
    for family in families(statuses.offline()):
        assert family.name.startswith(("ipmp_", "process_"))
    for family in DECLARED:
        assert re.match(r"ipmp_(?!process_|scrape_)", family.name)


@pytest.mark.checklist("7.2", 4, 8)
def test_no_percent_no_ratio_and_no_age() -> None:
    for family in DECLARED:
        assert not re.search(r"percent|ratio$|_age$|_since|uptime|_ago", family.name)
        if "time at which" in family.help:
            assert re.search(r"_timestamp_seconds$|_start_time_seconds$", family.name)


@pytest.mark.checklist("7.2", 13, 14)
def test_counters_have_neither_a_state_nor_an_outcome_in_a_label() -> None:
    for family in DECLARED:
        if family.name.endswith("_total"):
            forbidden = {"state", "status", "success", "failed", "result", "outcome"}
            assert not forbidden & set(family.labels)
            assert not any(label.endswith("_state") for label in family.labels)
    names = {family.name for family in DECLARED}
    for failures in filter(re.compile(r".*_failures_total").fullmatch, names):
        stem = failures.removesuffix("_failures_total")
        assert {f"{stem}_total", f"{stem}s_total", f"{stem}s_sent_total"} & names, failures


@pytest.mark.checklist("7.2", 16)
def test_no_value_of_a_label_stands_for_all_others() -> None:
    for family in families(statuses.offline()):
        for sample in family.samples:
            assert not {"total", "all", "any", "sum"} & set(sample.labels.values())
        by_name = {s.name: set() for s in family.samples}
        for sample in family.samples:
            by_name[sample.name].add(frozenset(sample.labels))
        assert all(len(labels) == 1 for labels in by_name.values()), family.name


@pytest.mark.checklist("7.2", 23)
def test_scrapes_are_not_counted() -> None:
    kinds = {metric.type for metric in about_scrape({"": (0.0, True)}, up=True)}
    assert kinds == {"gauge", "info"}


@pytest.mark.checklist("7.2", 31)
@pytest.mark.parametrize("status", [statuses.healthy(), None], ids=["healthy", "away"])
def test_no_series_tells_when_another_was_created(status: Status | None) -> None:
    samples = [sample.name for family in families(status) for sample in family.samples]
    assert samples
    assert not [name for name in samples if name.endswith("_created")]


@pytest.mark.checklist("7.2", 33)
def test_so_many_series_as_the_reference_says() -> None:
    """docs/metrics.md: 40 a group, 45 a member, 20 a probed path, 150 besides, 3 + m an address."""
    for members, addresses in ((2, 64), (4, 64), (4, 2000)):
        status = statuses.many(members, addresses)
        bound = 40 + 45 * members + 150 + addresses * (3 + members)
        assert bound - 150 < series(status) <= bound
    status = statuses.healthy()
    paths = sum(len(i.probes) for i in status.interfaces)
    assert series(status) <= 40 * 2 + 45 * 4 + 20 * paths + 150 + 3 * (3 + 2)


@pytest.mark.checklist("7.2", 34)
def test_flags_of_every_exporter() -> None:
    text = parser().format_help()
    for flag in (
        "--web.listen-address",
        "--web.config.file",
        "--web.telemetry-path",
        "--web.systemd-socket",
        "--web.max-requests",
        "--web.disable-exporter-metrics",
        "--log.level",
        "--log.format",
        "--version",
        *(f"--collector.{subject.name}, --no-collector.{subject.name}" for subject in SUBJECTS),
    ):
        assert flag in text


@pytest.mark.checklist("7.2", 39)
async def test_page_is_at_the_root_only(client: TestClient, run_dir: Path) -> None:
    async with client.get("/") as response:
        text = await response.text()
        assert response.status == 200
        assert 'href="/metrics"' in text
        assert VERSION in text
    for path in ("/index.html", "/metrics/", "/metrics/x", "/favicon.ico", "/etc/passwd"):
        async with client.get(path) as response:
            assert response.status == 404, path


@pytest.mark.checklist("7.2", 42)
def test_nothing_that_node_exporter_tells() -> None:
    """Of its netdev, netclass and bonding collectors: traffic, MTU, speed, carrier, queues."""
    for family in DECLARED:
        assert not re.search(r"bytes|packets|mtu|speed|carrier|queue|duplex|errs", family.name)
