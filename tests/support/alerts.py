"""The shipped rules, their promtool tests, and what those tests show about each alert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ALERTS = Path(__file__).resolve().parents[2] / "alerts"
RULES = sorted(ALERTS.glob("*.rules.yml"))
TESTS = sorted((ALERTS / "tests").glob("*.yml"))

FIRES, SILENT, ANNOTATION = "fires", "stays silent", "annotation"
CELLS = (FIRES, SILENT, ANNOTATION)
PROPERTY = "alert cell"


def rules() -> Iterator[dict[str, Any]]:
    """Yield every rule of every file."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


BY_NAME = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def cases(path: Path) -> Iterator[dict[str, Any]]:
    """Yield every expectation about an alert in one file of promtool tests."""
    for test in yaml.safe_load(path.read_text())["tests"]:
        yield from test.get("alert_rule_test", ())


def shown(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (alert, cell) for all that is shown when promtool accepts this file.

    promtool compares annotations as they are rendered, so a firing alert shows both cells.
    """
    for case in cases(path):
        expected = case.get("exp_alerts")
        if not expected:
            yield case["alertname"], SILENT
            continue
        yield case["alertname"], FIRES
        if all(_is_rendered(alert) for alert in expected):
            yield case["alertname"], ANNOTATION


def _is_rendered(alert: dict[str, Any]) -> bool:
    texts = alert.get("exp_annotations", {})
    complete = {"summary", "description", "runbook_url"} <= set(texts)
    return complete and not any("{{" in t or "<no value>" in t for t in texts.values())


def write_table(reporter: pytest.TerminalReporter) -> None:
    """Print alert x (fires, stays silent, annotation), made of the promtool tests that passed."""
    passed = reporter.stats.get("passed", ())
    counts = Counter(v for test in passed for name, v in test.user_properties if name == PROPERTY)
    if not counts:
        return
    reporter.section("alerts")
    reporter.write_line(f"{'':<34}" + "".join(f"{cell:>14}" for cell in CELLS))
    for alert in BY_NAME:
        numbers = [counts[f"{alert} x {cell}"] for cell in CELLS]
        line = f"{alert:<34}" + "".join(f"{number or '-':>14}" for number in numbers)
        reporter.write_line(line, red=not all(numbers))
    empty = sum(not counts[f"{alert} x {cell}"] for alert in BY_NAME for cell in CELLS)
    reporter.write_line(f"{len(BY_NAME)} alerts, {empty} empty cells")
