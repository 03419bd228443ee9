"""The dashboards as files: built from the code, and clean by the rules for shared dashboards.

The rules are the 17 of Grafana's dashboard-linter (the two about Loki: there is none), and some of
our own for state timelines, tables and links. What is excepted is listed with its reason, and an
exception that nothing needs any more is an error.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from dashboards.build import DASHBOARDS, render
from tests.support.alerts import ALERTS, rules
from tests.support.dashboards import (
    DIRECTORY,
    FILES,
    Query,
    interpolate,
    label_query,
    load,
    panel_queries,
    variables,
)
from tests.support.metrics import exposed_metrics

RECORDED = {rule["record"].split(":")[1] for rule in rules() if "record" in rule}
QUERIES = [query for path in FILES for query in panel_queries(load(path))]
PANELS = [panel for path in FILES for panel in load(path)["panels"]]
every_dashboard = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
every_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
every_query = pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)

# They sum up the whole time range of the dashboard.
WHOLE_RANGE = {"Failover time", "Groups that were not well", "Most failovers"}
# They show series of the level job, which have no instance.
WHOLE_JOB = {"Groups by state", "Interfaces by state"}

TEMPLATED = {"type": "prometheus", "uid": "${datasource}"}


def selectors(node: Any) -> list[promql_parser.VectorSelector]:
    """Return every selector of a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        return [node]
    below = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "vector_selector")]
    below += list(getattr(node, "args", None) or ())
    return [found for child in below if child is not None for found in selectors(child)]


def test_every_file_is_built_and_up_to_date() -> None:
    assert {path.name for path in FILES} == set(DASHBOARDS)
    for path in FILES:
        assert path.read_text() == render(path.name), f"{path.name}: run make dashboards"


@every_dashboard
def test_dashboard_is_owned_by_its_file(path: Path) -> None:
    document = load(path)
    assert document["editable"] is False
    assert document["uid"] == path.stem
    assert document["id"] is None
    assert "__inputs" not in document
    assert document["tags"] == ["ipmp"]


@every_dashboard
def test_dashboard_variables(path: Path) -> None:
    found = variables(load(path))
    source = found["datasource"]
    assert (source["type"], source["query"], source["label"]) == (
        "datasource",
        "prometheus",
        "Data source",
    )
    assert {"job", "instance"} <= set(found)
    for name, variable in found.items():
        if name in ("datasource", "runbook"):
            continue
        selector, label = label_query(variable["query"])
        promql_parser.parse(interpolate(selector))
        assert label == variable["label"] == name
        assert variable["datasource"] == TEMPLATED
        assert variable["multi"] is variable["includeAll"] is True
        assert variable["allValue"] == ".+"
        assert variable["refresh"] == 2, "values are read again when the time range changes"


@every_dashboard
def test_panels_neither_overlap_nor_leave_the_grid(path: Path) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in load(path)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]


@every_dashboard
def test_panels_can_be_told_apart(path: Path) -> None:
    panels = load(path)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)


