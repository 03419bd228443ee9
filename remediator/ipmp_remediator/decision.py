"""What the remediator decided about one alert or one job, why, and the sentence that says so.

Audit table, log, metrics and `GET /v1/decisions` are all rendered from the same `Decision`. `kind`
and `reason` are closed lists; `detail` carries the facts that the sentence needs.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Action(StrEnum):
    """What an alert asks for: drain while it fires, undrain when it is resolved."""

    DRAIN = "drain"
    UNDRAIN = "undrain"


class Kind(StrEnum):
    """What became of the alert or of the job."""

    QUEUED = "queued"
    IGNORED = "ignored"
    REFUSED = "refused"
    WAITING = "waiting"
    DRAINED = "drained"
    UNDRAINED = "undrained"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    FORGOTTEN = "forgotten"


class Reason(StrEnum):
    """Why: a closed list, so that it can be a metric label."""

    FIRING = "firing"
    RESOLVED = "resolved"
    NO_POLICY = "no_policy"
    DUPLICATE = "duplicate"
    NOTHING_DRAINED = "nothing_drained"
    SUPERSEDED = "superseded"
    OTHER_ALERT_OPEN = "other_alert_open"
    ALREADY_OFFLINE = "already_offline"
    ALREADY_DRAINED = "already_drained"
    ALREADY_ONLINE = "already_online"
    MISSING_LABEL = "missing_label"
    NOT_ALLOWED = "not_allowed"
    UNKNOWN_OBJECT = "unknown_object"
    NOT_IN_GROUP = "not_in_group"
    STALE = "stale"
    CLOCK_SKEW = "clock_skew"
    MIN_USABLE = "min_usable"
    DUPLICATE_HWADDR = "duplicate_hwaddr"
    HELD = "held"
    BUSY = "busy"
    MAINTENANCE = "maintenance"
    OPERATOR = "operator"
    DRY_RUN = "dry_run"
    DAEMON_UNREACHABLE = "daemon_unreachable"
    DAEMON_ERROR = "daemon_error"
    INVALID = "invalid"


# The reasons that a refusal can have: each is pre-created in `ipmp_remediation_refusals_total`.
REFUSAL_REASONS = (
    Reason.MISSING_LABEL,
    Reason.NOT_ALLOWED,
    Reason.UNKNOWN_OBJECT,
    Reason.NOT_IN_GROUP,
    Reason.STALE,
    Reason.CLOCK_SKEW,
    Reason.MIN_USABLE,
    Reason.DUPLICATE_HWADDR,
    Reason.HELD,
    Reason.BUSY,
    Reason.MAINTENANCE,
    Reason.OPERATOR,
    Reason.DRY_RUN,
)


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """One decision; `sentence()` is what people read."""

    kind: Kind
    reason: Reason
    action: Action | None = None  # None while no policy says what the alert asks for
    alertname: str = ""
    fingerprint: str = ""
    group: str = ""
    interface: str = ""
    policy: str = ""
    detail: dict[str, str | int | float] = {}

    def sentence(self) -> str:
        """Render the decision as one clear sentence."""
        template = _SENTENCES.get((self.kind, self.reason)) or _SENTENCES[(self.kind, None)]
        facts = dict.fromkeys(_FACTS, "") | self.detail
        text = template.format(
            alertname=self.alertname or "(no name)",
            group=self.group,
            interface=self.interface,
            action=self.action or "",
            policy=self.policy,
            reason=self.reason,
            **facts,
        )
        return text.rstrip(" :")


class Record(msgspec.Struct, frozen=True):
    """One line of the audit table and of `GET /v1/decisions`: a decision, numbered and dated."""

    id: int
    time: float
    decision: Decision
    sentence: str


# Facts that templates may use; absent ones render as nothing.
_FACTS = ("why", "label", "seconds", "limit", "name", "actor", "status")

_SENTENCES: dict[tuple[Kind, Reason | None], str] = {
    (Kind.QUEUED, Reason.FIRING): (
        "alert {alertname} fires: the drain of {interface} in group {group} is queued "
        "(policy {policy})"
    ),
    (Kind.QUEUED, Reason.RESOLVED): (
        "alert {alertname} is resolved: {interface} in group {group} is queued to be brought "
        "online in {seconds} s"
    ),
    (Kind.IGNORED, Reason.NO_POLICY): "no policy matches alert {alertname}; nothing is done",
    (Kind.IGNORED, Reason.DUPLICATE): (
        "alert {alertname} ({status}) for {interface} is known already; nothing more is done"
    ),
    (Kind.IGNORED, Reason.NOTHING_DRAINED): (
        "alert {alertname} is resolved and had not drained {interface}; nothing is brought online"
    ),
    (Kind.IGNORED, Reason.SUPERSEDED): (
        "the {action} of {interface} is no longer wanted: alert {alertname} {why}"
    ),
    (Kind.IGNORED, Reason.OTHER_ALERT_OPEN): (
        "{interface} stays offline: alert {name} still names it"
    ),
    (Kind.REFUSED, Reason.MISSING_LABEL): (
        "alert {alertname} matches policy {policy} but has no label {label}; add it to the rule"
    ),
    (Kind.REFUSED, Reason.NOT_ALLOWED): (
        "{interface} of group {group} is not in [allow] of the policy file; nothing is changed"
    ),
    (Kind.REFUSED, Reason.UNKNOWN_OBJECT): (
        "the daemon knows no interface {interface}; nothing is changed"
    ),
    (Kind.REFUSED, Reason.NOT_IN_GROUP): (
        "{interface} is not a member of group {group}; nothing is changed"
    ),
    (Kind.REFUSED, Reason.STALE): "alert {alertname} for {interface} is stale: {why}",
    (Kind.REFUSED, Reason.CLOCK_SKEW): (
        "alert {alertname} starts {seconds} s in the future; compare the clocks of this host and "
        "of Prometheus"
    ),
    (Kind.REFUSED, Reason.MIN_USABLE): (
        "{interface} is not drained, group {group} would be left with too few usable "
        "interfaces: {why}"
    ),
    (Kind.REFUSED, Reason.HELD): (
        "{interface} is on hold and left alone; `ipmp release {interface}` lifts it: {why}"
    ),
    (Kind.REFUSED, Reason.MAINTENANCE): (
        "remediation is paused by {actor}; `ipmp resume` lifts it: {why}"
    ),
    (Kind.REFUSED, Reason.OPERATOR): (
        "{interface} stays offline: it was since taken offline by {actor}"
    ),
    (Kind.REFUSED, Reason.DRY_RUN): "dry run, nothing is changed; the daemon answers: {why}",
    (Kind.REFUSED, None): "the daemon refused to {action} {interface} ({reason}): {why}",
    (Kind.WAITING, Reason.DAEMON_UNREACHABLE): (
        "mpathd does not answer ({why}); the {action} of {interface} waits for it"
    ),
    (Kind.WAITING, None): "the {action} of {interface} waits ({reason}): {why}",
    (Kind.DRAINED, None): "{interface} of group {group} was taken offline for {alertname}: {why}",
    (Kind.UNDRAINED, None): (
        "{interface} of group {group} was brought online, {alertname} is resolved: {why}"
    ),
    (Kind.UNCHANGED, Reason.ALREADY_OFFLINE): (
        "{interface} was taken offline by {actor} already; it will not be brought online "
        "by the remediator"
    ),
    (Kind.UNCHANGED, Reason.ALREADY_DRAINED): (
        "{interface} is drained already, for alert {name}; it stays offline until both are resolved"
    ),
    (Kind.UNCHANGED, Reason.ALREADY_ONLINE): "{interface} is online already",
    (Kind.FAILED, None): "the daemon could not {action} {interface}: {why}",
    (Kind.FORGOTTEN, None): (
        "{interface} is no longer offline on the remediator's account ({reason}); its drain "
        "for {alertname} is forgotten"
    ),
}
