"""What holds for all tests.

Where `CI` is set in the environment, nothing may quietly be left out: a test marked `netns`,
`prometheus` or `tools` that skips itself has failed, and so has a module that cannot be collected.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator

import pytest
from hypothesis import settings

from ipmp.group import TABLE
from tests.support.alerts import write_table as write_alert_table
from tools.conventions import CONVENTIONS, SECTION

settings.register_profile("ipmp", deadline=None)  # a busy machine is no failure of the code
settings.load_profile("ipmp")

MUST_RUN_IN_CI = ("netns", "prometheus", "tools")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    expected_failure = hasattr(report, "wasxfail")
    marked = any(item.get_closest_marker(name) for name in MUST_RUN_IN_CI)
    if os.environ.get("CI") and report.skipped and marked and not expected_failure:
        report.outcome = "failed"
        report.longrepr = f"skipped where it must run: {_reason(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if os.environ.get("CI") and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"skipped where it must run: {_reason(report)}"
    return report


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let reports tell which rows of the exporter's checklist a test stands for."""
    for mark in item.iter_markers("checklist"):
        _, *rows = mark.args
        item.user_properties.extend(("checklist row", row) for row in rows)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the tests that ran show of the state table, the checklist and the alerts."""
    _state_table(terminalreporter)
    _checklist(terminalreporter)
    write_alert_table(terminalreporter)


def _state_table(terminalreporter: pytest.TerminalReporter) -> None:
    rows = _properties(terminalreporter, "passed", "state row")
    if not rows:
        return
    visits = Counter(rows)
    missed = [f"{s} x {e}" for s, e in TABLE if f"{s} x {e}" not in visits]
    terminalreporter.section("state table")
    terminalreporter.write_line(
        f"{len(TABLE)} rows, {len(TABLE) - len(missed)} visited by {len(rows)} tests"
    )
    for row in missed:
        terminalreporter.write_line(f"not visited: {row}", red=True)


def _checklist(terminalreporter: pytest.TerminalReporter) -> None:
    passed = Counter(_properties(terminalreporter, "passed", "checklist row"))
    failed = Counter(_properties(terminalreporter, "failed", "checklist row"))
    if not passed and not failed:
        return
    terminalreporter.section(f"exporter checklist {SECTION}")
    met = [n for n, row in CONVENTIONS.items() if not failed[n] and (passed[n] or row.line)]
    for number, row in CONVENTIONS.items():
        by = (
            f"{passed[number]} passed" if passed[number] else "by a line" if row.line else "not run"
        )
        by = f"{failed[number]} FAILED" if failed[number] else by
        terminalreporter.write_line(f"{number:>2}  {by:<11} {row.text}", red=number not in met)
    terminalreporter.write_line(f"{len(met)} of {len(CONVENTIONS)} are met")


def _properties(terminalreporter: pytest.TerminalReporter, outcome: str, name: str) -> list[object]:
    reports = terminalreporter.stats.get(outcome, ())
    return [value for report in reports for key, value in report.user_properties if key == name]


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
