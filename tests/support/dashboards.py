"""The queries of a dashboard, and their variables replaced by what Grafana would put there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

DIRECTORY = Path(__file__).resolve().parents[2] / "dashboards"
FILES = sorted(DIRECTORY.glob("*.json"))


class Query(NamedTuple):
    """One PromQL query of a dashboard and where it stands."""

    where: str
    expression: str
    panel: dict[str, Any]


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def panel_queries(document: dict[str, Any]) -> Iterator[Query]:
    for panel in document["panels"]:
        for target in panel["targets"]:
            yield Query(f"{panel['title']} {target['refId']}", target["expr"], panel)


def variables(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in document["templating"]["list"]}


def label_query(query: str) -> tuple[str, str]:
    """Return the selector and the label of `label_values(selector, label)`."""
    match = re.fullmatch(r"label_values\((.+), *(\w+)\)", query)
    assert match, f"not a query for label values: {query}"
    return match[1], match[2]


def interpolate(expression: str, **values: str) -> str:
    """Return the expression as Grafana sends it; by default every variable is set to All."""
    known = {"__rate_interval": "1m", "__range": "5m", "__interval": "15s"} | values
    text = re.sub(r"\$(\w+)", lambda match: known.get(match[1], ".+"), expression)
    assert "$" not in text, text
    return text
