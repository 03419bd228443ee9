"""The checklist for exporters (section 7.2 of the reference on observability), row by row.

A row is met by tests, which carry its number (`@pytest.mark.checklist("7.2", 17)`), or where no
test can show it, by the line that stands here. `docs/exporter-conventions.md` is made of both.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent.parent / "tests"
SECTION = "7.2"


class Convention(NamedTuple):
    """One row: what is asked for, and how it is met if no test can show it."""

    text: str
    line: str = ""


CONVENTIONS = {
    1: Convention("single-word prefix `ipmp_` on all own metrics"),
    2: Convention("no `process_` or `scrape_` prefix except the client's process collector"),
    3: Convention("base units, plural suffix"),
    4: Convention("ratios from 0 to 1, or two counters"),
    5: Convention("`_total` if and only if it is a counter"),
    6: Convention("no `_count`, `_sum`, `_bucket` but of summaries and histograms"),
    7: Convention("`_info` has the value 1 and static labels only"),
    8: Convention("`_timestamp_seconds`, no seconds since"),
    9: Convention("StateSet: label = family name, exactly one 1 for enums, no unit"),
    10: Convention("HELP on every family, constant, lists the states"),
    11: Convention("snake_case, no colons, no camelCase, no type names"),
    12: Convention("no label named type, region, cluster ...; no `le`, `quantile`"),
    13: Convention("no state label on counters"),
    14: Convention("failures are a counter of their own, no success label"),
    15: Convention("all known reasons are there from the first scrape, at 0"),
    16: Convention("no total among the values of a label"),
    17: Convention("fresh families for each scrape; concurrent scrapes are consistent"),
    18: Convention("a registry per app, not the global one"),
    19: Convention("`describe()`; `name[]` works; an unknown name is an empty valid body"),
    20: Convention("build_info with the version"),
    21: Convention("`ipmp_up` 0 when reading fails, HTTP 200, own metrics still there"),
    22: Convention("duration and success for each collector"),
    23: Convention("no counters or histograms about scrapes"),
    24: Convention("no timestamps on samples"),
    25: Convention("content negotiation with q-values; garbage is 0.0.4, never 500"),
    26: Convention("the escaping parameter is one of a closed list"),
    27: Convention("gzip honoured, also `q=0`; `Vary`"),
    28: Convention("GET and HEAD only, else 405 with Allow"),
    29: Convention("X-Prometheus-Scrape-Timeout-Seconds honoured"),
    30: Convention("the event loop is never blocked by a collection"),
    31: Convention("`_created` is off"),
    32: Convention("series are stable between scrapes"),
    33: Convention("cardinality documented, bounded, and switchable per collector"),
    34: Convention("the flags that every exporter has"),
    35: Convention("web config: strict keys, relative paths, closed list of headers"),
    36: Convention("certificates change without restart; TLS 1.2 and up; client certificates"),
    37: Convention("basic auth: bcrypt, unknown users cost the same, cache, 72 bytes, a thread"),
    38: Convention("rate limit answers 429"),
    39: Convention("landing page at `/` only, with a link and the version; others 404"),
    40: Convention(
        "fixed default port, documented, checked before a release",
        "10088 is the default of `--web.listen-address` and in README; the public list of ports is "
        "to be looked at before a release",
    ),
    41: Convention("runs without privilege; warns when root"),
    42: Convention("no metrics that node_exporter has"),
    43: Convention("`promtool check metrics` is clean"),
    44: Convention("the strict OpenMetrics parser accepts the output"),
    45: Convention("scraped by a real Prometheus: target up, types right"),
    46: Convention(
        "rules: `promtool check rules`, `test rules` with annotations, `keep_firing_for`",
        "tests/unit/test_alerts.py runs promtool over alerts/ipmp.rules.yml and alerts/tests/",
    ),
    47: Convention(
        "every alert: severity, summary with a period, description, runbook_url with its section",
        "tests/unit/test_alerts.py compares alerts/ipmp.rules.yml with alerts/runbook.md",
    ),
    48: Convention("metrics documented in one page that is made from the code"),
}


def by_row() -> dict[int, list[str]]:
    """Return the tests that carry each row's number, as `file.py::test_name`, read from source."""
    found: dict[int, list[str]] = {number: [] for number in CONVENTIONS}
    for path in sorted(TESTS.glob("**/test_*.py")):
        text = path.read_text()
        if ".checklist(" not in text:
            continue
        for test in ast.walk(ast.parse(text)):
            if isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef):
                for number in _numbers(test):
                    found.setdefault(number, []).append(f"{path.name}::{test.name}")
    return found


def _numbers(test: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[int]:
    for mark in test.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.checklist":
            section, *numbers = map(ast.literal_eval, mark.args)
            if section == SECTION:
                yield from numbers
