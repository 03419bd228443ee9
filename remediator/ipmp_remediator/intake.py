"""The judgement of an alert when it arrives, while its sender waits for the answer.

Pure functions of values and `now`. Each check is a *rail*: it lets the request pass (None) or ends
it with a Decision. Rails run in the order of `INTAKE_RAILS`, the first that objects gives the
reason; a new rail is a function and a place in that tuple. What only the daemon can tell is judged
later, in `turn`.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ipmp_remediator.decision import Action, Decision, Kind, Reason
from ipmp_remediator.payload import Alert, AlertStatus
from ipmp_remediator.policy import Config
from ipmp_remediator.state import Episode, Known, Outcome, Request

CLOCK_SKEW_LIMIT = 300.0  # seconds that a sender's clock may be ahead of ours
_MICROSECONDS = 1_000_000

_ACTION = {AlertStatus.FIRING: Action.DRAIN, AlertStatus.RESOLVED: Action.UNDRAIN}


class Rules(msgspec.Struct, frozen=True):
    """What an alert is judged by when it arrives."""

    config: Config
    members: frozenset[str] | None  # interfaces the daemon last reported; None before it did


def select(alert: Alert, config: Config) -> Request | Decision:
    """Find what the first matching policy makes of an alert: a request, or why there is none."""
    action = _ACTION[alert.status]
    policy = config.policy_for(alert.labels)
    if policy is None:
        return Decision(
            kind=Kind.IGNORED,
            reason=Reason.NO_POLICY,
            alertname=alert.name,
            fingerprint=alert.fingerprint,
        )
    group = alert.labels.get(policy.group_label, "")
    interface = alert.labels.get(policy.interface_label, "")
    request = Request(
        action=action,
        alertname=alert.name,
        fingerprint=alert.fingerprint,
        started=alert.started,
        group=group,
        interface=interface,
        policy=policy.name,
    )
    for label, value in ((policy.group_label, group), (policy.interface_label, interface)):
        if not value:
            return request.decide(Kind.REFUSED, Reason.MISSING_LABEL, label=label)
    return request


def resume(alert: Alert, episode: Episode) -> Request:
    """Make the request of a resolved alert from what its firing asked for.

    The policy file may have changed since; what was drained under the old one still comes back.
    """
    return Request(
        action=_ACTION[alert.status],
        alertname=episode.alertname,
        fingerprint=episode.fingerprint,
        started=max(alert.started, episode.started),
        group=episode.group,
        interface=episode.interface,
        policy=episode.policy,
    )


def intake(request: Request, alert: Alert, known: Known, rules: Rules, now: float) -> Decision:
    """Judge a request when its alert arrives; QUEUED means that it is to be carried out."""
    for rail in INTAKE_RAILS:
        if decision := rail(request, alert, known, rules, now):
            return decision
    if request.action is Action.DRAIN:
        return request.decide(Kind.QUEUED, Reason.FIRING)
    return request.decide(Kind.QUEUED, Reason.RESOLVED, seconds=rules.config.hold_down)


def _age(request: Request, now: float) -> float:
    return now - request.started / _MICROSECONDS


def too_old(request: Request, max_alert_age: float, now: float) -> Decision | None:
    """After an outage of hours the sender's memory is not a reason to act."""
    age = _age(request, now)
    if request.action is Action.UNDRAIN or age <= max_alert_age:
        return None
    return _stale(request, f"it began {age:.0f} s ago, the limit is {max_alert_age:.0f} s")


def _stale(request: Request, why: str) -> Decision:
    return request.decide(Kind.REFUSED, Reason.STALE, why=why)


def _repeated(
    request: Request, alert: Alert, known: Known, _rules: Rules, _now: float
) -> Decision | None:
    """Re-sends are one event; news from before the newest news is stale.

    High-availability pairs deliver at least once and out of order, so a firing may come after its
    own resolution. A resolution counts when the alert ended after the newest episode began, since
    Alertmanager may have merged episodes and then names the earliest start.
    """
    episode = known.episode
    if episode is None:
        return None
    if alert.status is AlertStatus.RESOLVED:
        return _repeated_resolution(request, alert, episode)
    if alert.started != episode.started:
        newer = alert.started > episode.started
        return None if newer else _stale(request, "a later episode of it is known")
    if episode.status is AlertStatus.RESOLVED:
        return _stale(request, "it is resolved already")
    if episode.outcome is Outcome.REFUSED:
        return None  # the sender's repeats are our retries
    return request.decide(Kind.IGNORED, Reason.DUPLICATE, status=alert.status)


def _repeated_resolution(request: Request, alert: Alert, episode: Episode) -> Decision | None:
    if episode.status is AlertStatus.FIRING:
        began_again = alert.ended < episode.started
        return _stale(request, "it has begun to fire again since") if began_again else None
    if alert.started <= episode.started:
        return request.decide(Kind.IGNORED, Reason.DUPLICATE, status=alert.status)
    return None


def _clock(
    request: Request, _alert: Alert, _known: Known, _rules: Rules, now: float
) -> Decision | None:
    """An episode from the future would make every honest one after it look stale."""
    ahead = -_age(request, now)
    if ahead <= CLOCK_SKEW_LIMIT:
        return None
    return request.decide(Kind.REFUSED, Reason.CLOCK_SKEW, seconds=round(ahead))


def _allowed(
    request: Request, _alert: Alert, _known: Known, rules: Rules, _now: float
) -> Decision | None:
    """Only the pairs of `[allow]` may be drained; our own drains may always be undone."""
    pair = (request.group, request.interface)
    if request.action is Action.UNDRAIN or pair in rules.config.allow:
        return None
    if rules.members is not None and request.interface not in rules.members:
        return request.decide(Kind.REFUSED, Reason.UNKNOWN_OBJECT)
    return request.decide(Kind.REFUSED, Reason.NOT_ALLOWED)


def _fresh(
    request: Request, _alert: Alert, _known: Known, rules: Rules, now: float
) -> Decision | None:
    return too_old(request, rules.config.max_alert_age, now)


def _something_drained(
    request: Request, _alert: Alert, known: Known, _rules: Rules, _now: float
) -> Decision | None:
    if request.action is Action.DRAIN or known.drained:
        return None
    return request.decide(Kind.IGNORED, Reason.NOTHING_DRAINED)


IntakeRail = Callable[[Request, Alert, Known, Rules, float], Decision | None]

INTAKE_RAILS: tuple[IntakeRail, ...] = (_repeated, _clock, _allowed, _fresh, _something_drained)
