"""What holds for all tests.

Where `CI` is set in the environment, nothing may quietly be left out: a test marked `netns` or
`prometheus` that skips itself has failed, and so has a module that cannot be collected.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

MUST_RUN_IN_CI = ("netns", "prometheus")


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


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
