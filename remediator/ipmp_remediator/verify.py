"""Did it work? The daemon's state after an operation, compared with what it was before. Pure."""

from __future__ import annotations

from ipmp.model import GroupState, OperationResult, Status
from ipmp_remediator.decision import Action, Decision, Kind, Reason
from ipmp_remediator.state import Operation


def verify(
    operation: Operation, result: OperationResult, before: Status, after: Status | None
) -> tuple[list[Decision], Reason | None]:
    """Return what is to be recorded about an operation that was carried out, and why to undo it.

    `after` is None when the daemon could not be asked again.
    """
    why = result.sentence if result.verified else f"{result.sentence} (not verified)"
    done = Kind.DRAINED if operation.action is Action.DRAIN else Kind.UNDRAINED
    decisions = [operation.decide(done, why=why)]
    hurt = harm(operation.group, before, after) if after else ""
    if hurt and operation.action is Action.DRAIN:
        decisions.append(operation.decide(Kind.ESCALATED, Reason.GROUP_HURT, why=hurt))
        return decisions, Reason.GROUP_HURT
    if not result.verified:
        decisions.append(operation.decide(Kind.ESCALATED, Reason.UNVERIFIED, why=result.sentence))
    return decisions, None


def harm(group: str, before: Status, after: Status) -> str:
    """Say in a few words what has become worse for a group, or nothing."""
    old, new = before.group(group), after.group(group)
    if old and new and new.state is GroupState.FAILED and old.state is not GroupState.FAILED:
        return "no interface of it works any more"
    carried = {a.address for a in before.addresses if a.group == group and a.interface}
    lost = [a.address for a in after.addresses if a.address in carried and a.interface is None]
    return f"{', '.join(lost)} is on no interface any more" if lost else ""
