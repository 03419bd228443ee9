"""Every query of every dashboard, asked of a real Prometheus that has recorded a lab story."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ipmp.lab.monitoring import Sample
from tests.support.alerts import rules
from tests.support.dashboards import (
    FILES,
    Query,
    interpolate,
    label_query,
    load,
    panel_queries,
    variables,
)
from tests.support.story import Recorded

pytestmark = [pytest.mark.netns, pytest.mark.prometheus, pytest.mark.slow]

DASHBOARDS = {path.stem: load(path) for path in FILES}
QUERIES = [
    pytest.param(query, id=f"{name} {query.where}")
    for name, document in DASHBOARDS.items()
    for query in panel_queries(document)
]
ANNOTATIONS = [
    pytest.param(annotation, id=f"{name} {annotation['name']}")
    for name, document in DASHBOARDS.items()
    for annotation in document["annotations"]["list"]
]
VARIABLES = [
    pytest.param(variable, id=f"{name} {variable['name']}")
    for name, document in DASHBOARDS.items()
    for variable in variables(document).values()
    if variable["type"] == "query"
]
ABSENT = re.compile("ipmp_fleet_budget_")  # no fleet takes part in the story
LAB_SCRAPES = {"__rate_interval": "3s", "__range": "2m"}  # as Grafana would reckon in the lab


def filled(expression: str) -> str:
    return interpolate(expression, **LAB_SCRAPES)


def panel(dashboard: str, title: str) -> Query:
    (found,) = [q for q in panel_queries(DASHBOARDS[dashboard]) if q.panel["title"] == title]
    return found


def shown(story: Recorded, dashboard: str, title: str, moment: str) -> list[Sample]:
    """Return what a panel with one query shows at a moment."""
    return story.at(moment, filled(panel(dashboard, title).expression))


def words(dashboard: str, title: str, samples: list[Sample]) -> set[str]:
    """Return the words by which a panel shows these numbers."""
    mappings = panel(dashboard, title).panel["fieldConfig"]["defaults"]["mappings"]
    return {mappings[0]["options"][f"{sample.value:g}"]["text"] for sample in samples}


@pytest.mark.parametrize("query", QUERIES)
def test_query_returns_data(story: Recorded, query: Query) -> None:
    text = query.expression
    for rule in (rule for rule in rules() if "record" in rule):
        text = text.replace(rule["record"], rule["expr"])
    found = story.ever(filled(query.expression))
    assert bool(found) is (ABSENT.search(text) is None), query.expression


@pytest.mark.parametrize("annotation", ANNOTATIONS)
def test_annotation_marks_something_and_fills_its_title(
    story: Recorded, annotation: dict[str, Any]
) -> None:
    found = story.ever(filled(annotation["expr"]))
    assert found
    for name in re.findall(r"\{\{(\w+)\}\}", annotation["titleFormat"]):
        assert all(row.labels.get(name) for row in found), f"{name} is empty"


@pytest.mark.parametrize("variable", VARIABLES)
def test_variable_offers_values(story: Recorded, variable: dict[str, Any]) -> None:
    selector, label = label_query(variable["query"])
    series = story.prometheus.get("/api/v1/series", **{"match[]": interpolate(selector)})["data"]
    about = "remediator" if "remediation" in variable["query"] else "exporter"
    expected = {
        "job": {"exporter": "ipmp", "remediator": "ipmp_remediator"}[about],
        "instance": getattr(story, about),
        "group": "ipmp0",
    }
    assert {row[label] for row in series} == {expected[label]}


NUMBERS = {  # of the fleet: at healthy, one cable, both cables, drained, killed
    "Hosts": (1, 1, 1, 1, 1),
    "Daemons down": (0, 0, 0, 0, 1),
    "Groups failed": (0, 0, 1, 0, None),
    "Groups on one interface": (0, 1, 0, 1, 0),
    "Interfaces failed": (0, 1, 2, 0, None),
    "Interfaces offline": (0, 0, 0, 1, None),
    "Addresses away": (0, 2, 0, 2, None),
    "Remediation paused": (0, 0, 0, 0, None),
}
MOMENTS = ("healthy", "one cable", "both cables", "drained", "killed")


@pytest.mark.parametrize("title", NUMBERS)
def test_the_fleet_s_numbers_follow_the_story(story: Recorded, title: str) -> None:
    told = {moment: shown(story, "ipmp-fleet", title, moment) for moment in MOMENTS}
    values = tuple(rows[0].value if rows else None for rows in told.values())
    assert values == NUMBERS[title]


@pytest.mark.parametrize(
    ("moment", "group", "ni0"),
    [
        ("healthy", "ok", "ok"),
        ("one cable", "degraded", "failed"),
        ("both cables", "failed", "failed"),
        ("drained", "degraded", "offline"),
        ("returned", "ok", "ok"),
    ],
)
def test_states_follow_the_story(story: Recorded, moment: str, group: str, ni0: str) -> None:
    now = shown(story, "ipmp-host", "Group state", moment)
    assert words("ipmp-host", "Group state", now) == {group}
    line = shown(story, "ipmp-host", "Interfaces", moment)
    of_ni0 = [row for row in line if row.labels["interface"] == "ni0"]
    assert words("ipmp-host", "Interfaces", of_ni0) == {ni0}
    table = shown(story, "ipmp-host", "Interfaces now", moment)
    rows = {row.labels["interface"]: row.labels for row in table}
    assert rows.keys() == {"ni0", "ni1"}
    assert rows["ni0"]["ipmp_interface_state"] == ni0
    assert rows["ni0"]["ipmp_interface_link_state"] == ("down" if ni0 == "failed" else "up")
    attention = shown(story, "ipmp-fleet", "Groups that need attention", moment)
    expected = set() if group == "ok" else {group}
    assert words("ipmp-fleet", "Groups that need attention", attention) == expected


@pytest.mark.parametrize(
    ("moment", "carrier"), [("healthy", "ni0"), ("one cable", "ni1"), ("drained", "ni1")]
)
def test_address_table_says_where_each_address_is(
    story: Recorded, moment: str, carrier: str
) -> None:
    rows = [row.labels for row in shown(story, "ipmp-host", "Data addresses", moment)]
    assert {row["address"] for row in rows} == {"192.168.1.5/24", "fd00:1::5/64"}
    assert {(row["interface"], row["home_interface"]) for row in rows} == {(carrier, "ni0")}


@pytest.mark.parametrize(
    ("dashboard", "title", "moment"),
    [
        ("ipmp-fleet", "Groups that need attention", "one cable"),
        ("ipmp-fleet", "Firing alerts", "one cable"),
        ("ipmp-fleet", "Most failovers", "one cable"),
        ("ipmp-host", "Data addresses", "healthy"),
        ("ipmp-host", "Interfaces now", "healthy"),
    ],
)
def test_table_has_the_columns_it_names(
    story: Recorded, dashboard: str, title: str, moment: str
) -> None:
    options = panel(dashboard, title).panel["transformations"][0]["options"]
    rows = shown(story, dashboard, title, moment)
    labels = {name for row in rows for name in row.labels} | {"Time", "Value"}
    assert labels == set(options["renameByName"]) | set(options["excludeByName"])


def test_only_troubled_groups_are_on_the_fleet_s_timeline(story: Recorded) -> None:
    query = panel("ipmp-fleet", "Groups that were not well").expression
    whole = interpolate(query, __range="10m")
    assert [row.labels["group"] for row in story.at("killed", whole.replace("@ end()", ""))] == []
    assert {row.labels["group"] for row in story.ever(whole)} == {"ipmp0"}
    assert story.at("healthy", interpolate(query, __range="3s")) == []


def test_annotations_mark_the_drain_and_who_did_it(story: Recorded) -> None:
    annotations = DASHBOARDS["ipmp-host"]["annotations"]["list"]
    (query,) = [found["expr"] for found in annotations if found["name"] == "Drains"]
    assert story.at("healthy", filled(query)) == []
    (marked,) = story.at("drained", filled(query))
    assert marked.labels["interface"] == "ni0"
    assert marked.labels["ipmp_interface_offline_reason"] == "remediation"


def test_remediation_follows_the_story(story: Recorded) -> None:
    mode = shown(story, "ipmp-remediation", "Mode", "healthy")
    assert words("ipmp-remediation", "Mode", mode) == {"acting"}
    drained = [
        shown(story, "ipmp-remediation", "Drained interfaces", moment)[0].value
        for moment in ("healthy", "drained", "returned")
    ]
    assert drained == [0, 1, 0]
    (heard,) = shown(story, "ipmp-remediation", "Last heard from Alertmanager", "drained")
    assert 0 < heard.value < 30
    rails = story.ever(filled(panel("ipmp-remediation", "Refusals by rail").expression))
    assert {row.labels["reason"] for row in rails} <= {"not_allowed", "unknown_object"}


def test_failover_time_is_in_seconds(story: Recorded) -> None:
    assert panel("ipmp-host", "Failover time").panel["fieldConfig"]["defaults"]["unit"] == "s"
    (p99,) = shown(story, "ipmp-host", "Failover time", "one cable")
    assert 0 < p99.value <= 10, "a failover of two addresses"
