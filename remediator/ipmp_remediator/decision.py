"""What the remediator decided about one alert or one interface, why, and the sentence that says so.

Audit table, log, metrics, `GET /v1/decisions` and `explain` are all rendered from the same
`Decision`. `kind` and `reason` are closed lists; `detail` carries the facts of the sentence.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ipmp_remediator.sentences import FACTS, sentence_for


class Action(StrEnum):
    """What is done to an interface: drained (taken offline), undrained (brought online)."""

    DRAIN = "drain"
    UNDRAIN = "undrain"


class Kind(StrEnum):
    """What became of the alert or of the interface."""

    QUEUED = "queued"
    NOTED = "noted"
    IGNORED = "ignored"
    REFUSED = "refused"
    WAITING = "waiting"
    DRAINED = "drained"
    UNDRAINED = "undrained"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    ESCALATED = "escalated"
    FORGOTTEN = "forgotten"


class Reason(StrEnum):
    """Why: a closed list, so that it can be a metric label."""

    FIRING = "firing"
    RESOLVED = "resolved"
    NOTIFY_ONLY = "notify_only"
    ALERT_HOLD = "alert_hold"
    ALERT_ONLINE = "alert_online"
    NO_POLICY = "no_policy"
    DUPLICATE = "duplicate"
    NOTHING_DRAINED = "nothing_drained"
    OTHER_ALERT_OPEN = "other_alert_open"
    ALREADY_OFFLINE = "already_offline"
    ALREADY_DRAINED = "already_drained"
    ALREADY_ONLINE = "already_online"
    MISSING_LABEL = "missing_label"
    OTHER_HOST = "other_host"
    NOT_ALLOWED = "not_allowed"
    UNKNOWN_OBJECT = "unknown_object"
    NOT_IN_GROUP = "not_in_group"
    STALE = "stale"
    CLOCK_SKEW = "clock_skew"
    DELAY = "delay"
    THRESHOLD = "threshold"
    MIN_USABLE = "min_usable"
    CONCURRENCY_GROUP = "concurrency_group"
    CONCURRENCY_HOST = "concurrency_host"
    COOLDOWN = "cooldown"
    RATE_INTERFACE = "rate_interface"
    RATE_GROUP = "rate_group"
    RATE_HOST = "rate_host"
    LOOP_GUARD = "loop_guard"
    STORM = "storm"
    BREAKER = "breaker"
    HELD = "held"
    OPERATOR = "operator"
    PAUSED = "paused"
    MAINTENANCE = "maintenance"
    APPROVAL = "approval"
    DRY_RUN = "dry_run"
    BUDGET_FULL = "budget_full"
    BUDGET_UNREACHABLE = "budget_unreachable"
    BUDGET_SETTLING = "budget_settling"
    BUDGET_NOT_ALLOWED = "budget_not_allowed"
    DUPLICATE_HWADDR = "duplicate_hwaddr"
    BUSY = "busy"
    UNVERIFIED = "unverified"
    GROUP_HURT = "group_hurt"
    DID_NOT_HELP = "did_not_help"
    DAEMON_UNREACHABLE = "daemon_unreachable"
    DAEMON_ERROR = "daemon_error"
    INVALID = "invalid"


# The reasons that a refusal can have: each is pre-created in `ipmp_remediation_refusals_total`.
REFUSAL_REASONS = (
    Reason.MISSING_LABEL,
    Reason.OTHER_HOST,
    Reason.NOT_ALLOWED,
    Reason.UNKNOWN_OBJECT,
    Reason.NOT_IN_GROUP,
    Reason.STALE,
    Reason.CLOCK_SKEW,
    Reason.DELAY,
    Reason.THRESHOLD,
    Reason.MIN_USABLE,
    Reason.CONCURRENCY_GROUP,
    Reason.CONCURRENCY_HOST,
    Reason.COOLDOWN,
    Reason.RATE_INTERFACE,
    Reason.RATE_GROUP,
    Reason.RATE_HOST,
    Reason.LOOP_GUARD,
    Reason.STORM,
    Reason.BREAKER,
    Reason.ALERT_HOLD,
    Reason.ALERT_ONLINE,
    Reason.HELD,
    Reason.PAUSED,
    Reason.MAINTENANCE,
    Reason.APPROVAL,
    Reason.DRY_RUN,
    Reason.BUDGET_FULL,
    Reason.BUDGET_UNREACHABLE,
    Reason.BUDGET_SETTLING,
    Reason.BUDGET_NOT_ALLOWED,
    Reason.DUPLICATE_HWADDR,
    Reason.BUSY,
)

# Why a person is called: each is pre-created in `ipmp_remediation_escalations_total`.
ESCALATION_REASONS = (Reason.UNVERIFIED, Reason.GROUP_HURT, Reason.DID_NOT_HELP)

Detail = dict[str, str | int | float]


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """One decision; `sentence()` is what people read."""

    kind: Kind
    reason: Reason
    action: Action | None = None  # None where the alert asks for no action on an interface
    alertname: str = ""
    fingerprint: str = ""
    group: str = ""
    interface: str = ""
    policy: str = ""
    detail: Detail = {}

    def sentence(self) -> str:
        """Render the decision as one clear sentence."""
        facts = dict.fromkeys(FACTS, "") | self.detail
        text = sentence_for(self.kind, self.reason).format(
            alertname=self.alertname or "(no name)",
            group=self.group,
            interface=self.interface or "every interface",
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
