"""Every query of every dashboard, asked of a real Prometheus that scrapes the real exporter."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipmp.lab.monitoring import Prometheus
from ipmp.lab.rules import prometheus_config, quickened, shipped
from tests.support.dashboards import (
    FILES,
    Query,
    interpolate,
    label_query,
    load,
    panel_queries,
    variables,
)
from tests.support.flapping import flapping_host
from tests.support.tools import need

pytestmark = [pytest.mark.prometheus]

SECONDS = 45.0  # for everything to be seen at least once; it takes about ten
QUERIES = [query for path in FILES for query in panel_queries(load(path))]
ANNOTATIONS = [
    Query(annotation["name"], annotation["expr"], annotation)
    for path in FILES
    for annotation in load(path)["annotations"]["list"]
]
VARIABLES = [
    (name, variable["query"])
    for path in FILES
    for name, variable in variables(load(path)).items()
    if name != "datasource"
]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has seen an interface flap for long enough to have an alert about it."""
    need("prometheus")
    directory: Path = tmp_path_factory.mktemp("prometheus")
    rules = directory / "quick.rules.yml"
    source = shipped("alerts/ipmp.rules.yml")
    assert source
    rules.write_text(quickened(source.read_text(), 60))
    with flapping_host() as host:
        config = prometheus_config({"ipmp": [host.address]}, rules=[rules])
        with Prometheus(config, directory) as running:
            until(lambda: "ipmp" in running.healthy_targets(), "the exporter was not scraped")
            host.flap(changes=1000, seconds=1.0)
            yield running


def until(condition: Any, message: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.25)


def values(prometheus: Prometheus, expression: str) -> list[float]:
    text = interpolate(expression, __rate_interval="15s")
    return [sample.value for sample in prometheus.query(text) if not math.isnan(sample.value)]


@pytest.mark.parametrize("query", [*QUERIES, *ANNOTATIONS], ids=lambda query: query.where)
def test_query_returns_data(prometheus: Prometheus, query: Query) -> None:
    until(lambda: values(prometheus, query.expression), f"no data for {query.expression}")


@pytest.mark.parametrize(("name", "query"), VARIABLES, ids=lambda value: value)
def test_variable_offers_values(prometheus: Prometheus, name: str, query: str) -> None:
    selector, label = label_query(query)
    series = prometheus.get("/api/v1/series", **{"match[]": interpolate(selector)})["data"]
    assert {row[label] for row in series} >= {
        "job": {"ipmp"},
        "instance": {row["instance"] for row in series},
        "group": {"ipmp0", "storage"},
    }[name]
    assert series


def test_timeline_shows_each_state_of_the_flapping_interface(prometheus: Prometheus) -> None:
    (query,) = [query for query in QUERIES if query.panel["type"] == "state-timeline"]
    mapped = query.panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    seen: set[str] = set()

    def both_seen() -> bool:
        expression = interpolate(query.expression)
        for sample in prometheus.query(expression):
            if sample.labels["interface"] == "ni0":
                seen.add(mapped[f"{sample.value:g}"]["text"])
            else:
                assert mapped[f"{sample.value:g}"]["text"] == "ok"
        return seen == {"ok", "failed"}

    until(both_seen, f"seen: {seen}")


def test_group_state_is_the_exporter_s(prometheus: Prometheus) -> None:
    (query,) = [query for query in QUERIES if query.panel["title"] == "Group state"]
    mapped = query.panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    words = {
        sample.labels["group"]: mapped[f"{sample.value:g}"]["text"]
        for sample in prometheus.query(interpolate(query.expression))
    }
    assert words["storage"] == "ok"
    assert words["ipmp0"] in {"ok", "degraded"}


def test_address_table_has_the_columns_it_names(prometheus: Prometheus) -> None:
    (query,) = [query for query in QUERIES if query.panel["type"] == "table"]
    options = query.panel["transformations"][0]["options"]
    rows = prometheus.query(interpolate(query.expression))
    labels = {name for row in rows for name in row.labels}
    assert labels == set(options["renameByName"]) | (
        set(options["excludeByName"]) - {"Time", "Value"}
    )
    carriers = {(row.labels["address"], row.labels["interface"]) for row in rows}
    assert ("10.0.0.5/24", "ni2") in carriers
    assert len(rows) == len({row.labels["address"] for row in rows}) == 3


def test_dashboard_s_unit_of_time_is_seconds(prometheus: Prometheus) -> None:
    (query,) = [query for query in QUERIES if query.panel["title"] == "Failover time"]
    until(lambda: values(prometheus, query.expression), "no failover was seen")
    assert query.panel["fieldConfig"]["defaults"]["unit"] == "s"
    assert 0 < max(values(prometheus, query.expression)) <= 0.01, "the first bucket is 10 ms"
