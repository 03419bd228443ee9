"""The judgement of a job when its turn comes, against what the daemon reports right then.

Between the alert and its turn an operator, another alert or a restart may have come, so the state
is read anew and every rail asked again. Pure functions: a *rail* lets the job pass (None) or ends
it with a Decision; `DRAIN_RAILS` and `UNDRAIN_RAILS` give the order. A rail for budget, cooldown or
rate has its place at the end of `DRAIN_RAILS`: after what is needed at all, before the daemon is
asked.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ipmp.model import HoldIntent, InterfaceStatus, ProblemCode, Status
from ipmp_remediator.decision import Action, Decision, Kind, Reason
from ipmp_remediator.intake import too_old
from ipmp_remediator.payload import AlertStatus
from ipmp_remediator.state import Drain, Episode, Job

# What a refusal of the daemon is called here. `busy` is not among them: the worker tries again.
_REFUSALS = {
    ProblemCode.MINIMUM_REDUNDANCY: Reason.MIN_USABLE,
    ProblemCode.UNKNOWN_INTERFACE: Reason.UNKNOWN_OBJECT,
    ProblemCode.NOT_IN_GROUP: Reason.NOT_IN_GROUP,
    ProblemCode.DUPLICATE_HWADDR: Reason.DUPLICATE_HWADDR,
    ProblemCode.HELD: Reason.HELD,
    ProblemCode.BUSY: Reason.BUSY,
}


class View(msgspec.Struct, frozen=True):
    """What is true right before a job is carried out."""

    interface: InterfaceStatus | None
    paused: HoldIntent | None
    drain: Drain | None  # our drain of this interface
    episode: Episode | None  # of the job's own alert
    others: tuple[Episode, ...]  # other alerts that fire and name this interface
    max_alert_age: float


def before_acting(job: Job, view: View, now: float) -> Decision | None:
    """Judge a job when its turn comes; None means that the daemon is to be asked."""
    rails = DRAIN_RAILS if job.action is Action.DRAIN else UNDRAIN_RAILS
    for rail in rails:
        if decision := rail(job, view, now):
            return decision
    return None


def refused(job: Job, code: ProblemCode, why: str) -> Decision:
    """Say what a refusal of the daemon means for a job."""
    if code is ProblemCode.NOT_OFFLINE:
        return job.decide(Kind.UNCHANGED, Reason.ALREADY_ONLINE)
    if code is ProblemCode.ALREADY_OFFLINE:
        return job.decide(Kind.UNCHANGED, Reason.ALREADY_OFFLINE, actor="somebody else")
    if reason := _REFUSALS.get(code):
        return job.decide(Kind.REFUSED, reason, why=why)
    return job.decide(Kind.FAILED, Reason.INVALID, why=why)


def still_ours(drain: Drain, status: Status) -> Reason | None:
    """Tell why a drain is no longer ours (None while it is): somebody else has acted since."""
    interface = status.interface(drain.interface)
    if interface is None:
        return Reason.UNKNOWN_OBJECT
    if interface.offline is None:
        return Reason.ALREADY_ONLINE
    return None if interface.offline.request_id == drain.request_id else Reason.OPERATOR


def _member(job: Job, view: View, _now: float) -> Decision | None:
    if view.interface is None:
        return job.decide(Kind.REFUSED, Reason.UNKNOWN_OBJECT)
    if view.interface.group != job.group:
        return job.decide(Kind.REFUSED, Reason.NOT_IN_GROUP)
    return None


def _offline_already(job: Job, view: View, _now: float) -> Decision | None:
    """Whose offline it is decides whether we may ever undo it."""
    offline = view.interface.offline if view.interface else None
    if offline is None:
        return None
    if offline.request_id == job.request_id:
        return job.decide(Kind.DRAINED, Reason.FIRING, why="found done after an interruption")
    if view.drain and offline.request_id == view.drain.request_id:
        return job.decide(Kind.UNCHANGED, Reason.ALREADY_DRAINED, name=view.drain.alertname)
    return job.decide(Kind.UNCHANGED, Reason.ALREADY_OFFLINE, actor=offline.actor)


def _still_firing(job: Job, view: View, _now: float) -> Decision | None:
    """A resolved alert drains nothing, unless the daemon may be at it: then its answer counts."""
    episode = view.episode
    if job.sent or (episode and episode.status is AlertStatus.FIRING):
        return None
    return job.decide(Kind.IGNORED, Reason.SUPERSEDED, why="is resolved")


def _still_fresh(job: Job, view: View, now: float) -> Decision | None:
    return None if job.sent else too_old(job, view.max_alert_age, now)


def _not_paused(job: Job, view: View, _now: float) -> Decision | None:
    if view.paused is None or job.sent:
        return None
    return job.decide(
        Kind.REFUSED, Reason.MAINTENANCE, actor=view.paused.actor, why=view.paused.reason
    )


def _drained_by_this(job: Job, view: View, _now: float) -> Decision | None:
    if view.drain and view.drain.fingerprint == job.fingerprint:
        return None
    return job.decide(Kind.IGNORED, Reason.NOTHING_DRAINED)


def _still_offline(job: Job, view: View, _now: float) -> Decision | None:
    interface, drain = view.interface, view.drain
    if interface is None:
        return job.decide(Kind.REFUSED, Reason.UNKNOWN_OBJECT)
    if interface.offline is None:
        if job.sent:
            return job.decide(
                Kind.UNDRAINED, Reason.RESOLVED, why="found done after an interruption"
            )
        return job.decide(Kind.UNCHANGED, Reason.ALREADY_ONLINE)
    if drain and interface.offline.request_id != drain.request_id:
        return job.decide(Kind.REFUSED, Reason.OPERATOR, actor=interface.offline.actor)
    return None


def _still_resolved(job: Job, view: View, _now: float) -> Decision | None:
    episode = view.episode
    if job.sent or episode is None or episode.started == job.started:
        return None
    again = "fires again" if episode.status is AlertStatus.FIRING else "was resolved once more"
    return job.decide(Kind.IGNORED, Reason.SUPERSEDED, why=again)


def _no_other_alert(job: Job, view: View, _now: float) -> Decision | None:
    if job.sent or not view.others:
        return None
    return job.decide(Kind.IGNORED, Reason.OTHER_ALERT_OPEN, name=view.others[0].alertname)


JobRail = Callable[[Job, View, float], Decision | None]

DRAIN_RAILS: tuple[JobRail, ...] = (
    _member,
    _offline_already,
    _still_firing,
    _still_fresh,
    _not_paused,
)
UNDRAIN_RAILS: tuple[JobRail, ...] = (
    _drained_by_this,
    _still_offline,
    _still_resolved,
    _no_other_alert,
    _not_paused,
)
