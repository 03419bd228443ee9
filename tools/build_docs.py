"""Writes the pages that are made from the code: `python tools/build_docs.py`.

A test compares the pages in docs/ with what is made here, so they cannot go stale.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ipmp.group import table
from ipmp.group.table import MEANING, QUIRKS, TABLE, Event
from ipmp.model import InterfaceState

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


PAGES = {"state-machine.md": state_machine}


def main() -> None:
    """Write all pages."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make())


if __name__ == "__main__":
    main()
