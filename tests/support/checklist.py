"""Tables of what users expect, each row shown by named tests; the test run makes the table.

A test says `@pytest.mark.checklist("7.1", 15, 16)` for the rows of table 7.1 that it shows. After a
run that has such tests, the table with the tests of each row is printed; rows that no test shows,
and no line where no test can, or whose test failed, stand out.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

from tools.conventions import CONVENTIONS, SECTION

REMEDIATION = (
    "Native Alertmanager v4 payload",
    "Per-alert (not per-group) decision",
    "Authentication on the endpoint",
    "Fails closed without credentials configured",
    "TLS server",
    "Client certificates",
    "Constant-time secret compare",
    "Body size limit",
    "Depth / count / label limits",
    "Method/content-type strictness",
    "Fast ack, async work",
    "Durable queue across restart",
    "Backpressure visible to sender",
    "Deduplication of re-sends",
    "Out-of-order / stale firing protection",
    "Resolved handling",
    "Concurrency limit",
    "Per-target serialisation",
    "Rate limit / cooldown per target",
    "Global rate limit",
    "Minimum healthy floor",
    "Fleet-wide budget",
    "Storm mode with cooldown",
    "Circuit breaker on own failures",
    "Flap damping / healthy delay",
    "Threshold before acting (n in t)",
    "Dry run",
    "Human approval",
    "Pause / maintenance switch",
    "Maintenance windows",
    "Allow-list of targets and actions",
    "Operator override respected (hold)",
    "Timeout per action",
    "Retry with backoff, bounded",
    "Escalation to a different remedy / human",
    "Post-action verification",
    "Rollback / crash-safe journal",
    "Audit log",
    "Explains refusals",
    "Own Prometheus metrics",
    "Health endpoint",
    "Config check command",
    "Hot reload",
    "Privilege separation",
    "Loop guard (ignore symptoms we cause)",
)
#: For each table its rows by number: what is asked for, and the line that meets it without a test.
TABLES = {
    "7.1": {number: (text, "") for number, text in enumerate(REMEDIATION, 1)},
    SECTION: {number: (row.text, row.line) for number, row in CONVENTIONS.items()},
}

_PROPERTY = "checklist row"


def note(item: pytest.Item) -> None:
    """Leave the rows that a test shows in its report."""
    for mark in item.iter_markers("checklist"):
        table, *rows = mark.args
        for row in rows:
            if row not in TABLES[table]:
                raise pytest.UsageError(f"{item.nodeid}: table {table} has no row {row}")
            item.user_properties.append((_PROPERTY, f"{table} {row}"))


def summarise(terminalreporter: pytest.TerminalReporter) -> None:
    """Print each table of which a test ran; only its figures when a few tests were chosen."""
    shown, broken = _tests(terminalreporter, "passed"), _tests(terminalreporter, "failed")
    for table, rows in TABLES.items():
        keys = {number: f"{table} {number}" for number in rows}
        if not any(key in shown or key in broken for key in keys.values()):
            continue
        done = [n for n, (_, line) in rows.items() if keys[n] in shown or line]
        terminalreporter.section(f"table {table}")
        terminalreporter.write_line(f"{len(rows)} rows, {len(done)} shown")
        if 2 * len(done) < len(rows) and not broken:
            continue
        for number, (text, line) in rows.items():
            key = keys[number]
            tests = ", ".join(dict.fromkeys(shown.get(key, ()))) or line or "NOT SHOWN"
            if key in broken:
                tests += f"; FAILED: {', '.join(dict.fromkeys(broken[key]))}"
            missing = key not in shown and not line
            terminalreporter.write_line(f"{number:3} {text}: {tests}", red=missing or key in broken)


def _tests(terminalreporter: pytest.TerminalReporter, outcome: str) -> dict[str, list[str]]:
    """Which tests with this outcome stand for which row."""
    found: dict[str, list[str]] = defaultdict(list)
    for report in terminalreporter.stats.get(outcome, ()):
        for name, row in report.user_properties:
            if name == _PROPERTY:
                found[row].append(report.nodeid.rpartition("::")[2])
    return found
