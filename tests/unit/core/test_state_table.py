"""The state table: every row is taken, and does what its action says.

The visits are reported at the end of the test run (`tests/conftest.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from ipmp.group import TABLE, Action, Event, Group, Member, Row, step
from ipmp.model import InterfaceState

Record = Callable[[str, object], None]

OK, FAILED = InterfaceState.OK, InterfaceState.FAILED
OFFLINE, UNKNOWN = InterfaceState.OFFLINE, InterfaceState.UNKNOWN


def test_the_table_has_a_row_for_every_state_and_event() -> None:
    assert set(TABLE) == {(state, event) for state in InterfaceState for event in Event}


def before(state: InterfaceState, *, spare: bool = True, failback: bool = True) -> Group:
    """Member a in this state, b works, c is a standby member: a spare, or activated for a."""
    a = Member("a", state=state, known=True, event=_last(state), cause=Event.LINK_DOWN)
    b = Member("b", state=OK, known=True, event=Event.LINK_UP)
    c = replace(b, name="c", standby=True, inactive=spare)
    return Group("g", (a, b, c), failback=failback)


def _last(state: InterfaceState) -> Event:
    return {
        OK: Event.LINK_UP,
        UNKNOWN: Event.LINK_UNKNOWN,
        FAILED: Event.LINK_DOWN,
        OFFLINE: Event.OFFLINE,
    }[state]


ROWS = [pytest.param(*key, row, id=f"{key[0]}-{key[1]}") for key, row in TABLE.items()]


@pytest.mark.parametrize(("state", "event", "row"), ROWS)
def test_every_row_is_taken(
    state: InterfaceState, event: Event, row: Row, record_property: Record
) -> None:
    record_property("state row", f"{state} x {event}")
    spare = state in (OK, UNKNOWN)
    after, _ = step(before(state, spare=spare), {"a": event}, 9.0)
    assert after.member("a").state is row.new
    activated = spare and after.member("c").active
    sent_back = not spare and after.member("c").inactive
    assert activated == (row.action is Action.LOSE and spare)
    assert sent_back == (row.action in (Action.RETURN, Action.ONLINE))


@pytest.mark.parametrize(("state", "event", "row"), ROWS)
def test_failback_no_keeps_back_who_returns_and_not_who_is_brought_online(
    state: InterfaceState, event: Event, row: Row, record_property: Record
) -> None:
    record_property("state row", f"{state} x {event}")
    after, _ = step(before(state, failback=False), {"a": event}, 9.0)
    assert after.member("a").inactive == (row.action is Action.RETURN)