@every_panel
def test_panel_is_explained_and_uses_the_chosen_data_source(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["datasource"] == TEMPLATED
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@every_panel
def test_numbers_have_a_unit_or_words(panel: dict[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["type"] == "table" or defaults.get("unit") or defaults.get("mappings")


@every_panel
def test_what_is_not_there_never_looks_well(panel: dict[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    if not defaults.get("mappings"):
        return
    special = [m["options"] for m in defaults["mappings"] if m["type"] == "special"]
    assert [m["match"] for m in special] == ["null"]
    assert special[0]["result"]["text"] == "no data"
    words = {
        r["text"]
        for m in defaults["mappings"]
        if m["type"] == "value"
        for r in m["options"].values()
    }
    assert len(words) >= 2
    assert defaults["thresholds"]["steps"] == [{"color": "text", "value": None}]


@every_query
def test_query_is_promql_about_the_chosen_targets(query: Query) -> None:
    tree = promql_parser.parse(interpolate(query.expression))
    found = selectors(tree)
    assert found
    for selector in found:
        labels = {matcher.name for matcher in selector.matchers.matchers}
        needed = {"job"} if query.panel.get("title") in WHOLE_JOB else {"job", "instance"}
        assert needed <= labels, f"{selector.name} asks every target"
        assert '=~"$job"' in query.expression


@every_query
def test_rates_fit_the_scrape_interval_and_counters_are_rated(query: Query) -> None:
    windows = set(re.findall(r"\[(.+?)\]", query.expression))
    whole_range = query.panel["title"] in WHOLE_RANGE
    assert windows <= ({"$__range"} if whole_range else {"$__rate_interval"})
    for name in re.findall(r"\b(ipmp_\w+_total)\b", query.expression):
        assert re.search(rf"\b(?:rate|irate|increase)\({name}\{{", query.expression)


def test_the_exceptions_are_still_needed() -> None:
    ranges = {q.panel["title"] for q in QUERIES if "[$__range]" in q.expression}
    jobs = {q.panel["title"] for q in QUERIES if "instance" not in q.expression}
    assert ranges == WHOLE_RANGE
    assert jobs == WHOLE_JOB


@every_query
def test_query_asks_for_metrics_that_exist(query: Query) -> None:
    asked = set(re.findall(r"\bipmp_\w+(?=\{)", query.expression))
    known = exposed_metrics()
    assert {re.sub("_bucket$", "", name) for name in asked} <= known | RECORDED
    recorded = re.findall(r"\b\w+:\w+:\w+", query.expression)
    assert set(recorded) <= {rule["record"] for rule in rules() if "record" in rule}


@pytest.mark.parametrize(
    "panel", [p for p in PANELS if p["type"] == "state-timeline"], ids=lambda panel: panel["title"]
)
def test_state_timeline_has_a_word_for_every_number(panel: dict[str, Any]) -> None:
    (target,) = panel["targets"]
    expression = target["expr"]
    for rule in rules():
        if rule.get("record") == expression.partition("{")[0]:
            expression = rule["expr"]
    numbers = set(re.findall(r"\* (\d)", expression))
    (words,) = [m for m in panel["fieldConfig"]["defaults"]["mappings"] if m["type"] == "value"]
    assert numbers == set(words["options"])
    assert len(numbers) >= 3
    colours = [result["color"] for result in words["options"].values()]
    assert len(set(colours)) == len(colours), "two states look the same"
    assert colours.count("green") == 1
    assert panel["options"]["legend"]["showLegend"] is True
    assert panel["options"]["mergeValues"] is True
    assert target["legendFormat"]


@pytest.mark.parametrize(
    "panel", [p for p in PANELS if p["type"] == "table"], ids=lambda panel: panel["title"]
)
def test_table_names_its_columns_and_links_from_some(panel: dict[str, Any]) -> None:
    (organize,) = panel["transformations"]
    shown = organize["options"]["renameByName"]
    assert organize["options"]["indexByName"].keys() == shown.keys()
    assert all(target["format"] == "table" for target in panel["targets"])
    for override in panel["fieldConfig"]["overrides"]:
        assert override["matcher"]["options"] in shown.values(), "an override of no column"


@every_dashboard
def test_links_lead_somewhere(path: Path) -> None:
    document = load(path)
    others, runbook = document["links"]
    assert (others["type"], others["tags"], others["keepTime"]) == ("dashboards", ["ipmp"], True)
    assert runbook["url"] == "${runbook}"
    assert variables(document)["runbook"]["query"].endswith("/runbook.md")
    addresses = re.findall(r'"url": "(/d/[^"]+)"', path.read_text())
    for address in addresses:
        uid, parameters = address.removeprefix("/d/").split("?")
        target = load(DIRECTORY / f"{uid}.json")
        assert set(re.findall(r"var-(\w+)=", parameters)) <= set(variables(target))
        assert "${__url_time_range}" in parameters
    assert bool(addresses) is (path.stem == "ipmp-fleet"), "the fleet leads to its hosts"


@every_dashboard
def test_annotations_mark_alerts_and_moves(path: Path) -> None:
    annotations = load(path)["annotations"]["list"]
    names = {annotation["name"] for annotation in annotations}
    moves = {"Actions"} if path.stem == "ipmp-remediation" else {"Failovers", "Drains"}
    assert names == {"Firing alerts"} | moves
    for annotation in annotations:
        assert annotation["datasource"] == TEMPLATED
        assert annotation["enable"] is True
        for selector in selectors(promql_parser.parse(interpolate(annotation["expr"]))):
            labels = {matcher.name for matcher in selector.matchers.matchers}
            assert {"job", "instance"} <= labels
        for window in re.findall(r"\[(\w+)\]", annotation["expr"]):
            assert annotation["step"] == window, "a change between two steps would be missed"


def test_provisioning_serves_the_files_and_names_no_missing_option() -> None:
    provisioning = DIRECTORY / "provisioning"
    dashboards = yaml.safe_load((provisioning / "dashboards" / "ipmp.yml").read_text())
    sources = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())
    assert dashboards["apiVersion"] == sources["apiVersion"] == 1
    (provider,) = dashboards["providers"]
    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False, "the files own these dashboards"
    assert Path(provider["options"]["path"]).is_absolute()
    (source,) = sources["datasources"]
    assert source["type"] == "prometheus"
    assert source["uid"]
    scrape = yaml.safe_load((ALERTS / "prometheus.example.yml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == scrape["scrape_interval"]
