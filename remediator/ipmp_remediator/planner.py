"""From what is open, drained and allowed to the next step. Pure: values and `now` in, a plan out.

Level-triggered: what should be offline follows from the alerts that are open now, not from the
order in which they came. A plan has at most one operation; after it everything is read and planned
anew, so that every limit counts what was just done. Bringing back comes before draining. What is
decided is recorded once, until it becomes something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from ipmp.model import Status
from ipmp_remediator.decision import Action, Decision, Kind, Reason
from ipmp_remediator.policy import Config, OnNoHelp, Wish
from ipmp_remediator.rails import objections, return_objections
from ipmp_remediator.rails.situation import Situation
from ipmp_remediator.state import Change, Drain, Episode, Memory, Operation, Outcome, Trouble

RECHECK = 1.0  # seconds until it is looked again whether a rail still objects


class Plan(msgspec.Struct, frozen=True):
    """What to store, what to ask the daemon for, and when to look again at the latest."""

    changes: tuple[Change, ...]
    trouble: Trouble
    operation: Operation | None = None
    about: Episode | Drain | None = None  # what the operation is for
    wake: float | None = None  # Unix seconds; None: nothing waits for its time


class _Step(msgspec.Struct, frozen=True):
    """What follows for one drain or one episode."""

    change: Change | None = None
    operation: Operation | None = None
    about: Episode | Drain | None = None
    wake: float | None = None


def plan(
    config: Config,
    status: Status,
    memory: Memory,
    now: float,
    *,
    request_id: str,
    resting: Mapping[str, Decision] | None = None,
) -> Plan:
    """Make a plan; `request_id` names its operation.

    `resting` interfaces are asked about later, for the reason of the last answer.
    """
    resting = resting or {}
    situation = Situation.of(config, status, memory, now)
    trouble = situation.trouble
    changes: list[Change] = []
    wakes: list[float] = []
    for step in _steps(situation, request_id):
        if step.change:
            changes.append(step.change)
        if step.wake is not None:
            wakes.append(step.wake)
        if step.operation is None or _rehearsed(step.about, config):
            continue
        if last := resting.get(step.operation.interface):
            if change := _waits(step, last):
                changes.append(change)
            wakes.append(now + RECHECK)
            continue
        return Plan(tuple(changes), trouble, step.operation, step.about)
    return Plan(tuple(changes), trouble, wake=min(wakes, default=None))


def still_ours(drain: Drain, status: Status) -> Reason | None:
    """Tell why a drain is no longer ours (None while it is): somebody else has acted since."""
    interface = status.interface(drain.interface)
    if interface is None:
        return Reason.UNKNOWN_OBJECT
    if interface.offline is None:
        return Reason.ALREADY_ONLINE
    return None if interface.offline.request_id == drain.request_id else Reason.OPERATOR


def told(decision: Decision) -> str:
    """What is compared to tell whether a decision is news."""
    return f"{decision.kind}/{decision.reason}"


def refused(about: Episode | Drain, decision: Decision) -> Change | None:
    """Make the record of a refusal, unless it was recorded already."""
    if about.told == told(decision):
        return None
    if isinstance(about, Drain):
        return Change(decision, drain=msgspec.structs.replace(about, told=told(decision)))
    return Change(decision, episode=msgspec.structs.replace(about, told=told(decision)))


def _waits(step: _Step, last: Decision) -> Change | None:
    """Every alert is told what the first one was told that asked for the same."""
    assert step.operation
    assert step.about
    if last.action is not step.operation.action:
        return None
    decision = step.operation.decide(last.kind, last.reason, **last.detail)
    return refused(step.about, decision)


def _rehearsed(about: Episode | Drain | None, config: Config) -> bool:
    """Tell whether a dry run has asked the daemon already."""
    return config.dry_run and about is not None and about.told == f"{Kind.REFUSED}/{Reason.DRY_RUN}"


def _steps(situation: Situation, request_id: str) -> Iterator[_Step]:
    for drain in situation.memory.drains:
        if not situation.busy(drain.interface):
            yield _of_drain(drain, situation, request_id)
    for episode in sorted(situation.memory.episodes, key=lambda e: (e.started, e.fingerprint)):
        wanted = episode.firing and episode.wish is Wish.OFFLINE
        if wanted and episode.outcome is Outcome.PENDING and not situation.busy(episode.interface):
            yield _of_episode(episode, situation, request_id)


def _of_drain(drain: Drain, situation: Situation, request_id: str) -> _Step:
    """Keep a drain, bring its interface back, or forget it."""
    if lost := still_ours(drain, situation.status):
        decision = drain.decide(Kind.FORGOTTEN, lost)
        return _Step(Change(decision, forget=drain.interface))
    online = situation.open_alert(Wish.ONLINE, drain.group, drain.interface)
    keepers = situation.keepers(drain.interface)
    if keepers and not drain.undo and not online:
        return _helped(drain, keepers[0], situation)
    if not drain.undo and not online:
        end = _resolved_at(drain, situation) + _hold_down(drain, situation.config)
        if end > situation.now:
            return _Step(wake=end)
    reason = Reason(drain.undo or (Reason.ALERT_ONLINE if online else Reason.RESOLVED))
    if found := return_objections(drain, situation):
        return _Step(refused(drain, found[0]), wake=situation.now + RECHECK)
    operation = Operation(
        request_id=request_id,
        action=Action.UNDRAIN,
        interface=drain.interface,
        group=drain.group,
        fingerprint=drain.fingerprint,
        alertname=drain.alertname,
        policy=drain.policy,
        reason=reason,
        began=situation.now,
        name=online.alertname if online else "",
    )
    return _Step(operation=operation, about=drain)


def _of_episode(episode: Episode, situation: Situation, request_id: str) -> _Step:
    """Drain what an open alert names, or say why not."""
    found = objections(episode, situation)
    on_target = found and found[0].reason in (
        Reason.NOT_ALLOWED,
        Reason.UNKNOWN_OBJECT,
        Reason.NOT_IN_GROUP,
    )
    if not on_target and (decision := _offline_already(episode, situation)):
        outcome = msgspec.structs.replace(episode, outcome=Outcome.DONE, told=told(decision))
        return _Step(Change(decision, episode=outcome))
    if found:
        return _Step(refused(episode, found[0]), wake=situation.now + RECHECK)
    operation = Operation(
        request_id=request_id,
        action=Action.DRAIN,
        interface=episode.interface,
        group=episode.group,
        fingerprint=episode.fingerprint,
        alertname=episode.alertname,
        policy=episode.policy,
        reason=Reason.FIRING,
        began=situation.now,
    )
    return _Step(operation=operation, about=episode)


def _offline_already(episode: Episode, situation: Situation) -> Decision | None:
    """Whose offline it is decides whether we may ever undo it."""
    interface = situation.interface(episode.interface)
    if interface is None or interface.offline is None:
        return None
    drain = situation.drain(episode.interface)
    if drain and drain.request_id == interface.offline.request_id:
        return episode.decide(Kind.UNCHANGED, Reason.ALREADY_DRAINED, name=drain.alertname)
    return episode.decide(Kind.UNCHANGED, Reason.ALREADY_OFFLINE, actor=interface.offline.actor)


def _helped(drain: Drain, keeper: Episode, situation: Situation) -> _Step:
    """An alert that fires on although its interface is drained needs a person."""
    policy = situation.config.policy(drain.policy)
    if policy is None or not policy.help_within or drain.escalated:
        return _Step()
    due = drain.since + policy.help_within
    if situation.now < due:
        return _Step(wake=due)
    reason = Reason.DID_NOT_HELP
    decision = drain.decide(Kind.ESCALATED, reason, seconds=round(situation.now - drain.since))
    undo = policy.on_no_help is OnNoHelp.UNDO
    after = msgspec.structs.replace(drain, escalated=True, undo=reason if undo else "")
    episode = msgspec.structs.replace(keeper, outcome=Outcome.GIVEN_UP) if undo else None
    return _Step(Change(decision, drain=after, episode=episode), wake=situation.now)


def _resolved_at(drain: Drain, situation: Situation) -> float:
    """When the last alert that named the interface was resolved."""
    times = [
        e.changed
        for e in situation.memory.episodes
        if e.interface == drain.interface and e.wish is Wish.OFFLINE and not e.firing
    ]
    return max(times, default=drain.since)


def _hold_down(drain: Drain, config: Config) -> float:
    policy = config.policy(drain.policy)
    return config.hold_down if policy is None or policy.hold_down is None else policy.hold_down
