"""The state table, row by row, and what must hold after any sequence of events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmp.group import (
    BROKEN,
    TABLE,
    WAITING,
    WORKING,
    Action,
    Event,
    Group,
    Member,
    adapt,
    refusal,
    step,
)
from ipmp.model import GroupState, InterfaceState

OK, FAILED, OFFLINE = InterfaceState.OK, InterfaceState.FAILED, InterfaceState.OFFLINE


def group(*standby: str, failback: bool = True, min_usable: int = 1) -> Group:
    names = ("a", "b", "c")
    return Group("g", tuple(Member(n, standby=n in standby) for n in names), failback, min_usable)


def run(state: Group, *steps: dict[str, Event]) -> Group:
    for number, events in enumerate(steps):
        state, _ = step(state, events, float(number))
    return state


ALL_UP = dict.fromkeys("abc", Event.LINK_UP)


@pytest.mark.parametrize("event", BROKEN)
def test_a_loss_activates_exactly_one_spare(event: Event) -> None:
    state = run(group("c"), ALL_UP)
    assert state.member("c").inactive
    state = run(state, ALL_UP | {"a": event})
    assert state.member("c").active
    assert state.state is GroupState.DEGRADED
    state = run(state, ALL_UP)
    assert state.member("c").inactive
    assert state.state is GroupState.OK


def test_failback_no_keeps_a_repaired_member_inactive_and_undo_makes_it_active() -> None:
    state = run(group(failback=False), ALL_UP, ALL_UP | {"a": Event.LINK_DOWN}, ALL_UP)
    assert state.member("a").inactive
    state = run(state, ALL_UP | {"a": Event.OFFLINE}, ALL_UP)
    assert state.member("a").active


def test_failback_yes_after_a_reload_uses_what_was_kept_back_and_rests_the_spare() -> None:
    lost = ALL_UP | {"a": Event.LINK_DOWN}
    state = run(group("c", failback=False), ALL_UP, lost, ALL_UP)
    assert [m.active for m in state.members] == [False, True, True]
    assert adapt(state, group("c", failback=False)) == state, "it is still no"
    state = adapt(state, group("c"))
    assert [m.active for m in state.members] == [True, True, False]
    assert run(state, ALL_UP).members == state.members


def test_after_a_group_failure_the_first_member_is_active_whatever_failback_says() -> None:
    down = dict.fromkeys("abc", Event.LINK_DOWN)
    state = run(group(failback=False), ALL_UP, down)
    assert state.state is GroupState.FAILED
    state = run(state, down | {"b": Event.LINK_UP})
    assert state.member("b").active


def test_the_link_of_an_offline_member_changes_nothing() -> None:
    state = run(group("c"), ALL_UP, ALL_UP | {"a": Event.OFFLINE})
    assert state.member("a").state is OFFLINE
    assert run(state, ALL_UP | {"a": Event.OFFLINE}) == state


@given(
    standby=st.sets(st.sampled_from("abc")),
    failback=st.booleans(),
    steps=st.lists(
        st.fixed_dictionaries({name: st.sampled_from(list(Event)) for name in "abc"}), max_size=12
    ),
)
def test_if_any_member_functions_one_is_active(
    standby: set[str], failback: bool, steps: list[dict[str, Event]]
) -> None:
    state = group(*standby, failback=failback)
    for events in steps:
        state = run(state, events)
        functioning = [m for m in state.members if m.functioning]
        assert bool(functioning) == any(m.active for m in state.members)
        works = {n for n, e in events.items() if e in WORKING}
        waits = {n for n, e in events.items() if e in WAITING}
        assert works <= {m.name for m in functioning} <= works | waits
        assert state.state is (
            GroupState.OK
            if len(functioning) == 3
            else GroupState.DEGRADED
            if functioning
            else GroupState.FAILED
        )
        assert not any(m.inactive for m in state.members if not m.functioning)


def test_offline_never_takes_the_last_usable_member() -> None:
    state = run(group(), ALL_UP | {"b": Event.LINK_DOWN, "c": Event.OFFLINE})
    assert refusal(state, "a") is not None
    assert refusal(run(group(), ALL_UP), "a") is None
    assert refusal(run(group(min_usable=3), ALL_UP), "a") is not None


def test_in_a_failed_group_all_but_the_last_may_go_offline() -> None:
    down = dict.fromkeys("abc", Event.LINK_DOWN)
    state = run(group(), ALL_UP, down)
    assert refusal(state, "a") is None
    state = run(state, down | {"a": Event.OFFLINE, "b": Event.OFFLINE})
    assert refusal(state, "c") is not None


def test_action_names_are_used() -> None:
    assert {row.action for row in TABLE.values()} == set(Action)
