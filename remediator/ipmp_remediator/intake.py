"""The judgement of an alert when it arrives, while its sender waits for the answer.

Pure functions of values and `now`. Each check is a *rail*: it lets the request pass (None) or ends
it with a Decision. Rails run in the order of `INTAKE_RAILS`, the first that objects gives the
reason; a new rail is a function and a place in that tuple. What only the daemon can tell is judged
later, by the rails (`rails`).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ipmp_remediator.decision import Action, Decision, Kind, Reason
from ipmp_remediator.payload import Alert, AlertStatus
from ipmp_remediator.policy import Config, Policy, Wish
from ipmp_remediator.rails.alert import max_age
from ipmp_remediator.state import Episode, Known, Request

CLOCK_SKEW_LIMIT = 300.0  # seconds that a sender's clock may be ahead of ours
_MICROSECONDS = 1_000_000

_NOTED = {
    Wish.ONLINE: Reason.ALERT_ONLINE,
    Wish.HOLD: Reason.ALERT_HOLD,
    Wish.NOTIFY_ONLY: Reason.NOTIFY_ONLY,
}


class Rules(msgspec.Struct, frozen=True):
    """What an alert is judged by when it arrives."""

    config: Config
    members: frozenset[str] | None  # interfaces the daemon last reported; None before it did


def select(alert: Alert, config: Config) -> Request | Decision:
    """Find what the first matching policy makes of an alert: a request, or why there is none."""
    policy = config.policy_for(alert.labels, alert.annotations)
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
        fingerprint=alert.fingerprint,
        group=group,
        interface=interface,
        alertname=alert.name,
        policy=policy.name,
        wish=policy.action,
        status=alert.status,
        started=alert.started,
    )
    return _incomplete(request, alert, policy, config) or request


def _incomplete(request: Request, alert: Alert, policy: Policy, config: Config) -> Decision | None:
    """Say what is missing, or that the alert is about another host."""
    needed = [(policy.group_label, request.group)]
    if policy.action in (Wish.OFFLINE, Wish.ONLINE):  # the others may speak for a whole group
        needed.append((policy.interface_label, request.interface))
    for label, value in needed:
        if not value and policy.action is not Wish.NOTIFY_ONLY:
            return request.decide(Kind.REFUSED, Reason.MISSING_LABEL, label=label)
    if not policy.host_label:
        return None
    host = host_of(alert.labels.get(policy.host_label, ""))
    if not host:
        return request.decide(Kind.REFUSED, Reason.MISSING_LABEL, label=policy.host_label)
    if host not in config.host_names:
        return request.decide(Kind.REFUSED, Reason.OTHER_HOST, name=host)
    return None


def host_of(text: str) -> str:
    """Return the host of a label such as `instance`: without port and brackets."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    host, _, rest = text.rpartition(":")
    return host if host and ":" not in host and rest.isdigit() else text


def resume(alert: Alert, episode: Episode) -> Request:
    """Make the request of a resolved alert from what its firing asked for.

    The policy file may have changed since; what was drained under the old one still comes back.
    """
    return Request(
        fingerprint=episode.fingerprint,
        group=episode.group,
        interface=episode.interface,
        alertname=episode.alertname,
        policy=episode.policy,
        wish=episode.wish,
        status=alert.status,
        started=max(alert.started, episode.started),
    )


def intake(request: Request, alert: Alert, known: Known, rules: Rules, now: float) -> Decision:
    """Judge a request when its alert arrives; QUEUED and NOTED mean that it is remembered."""
    for rail in INTAKE_RAILS:
        if decision := rail(request, alert, known, rules, now):
            return decision
    if request.wish is not Wish.OFFLINE:
        return request.decide(Kind.NOTED, _NOTED[request.wish], status=alert.status)
    if request.status is AlertStatus.FIRING:
        return request.decide(Kind.QUEUED, Reason.FIRING)
    policy = rules.config.policy(request.policy)
    own = policy.hold_down if policy else None
    seconds = rules.config.hold_down if own is None else own
    return request.decide(Kind.QUEUED, Reason.RESOLVED, seconds=seconds)


def _age(request: Request, now: float) -> float:
    return now - request.started / _MICROSECONDS


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
    if request.action is not Action.DRAIN or pair in rules.config.allow:
        return None
    if rules.members is not None and request.interface not in rules.members:
        return request.decide(Kind.REFUSED, Reason.UNKNOWN_OBJECT)
    return request.decide(Kind.REFUSED, Reason.NOT_ALLOWED)


def _fresh(
    request: Request, _alert: Alert, _known: Known, rules: Rules, now: float
) -> Decision | None:
    """After an outage of hours the sender's memory is not a reason to act."""
    age, limit = _age(request, now), max_age(rules.config, request.policy)
    if request.status is AlertStatus.RESOLVED or age <= limit:
        return None
    return _stale(request, f"it began {age:.0f} s ago, the limit is {limit:.0f} s")


def _something_drained(
    request: Request, _alert: Alert, known: Known, _rules: Rules, _now: float
) -> Decision | None:
    if request.action is not Action.UNDRAIN:
        return None
    if not known.drained:
        return request.decide(Kind.IGNORED, Reason.NOTHING_DRAINED)
    if known.keeper:
        return request.decide(Kind.IGNORED, Reason.OTHER_ALERT_OPEN, name=known.keeper)
    return None


IntakeRail = Callable[[Request, Alert, Known, Rules, float], Decision | None]

INTAKE_RAILS: tuple[IntakeRail, ...] = (_repeated, _clock, _allowed, _fresh, _something_drained)
