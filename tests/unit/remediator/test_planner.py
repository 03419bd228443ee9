"""The plan: what should be offline follows from what is open, whatever the order of the news."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from ipmp.model import HoldIntent, OperationResult
from ipmp_remediator.decision import Action, Kind, Reason
from ipmp_remediator.planner import Plan, plan
from ipmp_remediator.policy import OnNoHelp, Pause, Wish
from ipmp_remediator.state import Memory, Operation, Outcome
from ipmp_remediator.verify import verify
from tests.support.situations import NOW, config, drain, episode, resolved, status

OURS = {"ni0": "ours"}


def planned(memory: Memory, policy: object = None, daemon: object = None, **more: object) -> Plan:
    now = float(more.pop("now", NOW))  # type: ignore[arg-type]
    return plan(policy or config(), daemon or status(), memory, now, request_id="new", **more)  # type: ignore[arg-type]


def verdicts(made: Plan) -> list[tuple[Kind, Reason]]:
    return [(c.decision.kind, c.decision.reason) for c in made.changes if c.decision]


def test_an_open_alert_is_drained_and_a_resolved_one_comes_back() -> None:
    made = planned(Memory(episodes=(episode(),)))
    assert made.operation
    assert (made.operation.action, made.operation.interface) == (Action.DRAIN, "ni0")
    made = planned(Memory(episodes=(resolved(),), drains=(drain(),)), daemon=status(OURS))
    assert made.operation
    assert (made.operation.action, made.operation.reason) == (Action.UNDRAIN, Reason.RESOLVED)


@pytest.mark.checklist("7.1", 18)
def test_one_operation_at_a_time_the_oldest_alert_first_and_returns_before_drains() -> None:
    episodes = (episode("ni1", began=NOW - 5), episode("ni2", began=NOW - 50), resolved("ni0"))
    for order in itertools.permutations(episodes):
        made = planned(Memory(episodes=order, drains=(drain(),)), daemon=status(OURS))
        assert made.operation
        assert made.operation.interface == "ni0"
        made = planned(Memory(episodes=order))
        assert made.operation
        assert made.operation.interface == "ni2"


@pytest.mark.checklist("7.1", 18)
def test_what_the_daemon_works_on_is_left_alone() -> None:
    asked = Operation(
        "r1", Action.DRAIN, "ni0", "ipmp0", "A-ni0", "A", "drain", Reason.FIRING, NOW - 1
    )
    made = planned(Memory(episodes=(episode(),), operations=(asked,)))
    assert made.operation is None


def test_all_alerts_about_a_resting_interface_have_the_reason_of_the_last_answer() -> None:
    first, second = episode(), episode(name="B")
    full = first.decide(Kind.REFUSED, Reason.BUDGET_FULL, why="no slot is free")
    made = planned(Memory(episodes=(first, second)), resting={"ni0": full})
    assert made.operation is None
    assert [c.decision and (c.decision.alertname, c.decision.reason) for c in made.changes] == [
        ("A", Reason.BUDGET_FULL),
        ("B", Reason.BUDGET_FULL),
    ]


def test_a_drain_stays_while_any_alert_is_open() -> None:
    memory = Memory(
        episodes=(resolved(), episode(name="B", outcome=Outcome.DONE)), drains=(drain(),)
    )
    assert planned(memory, daemon=status(OURS)).operation is None
    given_up = Memory(
        episodes=(resolved(), episode(name="B", outcome=Outcome.GIVEN_UP)), drains=(drain(),)
    )
    assert planned(given_up, daemon=status(OURS)).operation is not None


@pytest.mark.checklist("7.1", 16)
@pytest.mark.checklist("7.1", 25)
def test_the_hold_down_is_the_policys_or_the_files() -> None:
    memory = Memory(episodes=(resolved(at=NOW - 10),), drains=(drain(),))
    for policy, wake in (
        (config(hold_down=30.0), NOW + 20),
        (config(hold_down=30.0, policy={"hold_down": 60.0}), NOW + 50),
        (config(hold_down=5.0), None),
    ):
        made = planned(memory, policy, status(OURS))
        assert made.wake == wake
        assert (made.operation is None) == (wake is not None)
    # an alert that was resolved later counts
    later = msgspec.structs.replace(resolved(name="B"), changed=NOW - 1)
    memory = Memory(episodes=(resolved(at=NOW - 100), later), drains=(drain(),))
    assert planned(memory, config(hold_down=30.0), status(OURS)).wake == NOW + 29


@pytest.mark.checklist("7.1", 32)
@pytest.mark.parametrize(
    ("offline", "reason"),
    [({}, Reason.ALREADY_ONLINE), ({"ni0": ""}, Reason.OPERATOR)],
)
def test_what_a_person_did_ends_our_drain(offline: dict[str, str], reason: Reason) -> None:
    memory = Memory(episodes=(episode(outcome=Outcome.DONE),), drains=(drain(),))
    made = planned(memory, daemon=status(offline))
    assert verdicts(made) == [(Kind.FORGOTTEN, reason)]
    assert made.operation is None
    assert planned(Memory(episodes=memory.episodes), daemon=status(offline)).operation is None


def test_what_a_person_took_offline_is_not_ours() -> None:
    made = planned(Memory(episodes=(episode(),)), daemon=status({"ni0": ""}))
    assert verdicts(made) == [(Kind.UNCHANGED, Reason.ALREADY_OFFLINE)]
    assert made.changes[0].episode
    assert made.changes[0].episode.outcome is Outcome.DONE


def test_a_refusal_is_recorded_once() -> None:
    policy = config(pause=Pause("upgrade"))
    made = planned(Memory(episodes=(episode(),)), policy)
    assert verdicts(made) == [(Kind.REFUSED, Reason.PAUSED)]
    known = made.changes[0].episode
    assert known
    made = planned(Memory(episodes=(known,)), policy)
    assert verdicts(made) == []
    assert made.wake is not None
    held = status(holds={"ni0": HoldIntent("x", "root", NOW)})
    assert verdicts(planned(Memory(episodes=(known,)), daemon=held)) == [
        (Kind.REFUSED, Reason.HELD)
    ]


@pytest.mark.parametrize("what", ["pause", "hold", "alert"])
def test_bringing_back_waits_for_people_too(what: str) -> None:
    policy = config(pause=Pause("upgrade")) if what == "pause" else config()
    holds = {"ni0": HoldIntent("x", "root", NOW)} if what == "hold" else {}
    held = episode("", name="H", wish=Wish.HOLD, outcome=Outcome.DONE)
    episodes = (resolved(), held) if what == "alert" else (resolved(),)
    memory = Memory(episodes=episodes, drains=(drain(),))
    made = planned(memory, policy, status(OURS, holds=holds))
    assert made.operation is None
    assert [kind for kind, _ in verdicts(made)] == [Kind.REFUSED]


def test_an_alert_may_ask_for_what_we_drained() -> None:
    online = episode(name="Tested", wish=Wish.ONLINE, outcome=Outcome.DONE)
    memory = Memory(episodes=(episode(outcome=Outcome.DONE), online), drains=(drain(),))
    made = planned(memory, daemon=status(OURS))
    assert made.operation
    assert (made.operation.reason, made.operation.name) == (Reason.ALERT_ONLINE, "Tested")
    other = Memory(episodes=(online,))  # it was a person who took it offline
    assert planned(other, daemon=status({"ni0": ""})).operation is None


@pytest.mark.checklist("7.1", 27)
def test_a_dry_run_is_rehearsed_once() -> None:
    policy = config(dry_run=True)
    assert planned(Memory(episodes=(episode(),)), policy).operation is not None
    told = Memory(episodes=(episode(told="refused/dry_run"), episode("ni1")))
    made = planned(told, policy)
    assert made.operation
    assert made.operation.interface == "ni1"
    assert planned(told, config()).operation is not None


@pytest.mark.checklist("7.1", 35)
def test_an_alert_that_does_not_cease_calls_a_person_once() -> None:
    policy = config(policy={"help_within": 60.0})
    memory = Memory(episodes=(episode(outcome=Outcome.DONE),), drains=(drain(since=NOW - 59),))
    made = planned(memory, policy, status(OURS))
    assert (verdicts(made), made.wake) == ([], NOW + 1)
    made = planned(memory, policy, status(OURS), now=NOW + 1)
    assert verdicts(made) == [(Kind.ESCALATED, Reason.DID_NOT_HELP)]
    after = made.changes[0].drain
    assert after
    memory = Memory(episodes=memory.episodes, drains=(after,))
    made = planned(memory, policy, status(OURS), now=NOW + 2)
    assert (verdicts(made), made.operation) == ([], None)


@pytest.mark.checklist("7.1", 36)
def test_a_drain_that_does_not_help_may_be_undone() -> None:
    policy = config(policy={"help_within": 60.0, "on_no_help": OnNoHelp.UNDO})
    memory = Memory(episodes=(episode(outcome=Outcome.DONE),), drains=(drain(),))
    made = planned(memory, policy, status(OURS))
    change = made.changes[0]
    assert change.drain
    assert change.episode
    assert change.episode.outcome is Outcome.GIVEN_UP
    memory = Memory(episodes=(change.episode,), drains=(change.drain,))
    made = planned(memory, policy, status(OURS))
    assert made.operation
    assert (made.operation.action, made.operation.reason) == (Action.UNDRAIN, Reason.DID_NOT_HELP)
    assert planned(Memory(episodes=(change.episode,)), policy).operation is None  # not again


@pytest.mark.checklist("7.1", 36)
def test_a_drain_that_hurts_its_group_is_undone_and_told() -> None:
    operation = planned(Memory(episodes=(episode(),))).operation
    assert operation
    done = OperationResult("ni0", "offline", True, verified=True, sentence="done")
    assert verify(operation, done, status(), status(OURS)) == (
        [operation.decide(Kind.DRAINED, why="done")],
        None,
    )
    for worse in (status(OURS, failed=("ni1", "ni2")), status(OURS, carrier=None)):
        decisions, undo = verify(operation, done, status(), worse)
        assert undo is Reason.GROUP_HURT
        assert [d.kind for d in decisions] == [Kind.DRAINED, Kind.ESCALATED]
    unverified = msgspec.structs.replace(done, verified=False)
    decisions, undo = verify(operation, unverified, status(), None)
    assert undo is None
    assert [(d.kind, d.reason) for d in decisions] == [
        (Kind.DRAINED, Reason.FIRING),
        (Kind.ESCALATED, Reason.UNVERIFIED),
    ]
