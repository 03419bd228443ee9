"""Each rail by itself: what it objects to, with which reason, and when it stops to."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from ipmp.model import HoldIntent
from ipmp_remediator.decision import REFUSAL_REASONS, Action, Kind, Reason
from ipmp_remediator.planner import plan
from ipmp_remediator.policy import Breaker, Limits, Pause, Rate, Storm, Window, Wish
from ipmp_remediator.rails import DRAIN_RAILS, LAST_RAILS, objections
from ipmp_remediator.rails.operator import window_end
from ipmp_remediator.rails.situation import Situation
from ipmp_remediator.state import Act, Episode, Memory, Onset, Outcome, Trouble
from tests.support.situations import FREE, NOW, config, drain, episode, resolved, situation, status

HOLD = HoldIntent("swap a cable", "root", NOW - 10)


def reasons(episode: Episode, where: Situation) -> list[Reason]:
    found = objections(episode, where)
    assert all(d.kind is Kind.REFUSED and d.sentence() for d in found)
    return [decision.reason for decision in found]


def _acts(*times: float, interface: str = "ni0", action: str = "drain") -> tuple[Act, ...]:
    return tuple(Act(t, Action(action), interface, "ipmp0") for t in times)


def _limits(**fields: object) -> Limits:
    return msgspec.structs.replace(FREE, **fields)


def test_nothing_objects_where_nothing_is_wrong() -> None:
    assert reasons(episode(), situation()) == []


@pytest.mark.checklist("7.1", 31)
def test_the_allow_list_is_asked_again() -> None:
    where = situation(policy=config(host_names=frozenset({"h"})))
    assert reasons(episode(group="ipmp9"), where) == [Reason.NOT_ALLOWED, Reason.NOT_IN_GROUP]
    assert reasons(episode("ni9"), where) == [Reason.NOT_ALLOWED, Reason.UNKNOWN_OBJECT]


def test_an_alert_of_which_nothing_is_heard_any_more_is_stale() -> None:
    heard = episode(heard=NOW - 3601)
    assert reasons(heard, situation()) == [Reason.STALE]
    longer = config(policy={"max_alert_age": 7200.0})
    assert reasons(heard, situation(policy=longer)) == []


@pytest.mark.checklist("7.1", 32)
def test_a_hold_of_an_operator_is_respected() -> None:
    where = situation(daemon=status(holds={"ni0": HOLD}))
    assert reasons(episode(), where) == [Reason.HELD]
    assert reasons(episode("ni1"), where) == []


@pytest.mark.checklist("7.1", 29)
def test_a_pause_has_a_reason_and_may_have_an_end() -> None:
    for until, expected in ((0.0, [Reason.PAUSED]), (NOW + 1, [Reason.PAUSED]), (NOW - 1, [])):
        paused = HoldIntent("upgrade", "root", NOW - 10, until)
        assert reasons(episode(), situation(daemon=status(paused=paused))) == expected
        by_file = config(pause=Pause("upgrade", until or None))
        assert reasons(episode(), situation(policy=by_file)) == expected
    [decision] = objections(episode(), situation(policy=config(pause=Pause("upgrade"))))
    assert "upgrade" in decision.sentence()


def _window(begin: int, end: int, *days: int, zone: str = "UTC", **fields: object) -> Window:
    return Window("w", frozenset(days), begin, end, ZoneInfo(zone), **fields)  # type: ignore[arg-type]


@pytest.mark.checklist("7.1", 30)
@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (_window(7 * 60, 9 * 60, 4), [Reason.MAINTENANCE]),  # now is Friday 08:00 UTC
        (_window(7 * 60, 8 * 60, 4), []),
        (_window(8 * 60, 9 * 60, 4), [Reason.MAINTENANCE]),
        (_window(7 * 60, 9 * 60, 3), []),
        (_window(22 * 60, 9 * 60, 3), [Reason.MAINTENANCE]),  # began on Thursday
        (_window(22 * 60, 7 * 60, 3), []),
        (_window(9 * 60, 9 * 60, 3), [Reason.MAINTENANCE]),  # a whole day
        (_window(9 * 60, 10 * 60, 4, zone="Europe/Berlin"), [Reason.MAINTENANCE]),
        (_window(7 * 60, 9 * 60, 4, groups=frozenset({"other"})), []),
    ],
)
def test_maintenance_windows(window: Window, expected: list[Reason]) -> None:
    assert reasons(episode(), situation(policy=config(maintenance=(window,)))) == expected


def test_a_window_over_the_end_of_summer_time_is_an_hour_longer() -> None:
    zone = ZoneInfo("Europe/Berlin")
    window = _window(22 * 60, 6 * 60, 5, zone="Europe/Berlin")
    begin = datetime(2026, 10, 24, 22, 0, tzinfo=zone).timestamp()
    assert window_end(window, begin - 1) is None
    assert window_end(window, begin) == begin + 9 * 3600


def test_an_alert_may_hold_an_interface_or_its_group() -> None:
    for interface, expected in (
        ("ni0", []),
        ("ni1", [Reason.ALERT_HOLD]),
        ("", [Reason.ALERT_HOLD]),
    ):
        hold = episode(interface, name="Upgrade", wish=Wish.HOLD, outcome=Outcome.DONE)
        assert reasons(episode("ni1"), situation(Memory(episodes=(hold,)))) == expected


def test_an_alert_that_wants_it_online_outranks() -> None:
    online = episode(name="Tested", wish=Wish.ONLINE, outcome=Outcome.DONE)
    assert reasons(episode(), situation(Memory(episodes=(online,)))) == [Reason.ALERT_ONLINE]


@pytest.mark.checklist("7.1", 26)
def test_an_alert_must_be_open_for_the_delay() -> None:
    policy = config(policy={"delay": 90.0})
    assert reasons(episode(), situation(policy=policy)) == [Reason.DELAY]
    assert reasons(episode(), situation(policy=policy, now=NOW + 30)) == []


@pytest.mark.checklist("7.1", 26)
def test_the_threshold_counts_alerts_of_the_policy_and_interface() -> None:
    policy = config(policy={"threshold": Rate(3, 600.0)})
    onsets = [Onset(NOW - 700, "drain", "ni0"), Onset(NOW - 500, "drain", "ni0")]
    onsets += [Onset(NOW - 400, "drain", "ni1"), Onset(NOW - 60, "drain", "ni0")]
    assert reasons(episode(), situation(Memory(onsets=tuple(onsets)), policy)) == [Reason.THRESHOLD]
    onsets.append(Onset(NOW - 1, "drain", "ni0"))
    assert reasons(episode(), situation(Memory(onsets=tuple(onsets)), policy)) == []


@pytest.mark.checklist("7.1", 21)
def test_enough_interfaces_must_be_left() -> None:
    two_left = status(failed=("ni2",))
    assert reasons(episode(), situation(daemon=two_left)) == []
    limits = config(_limits(min_usable=2))
    assert reasons(episode(), situation(policy=limits, daemon=two_left)) == [Reason.MIN_USABLE]
    assert reasons(episode("ni2"), situation(policy=limits, daemon=two_left)) == []  # no loss
    one_left = status(failed=("ni1", "ni2"))
    assert reasons(episode(), situation(daemon=one_left)) == [Reason.MIN_USABLE]
    asked_by_group = status(min_usable=3)
    assert reasons(episode(), situation(daemon=asked_by_group)) == [Reason.MIN_USABLE]


@pytest.mark.checklist("7.1", 17)
def test_few_are_drained_at_a_time() -> None:
    memory = Memory(drains=(drain("ni1"),))
    where = situation(memory, config(_limits(drained_group=1, drained_host=1)))
    assert reasons(episode(), where) == [Reason.CONCURRENCY_GROUP, Reason.CONCURRENCY_HOST]
    where = situation(memory, config(_limits(drained_group=2, drained_host=2)))
    assert reasons(episode(), where) == []


@pytest.mark.checklist("7.1", 19)
def test_an_interface_cools_down_after_what_we_did() -> None:
    limits = config(_limits(cooldown=100.0))
    for action in ("drain", "undrain"):
        memory = Memory(acts=_acts(NOW - 99, action=action))
        assert reasons(episode(), situation(memory, limits)) == [Reason.COOLDOWN]
        assert reasons(episode("ni1"), situation(memory, limits)) == []
        assert reasons(episode(), situation(memory, limits, now=NOW + 1)) == []


@pytest.mark.checklist("7.1", 19)
@pytest.mark.checklist("7.1", 20)
@pytest.mark.parametrize(
    ("limit", "reason", "other"),
    [
        ("rate_interface", Reason.RATE_INTERFACE, []),
        ("rate_group", Reason.RATE_GROUP, [Reason.RATE_GROUP]),
        ("rate_host", Reason.RATE_HOST, [Reason.RATE_HOST]),
    ],
)
def test_rates(limit: str, reason: Reason, other: list[Reason]) -> None:
    """Drains count, returns do not; what is older than the time does not."""
    limits = config(_limits(**{limit: Rate(2, 600.0)}))
    acts = _acts(NOW - 601, NOW - 500) + _acts(NOW - 400, action="undrain")
    assert reasons(episode(), situation(Memory(acts=acts), limits)) == []
    acts += _acts(NOW - 300)
    assert reasons(episode(), situation(Memory(acts=acts), limits)) == [reason]
    assert reasons(episode("ni1"), situation(Memory(acts=acts), limits)) == other


@pytest.mark.checklist("7.1", 45)
def test_what_begins_right_after_we_acted_may_be_our_own_doing() -> None:
    limits = config(_limits(loop_guard=60.0))
    memory = Memory(acts=_acts(NOW - 100, interface="ni1"))
    for began, expected in (
        (NOW - 101, []),
        (NOW - 100, [Reason.LOOP_GUARD]),
        (NOW - 41, [Reason.LOOP_GUARD]),
        (NOW - 40, []),
    ):
        assert reasons(episode(began=began), situation(memory, limits)) == expected


@pytest.mark.checklist("7.1", 23)
def test_a_storm_stops_drains_and_ends_with_hysteresis() -> None:
    policy = config(_limits(storm=Storm(4, 60.0, 300.0)))
    onsets = tuple(Onset(NOW - 50 + i, "drain", f"ni{i}") for i in range(4))
    memory = Memory(episodes=(episode(),), onsets=onsets[:3])

    def step(memory: Memory, now: float) -> tuple[bool, Memory]:
        made = plan(policy, status(), memory, now, request_id="r")
        kept = Memory(memory.episodes, onsets=memory.onsets, trouble=made.trouble)
        return made.operation is not None, kept

    acts, memory = step(memory, NOW)
    assert acts  # three are no storm
    acts, memory = step(Memory(memory.episodes, onsets=onsets, trouble=memory.trouble), NOW)
    assert not acts
    acts, memory = step(memory, NOW + 11)  # three are left: still more than half
    assert memory.trouble.storm_last == NOW + 11
    acts, memory = step(memory, NOW + 310)
    assert not acts
    acts, memory = step(memory, NOW + 311)
    assert acts
    assert memory.trouble == Trouble()


def test_a_storm_does_not_keep_what_is_drained() -> None:
    policy = config(_limits(storm=Storm(1, 60.0, 300.0)))
    memory = Memory(
        episodes=(resolved(),),
        drains=(drain(),),
        onsets=(Onset(NOW, "drain", "ni0"),),
    )
    made = plan(policy, status({"ni0": "ours"}), memory, NOW, request_id="r")
    assert made.operation
    assert made.operation.action == "undrain"


@pytest.mark.checklist("7.1", 24)
def test_own_failures_open_the_circuit_and_time_tries_again() -> None:
    policy = config(_limits(breaker=Breaker(3, 900.0)))
    for failures, age, expected in (
        (2, 0, []),
        (3, 899, [Reason.BREAKER]),
        (3, 900, []),
        (4, 1, [Reason.BREAKER]),
    ):
        memory = Memory(trouble=Trouble(failures=failures, failed_at=NOW - age))
        assert reasons(episode(), situation(memory, policy)) == expected


@pytest.mark.checklist("7.1", 28)
def test_approval_is_asked_for_last_and_is_for_one_episode() -> None:
    policy = config(policy={"approval": True})
    first, again = episode(), episode(began=NOW - 30)
    [decision] = objections(first, situation(policy=policy))
    assert decision.reason is Reason.APPROVAL
    assert f"ipmp approve {first.approval_id}" in decision.sentence()
    memory = Memory(approved=frozenset({first.approval_id}))
    assert reasons(first, situation(memory, policy)) == []
    assert reasons(again, situation(memory, policy)) == [Reason.APPROVAL]
    held = status(holds={"ni0": HOLD})
    assert reasons(first, situation(policy=policy, daemon=held)) == [Reason.HELD]


@pytest.mark.checklist("7.1", 39)
def test_every_objection_is_told_and_every_rail_has_a_reason_of_its_own() -> None:
    policy = config(
        _limits(cooldown=100.0, drained_group=1, loop_guard=60.0),
        pause=Pause("upgrade"),
    )
    memory = Memory(drains=(drain("ni1"),), acts=_acts(NOW - 61))
    found = reasons(episode(), situation(memory, policy))
    assert found == [
        Reason.PAUSED,
        Reason.LOOP_GUARD,
        Reason.CONCURRENCY_GROUP,
        Reason.COOLDOWN,
    ]
    assert len({*DRAIN_RAILS, *LAST_RAILS}) == len(DRAIN_RAILS) + len(LAST_RAILS)


def test_the_documentation_has_every_reason_and_no_other() -> None:
    text = (Path(__file__).parents[3] / "docs" / "remediation.md").read_text()
    table = text[text.index("| reason |") : text.index("Bringing back")]
    told = [
        word
        for line in table.splitlines()[2:]
        for word in re.findall(r"`(\w+)`", line.split("|")[1] if "|" in line else "")
    ]
    assert sorted(told) == sorted(REFUSAL_REASONS)
