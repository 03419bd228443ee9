"""What holds for all tests.

Where `CI` is set in the environment, nothing may quietly be left out: a test that skips itself has
failed, whatever its reason, and so has a module that cannot be collected.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator

import pytest
from hypothesis import settings

from ipmp.group import TABLE
from tests.support import checklist
from tests.support.alerts import write_table as write_alert_table

settings.register_profile("ipmp", deadline=None)  # a busy machine is no failure of the code
settings.load_profile("ipmp")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    expected_failure = hasattr(report, "wasxfail")
    if os.environ.get("CI") and report.skipped and not expected_failure:
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


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave the rows of the tables of `tests/support/checklist.py` in the report."""
    checklist.note(item)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the tests that ran show of the state table, the checklists and the alerts."""
    _state_table(terminalreporter)
    checklist.summarise(terminalreporter)
    write_alert_table(terminalreporter)


def _state_table(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which rows of the state table were visited; only when tests of the table ran."""
    passed = terminalreporter.stats.get("passed", ())
    rows = [row for test in passed for name, row in test.user_properties if name == "state row"]
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


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
