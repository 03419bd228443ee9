"""Pages that are made from the code are what the code says today."""

from __future__ import annotations

import re

import pytest

from ipmp_exporter.flags import parser
from tools.build_docs import DOCS, PAGES
from tools.conventions import CONVENTIONS, tests_by_row


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.checklist("7.2", 48)
def test_a_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run: python -m tools.build_docs"


def test_every_row_of_the_checklist_is_met_by_a_test_or_by_a_line() -> None:
    tests = tests_by_row()
    assert tests.keys() == CONVENTIONS.keys() == set(range(1, 49))
    assert not [n for n, row in CONVENTIONS.items() if not (row.line or tests[n])]


def test_the_page_on_the_exporter_names_all_its_flags() -> None:
    page = (DOCS / "exporter.md").read_text()
    flags = set(re.findall(r"--[a-z][a-z.-]+[a-z]", parser().format_help()))
    told = set(re.findall(r"--[a-z][a-z.-]+[a-z]", page))
    collectors = {flag for flag in flags if "collector." in flag}
    assert flags - collectors - {"--help", "--version"} <= told
    assert told <= flags | {"--collector", "--no-collector"}
