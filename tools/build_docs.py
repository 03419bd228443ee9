"""Writes the pages that are made from the code: `python -m tools.build_docs`.

A test compares the pages in docs/ with what is made here, so they cannot go stale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from prometheus_client.core import Metric

from ipmp.group import table
from ipmp.group.table import MEANING, QUIRKS, TABLE, Event
from ipmp.model import InterfaceState
from ipmp_exporter.collectors import SUBJECTS
from ipmp_exporter.collectors.family import Subject
from ipmp_exporter.exposition import about_scrape
from tools.conventions import CONVENTIONS, by_row

DOCS = Path(__file__).parent.parent / "docs"

ACTIONS = {
    "keep": "nothing follows",
    "lose": "an active member stopped: exactly one inactive member is activated, a standby first",
    "return": "it works again; FAILBACK and the number of active members say if it is active",
    "online": "it is not kept offline any more, and is active even with FAILBACK=no",
}


def state_machine() -> str:
    """The page on the state table."""
    return "\n".join(_state_machine()) + "\n"


def _state_machine() -> Iterator[str]:
    yield "# The state machine of a member"
    yield ""
    yield "Made by `tools/build_docs.py` from `core/ipmp/group/table.py`; do not edit."
    yield ""
    yield "Each pass of the daemon observes every member and feeds one event a member into this"
    yield "table. A cell is the new state, and the action where something follows."
    yield ""
    yield "| event | what was observed | ok | unknown | failed | offline |"
    yield "|---|---|---|---|---|---|"
    for event in Event:
        cells = (_cell(state, event) for state in _STATES)
        yield f"| `{event}` | {MEANING[event]} | {' | '.join(cells)} |"
    yield ""
    yield "| action | |"
    yield "|---|---|"
    for action in table.Action:
        yield f"| `{action}` | {ACTIONS[action]} |"
    yield ""
    yield "The group is `ok` when every member is usable (ok or unknown), `failed` when none is,"
    yield "and `degraded` otherwise. A group failure moves nothing."
    yield ""
    yield "## Quirks of the original, and what is done here"
    yield ""
    yield "Each quirk was found by reading in.mpathd's code."
    yield ""
    yield "| | |"
    yield "|---|---|"
    for number, decision in QUIRKS.items():
        yield f"| {number} | {decision} |"


_STATES = (
    InterfaceState.OK,
    InterfaceState.UNKNOWN,
    InterfaceState.FAILED,
    InterfaceState.OFFLINE,
)


def _cell(state: InterfaceState, event: Event) -> str:
    row = TABLE[state, event]
    return str(row.new) if row.action is table.Action.KEEP else f"{row.new} : {row.action}"


def metrics() -> str:
    """The reference of all metrics."""
    return "\n".join(_metrics()) + "\n"


def _metrics() -> Iterator[str]:
    yield "# Metrics of `ipmp_exporter`"
    yield ""
    yield "Made by `tools/build_docs.py` from `exporter/ipmp_exporter/collectors/`; do not edit."
    yield ""
    yield from _INTRODUCTION
    for subject in SUBJECTS:
        yield from _subject(subject)
    yield from _about_the_scrape()
    yield from _CARDINALITY


def _subject(subject: Subject) -> Iterator[str]:
    off = "" if subject.default else f" (off; `--collector.{subject.name}` switches it on)"
    yield ""
    yield f"## Collector `{subject.name}`{off}"
    yield ""
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    for family in subject.families:
        yield _metric(family.empty(), family.name, family.labels)


def _about_the_scrape() -> Iterator[str]:
    yield ""
    yield "## The scrape itself"
    yield ""
    yield "There whatever happens; `process_*` of the exporter besides, unless"
    yield "`--web.disable-exporter-metrics` is given."
    yield ""
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    for metric in about_scrape({"": (0.0, True)}, up=True):
        name = metric.name + ("_info" if metric.type == "info" else "")
        yield _metric(metric, name, tuple(metric.samples[0].labels))


def _metric(metric: Metric, name: str, labels: Sequence[str]) -> str:
    marked = ", ".join(f"`{label}`" for label in labels)
    return f"| `{name}` | {metric.type} | {marked} | {metric.documentation} |"


_INTRODUCTION = (
    "All counters begin at 0 when `mpathd` starts, and a series that can exist is there from the",
    "first scrape. A StateSet has one series a state, 1 for the present one, in a label that is",
    "called like the metric.",
    "",
    "There are no metrics of a journal because there is none: the kernel carries the progress of a",
    "move, and a restart reads, compares and goes on. What is not finished is in",
    "`ipmp_operations_in_progress` and `ipmp_group_moves_in_progress`; `ipmp_daemon_clean_start`",
    "is 0 when the last daemon may have left something half done.",
)

_CARDINALITY = (
    "",
    "## How many series",
    "",
    "At most 40 a group, 45 a member, 20 a member and probed family, 150 for the daemon and the",
    "scrape; and for each address 3 and the number of members of its group. 1,000 addresses on two",
    "members are 5,000 series; `--no-collector.addresses` leaves them out, while groups, failovers",
    "and the states of members stay. A test holds these bounds against the code.",
)


def conventions() -> str:
    """How the exporter follows the conventions of its world."""
    return "\n".join(_conventions()) + "\n"


def _conventions() -> Iterator[str]:
    yield "# Conventions that the exporter follows"
    yield ""
    yield "Made by `tools/build_docs.py` from `tools/conventions.py` and the tests; do not edit."
    yield "Each row is met by tests, or by a line where no test can show it; a row with neither"
    yield "fails the tests. A run of `make test` prints the table with what has passed."
    yield ""
    yield "| # | convention | how it is met |"
    yield "|---|---|---|"
    tests = by_row()
    for number, row in CONVENTIONS.items():
        names = (f"`{name}`" for name in tests[number])
        yield f"| {number} | {row.text} | {row.line or '<br>'.join(names)} |"


PAGES = {
    "exporter-conventions.md": conventions,
    "metrics.md": metrics,
    "state-machine.md": state_machine,
}


def main() -> None:
    """Write all pages."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make())


if __name__ == "__main__":
    main()
