"""The sentence of each decision: one template for a kind and a reason, or for a kind alone."""

from __future__ import annotations

# Facts that templates may use; absent ones render as nothing.
FACTS = ("why", "label", "seconds", "limit", "name", "actor", "status", "id", "count")


def sentence_for(kind: str, reason: str) -> str:
    """Return the template of a decision."""
    return _SENTENCES.get((kind, reason)) or _SENTENCES[(kind, None)]


_SENTENCES: dict[tuple[str, str | None], str] = {
    ("queued", "firing"): (
        "alert {alertname} fires: {interface} of group {group} is wanted offline (policy {policy})"
    ),
    ("queued", "resolved"): (
        "alert {alertname} is resolved: {interface} of group {group} comes back after a hold-down "
        "of {seconds} s"
    ),
    ("noted", "notify_only"): (
        "alert {alertname} is {status} for {interface} of group {group}; policy {policy} only notes"
    ),
    ("noted", "alert_hold"): (
        "alert {alertname} is {status}: while it fires, {interface} of group {group} is left alone"
    ),
    ("noted", "alert_online"): (
        "alert {alertname} is {status}: while it fires, {interface} of group {group} is wanted "
        "online"
    ),
    ("ignored", "no_policy"): "no policy matches alert {alertname}; nothing is done",
    ("ignored", "duplicate"): (
        "alert {alertname} ({status}) for {interface} is known already; nothing more is done"
    ),
    ("ignored", "nothing_drained"): (
        "alert {alertname} is resolved and had not drained {interface}; nothing is brought online"
    ),
    ("ignored", "other_alert_open"): "{interface} stays offline: alert {name} still names it",
    ("refused", "missing_label"): (
        "alert {alertname} matches policy {policy} but has no label {label}; add it to the rule"
    ),
    ("refused", "other_host"): (
        "alert {alertname} is about host {name}, which is none of this host's names (host_names)"
    ),
    ("refused", "not_allowed"): (
        "{interface} of group {group} is not in [allow] of the policy file; nothing is changed"
    ),
    ("refused", "unknown_object"): (
        "the daemon knows no interface {interface}; nothing is changed"
    ),
    ("refused", "not_in_group"): (
        "{interface} is not a member of group {group}; nothing is changed"
    ),
    ("refused", "stale"): "alert {alertname} for {interface} is stale: {why}",
    ("refused", "clock_skew"): (
        "alert {alertname} starts {seconds} s in the future; compare the clocks of this host and "
        "of Prometheus"
    ),
    ("refused", "delay"): (
        "alert {alertname} must fire for {limit} s before {interface} is drained; {seconds} s to go"
    ),
    ("refused", "threshold"): (
        "policy {policy} acts on the {limit}. alert within {seconds} s; for {interface} it has "
        "seen {count}"
    ),
    ("refused", "min_usable"): (
        "{interface} is not drained, group {group} would be left with too few usable "
        "interfaces: {why}"
    ),
    ("refused", "concurrency_group"): (
        "{interface} is not drained: {count} of group {group} are drained already, the limit is "
        "{limit}"
    ),
    ("refused", "concurrency_host"): (
        "{interface} is not drained: {count} of this host are drained already, the limit is {limit}"
    ),
    ("refused", "cooldown"): (
        "{interface} was drained or brought back a moment ago; it is left alone for {seconds} s "
        "more (cooldown)"
    ),
    ("refused", "rate_interface"): (
        "{interface} was drained {count} times within {seconds} s, the limit is {limit}: find the "
        "cause"
    ),
    ("refused", "rate_group"): (
        "group {group} has seen {count} drains within {seconds} s, the limit is {limit}; "
        "{interface} waits"
    ),
    ("refused", "rate_host"): (
        "this host has seen {count} drains within {seconds} s, the limit is {limit}; {interface} "
        "waits"
    ),
    ("refused", "loop_guard"): (
        "alert {alertname} began right after {name} of the same group was drained or brought back "
        "by us; {interface} is not drained for what we may have caused (loop_guard)"
    ),
    ("refused", "storm"): (
        "{count} alerts asked for drains within {seconds} s: that is no matter of one interface, "
        "so nothing more is drained until it has been calm for {limit} s (storm)"
    ),
    ("refused", "breaker"): (
        "the last {count} drains failed; nothing is drained for {seconds} s more (breaker)"
    ),
    ("refused", "alert_hold"): "{interface} is left alone while alert {name} fires",
    ("refused", "alert_online"): "{interface} is not drained while alert {name} wants it online",
    ("refused", "held"): (
        "{interface} is on hold and left alone; `ipmp release {interface}` lifts it: {why}"
    ),
    ("refused", "paused"): "remediation is paused by {actor}; `ipmp resume` lifts it: {why}",
    ("refused", "maintenance"): (
        "nothing is changed within the maintenance window {name}, which ends in {seconds} s"
    ),
    ("refused", "approval"): (
        "the drain of {interface} for {alertname} needs a person: `ipmp approve {id}`"
    ),
    ("refused", "dry_run"): "dry run, nothing is changed; the daemon answers: {why}",
    ("refused", "budget_full"): "{interface} is not drained, the fleet drains enough: {why}",
    ("refused", "budget_unreachable"): (
        "{interface} is not drained, since nobody can say what the fleet drains: {why}"
    ),
    ("refused", "budget_settling"): "{interface} is not drained yet: {why}",
    ("refused", "budget_not_allowed"): (
        "{interface} is not drained, the budget server does not serve us: {why}"
    ),
    ("refused", None): "the daemon refused to {action} {interface} ({reason}): {why}",
    ("waiting", "daemon_unreachable"): (
        "mpathd does not answer ({why}); the {action} of {interface} waits for it"
    ),
    ("waiting", None): "the {action} of {interface} waits ({reason}): {why}",
    ("drained", None): "{interface} of group {group} was taken offline for {alertname}: {why}",
    ("undrained", "alert_online"): (
        "{interface} of group {group} was brought online, as alert {name} wants: {why}"
    ),
    ("undrained", "group_hurt"): (
        "the drain of {interface} was undone, since group {group} suffered: {why}"
    ),
    ("undrained", "did_not_help"): (
        "the drain of {interface} was undone, since alert {alertname} did not cease: {why}"
    ),
    ("undrained", None): (
        "{interface} of group {group} was brought online, {alertname} is resolved: {why}"
    ),
    ("unchanged", "already_offline"): (
        "{interface} was taken offline by {actor} already; it will not be brought online "
        "by the remediator"
    ),
    ("unchanged", "already_drained"): (
        "{interface} is drained already, for alert {name}; it stays offline until both are resolved"
    ),
    ("failed", None): "the daemon could not {action} {interface}: {why}",
    ("escalated", "did_not_help"): (
        "{interface} is offline since {seconds} s and alert {alertname} still fires: the drain did "
        "not help; look at it"
    ),
    ("escalated", "group_hurt"): (
        "the drain of {interface} hurt group {group} and is undone: {why}; look at it"
    ),
    ("escalated", "unverified"): (
        "the {action} of {interface} is done but not verified: {why}; look at it"
    ),
    ("escalated", None): "{interface} of group {group} needs a person: {why}",
    ("forgotten", None): (
        "{interface} is no longer offline on the remediator's account ({reason}); its drain "
        "for {alertname} is forgotten"
    ),
}
