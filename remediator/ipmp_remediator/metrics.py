"""The remediator's metrics, in a registry of their own; what can be counted starts at 0."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from ipmp_remediator.decision import (
    ESCALATION_REASONS,
    REFUSAL_REASONS,
    Action,
    Decision,
    Kind,
    Reason,
)
from ipmp_remediator.payload import Alert, AlertStatus
from ipmp_remediator.policy import Config, Wish
from ipmp_remediator.rails.trouble import open_for
from ipmp_remediator.state import Memory, Outcome

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_CODES = ("202", "400", "401", "403", "405", "408", "413", "415", "503")
_AUTHENTICATION_METHODS = ("none", "bearer", "basic", "signature", "certificate", "other")
_DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Counters and gauges of one remediator."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._webhook()
        self._remediation()
        self._start_at_zero()

    def _webhook(self) -> None:
        self.requests = self._counter(
            "ipmp_webhook_requests", "Requests to /alerts by HTTP status code.", "code"
        )
        self.authentication_failures = self._counter(
            "ipmp_webhook_authentication_failures",
            "Requests refused with 401 or 403, by method tried; none: no credentials at all.",
            "method",
        )
        self.request_duration = Histogram(
            "ipmp_webhook_request_duration_seconds",
            "Time from the receipt of a notification to its answer.",
            buckets=_DURATION_BUCKETS,
            registry=self.registry,
        )
        self.last_notification = Gauge(
            "ipmp_webhook_last_notification_timestamp_seconds",
            "Unix time of the last accepted notification, 0 before the first.",
            registry=self.registry,
        )
        self.alerts_received = self._counter(
            "ipmp_webhook_alerts_received",
            "Alerts in accepted notifications, by the status of the alert itself.",
            "status",
        )
        self.alerts_duplicate = self._counter(
            "ipmp_webhook_alerts_duplicate",
            "Alerts that were a repeat of one known already, by status.",
            "status",
        )
        self.alerts_truncated = self._counter(
            "ipmp_webhook_alerts_truncated",
            "Alerts that the sender left out of notifications (set max_alerts to 0 there).",
        )

    def _remediation(self) -> None:
        self.remediation_requests = self._counter(
            "ipmp_remediation_requests", "Alerts that a policy turned into an action.", "action"
        )
        self.refusals = self._counter(
            "ipmp_remediation_refusals",
            "Actions refused, by the reason of the rail or of the daemon.",
            "action",
            "reason",
        )
        self.actions = self._counter(
            "ipmp_remediation_actions", "Actions that the daemon has carried out.", "action"
        )
        self.action_failures = self._counter(
            "ipmp_remediation_action_failures",
            "Actions that failed or wait because the daemon could not be asked.",
            "action",
        )
        self.escalations = self._counter(
            "ipmp_remediation_escalations",
            "Times that a person is needed: an action that could not be verified, hurt its group, "
            "or did not help.",
            "reason",
        )
        self.pending = self._gauge(
            "ipmp_remediation_pending", "Open alerts whose interface is not drained yet."
        )
        self.storm = self._gauge("ipmp_remediation_storm", "1 while the storm stop refuses drains.")
        self.circuit_breaker = self._gauge(
            "ipmp_remediation_circuit_breaker",
            "State of the breaker on own failures: closed (drains may begin), open (none begins), "
            "half_open (the next one decides).",
            "ipmp_remediation_circuit_breaker",
        )
        self.failures = self._gauge(
            "ipmp_remediation_consecutive_failures",
            "Own failures in a row, which the circuit breaker looks at.",
        )
        self.in_progress = self._gauge(
            "ipmp_remediation_in_progress", "Actions that the daemon is carrying out now."
        )
        self.drained_interfaces = self._gauge(
            "ipmp_remediation_drained_interfaces",
            "Interfaces that are offline on the remediator's account.",
            "group",
        )
        self.fleet_budget_up = self._gauge(
            "ipmp_fleet_budget_up",
            "1 if the servers of the fleet's budget gave a clear answer when they were last asked "
            "about the pool, else 0.",
            "pool",
        )
        self.dry_run = self._gauge(
            "ipmp_remediation_dry_run", "1 while nothing is changed and only decisions are made."
        )

    def _start_at_zero(self) -> None:
        """Create every series that is known to be possible."""
        for code in _CODES:
            self.requests.labels(code)
        for method in _AUTHENTICATION_METHODS:
            self.authentication_failures.labels(method)
        for status in AlertStatus:
            self.alerts_received.labels(status)
            self.alerts_duplicate.labels(status)
        for action in Action:
            for counter in (self.remediation_requests, self.actions, self.action_failures):
                counter.labels(action)
            for reason in REFUSAL_REASONS:
                self.refusals.labels(action, reason)

        for reason in ESCALATION_REASONS:
            self.escalations.labels(reason)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def received(self, alert: Alert, decisions: Iterable[Decision]) -> None:
        """Count one alert of an accepted notification."""
        self.alerts_received.labels(alert.status).inc()
        for decision in decisions:
            if decision.reason is Reason.DUPLICATE:
                self.alerts_duplicate.labels(alert.status).inc()
            elif decision.action:
                self.remediation_requests.labels(decision.action).inc()

    def decided(self, decision: Decision) -> None:
        """Count what became of a request."""
        if decision.kind is Kind.ESCALATED:
            self.escalations.labels(decision.reason).inc()
        if decision.action is None:
            return
        if decision.kind is Kind.REFUSED:
            self.refusals.labels(decision.action, decision.reason).inc()
        elif decision.kind in (Kind.DRAINED, Kind.UNDRAINED):
            self.actions.labels(decision.action).inc()
        elif decision.kind in (Kind.FAILED, Kind.WAITING):
            self.action_failures.labels(decision.action).inc()

    def remembered(self, memory: Memory, config: Config, now: float) -> None:
        """Set the gauges that follow from what is remembered and from the policy."""
        counts = dict.fromkeys(config.groups, 0)
        for drain in memory.drains:
            counts[drain.group] = counts.get(drain.group, 0) + 1
        for group, count in counts.items():
            self.drained_interfaces.labels(group).set(count)
        waiting = sum(
            e.firing and e.wish is Wish.OFFLINE and e.outcome is Outcome.PENDING
            for e in memory.episodes
        )
        self.pending.set(waiting)
        self.storm.set(memory.trouble.storm_since > 0)
        self.failures.set(memory.trouble.failures)
        left = open_for(config.limits.breaker, memory.trouble, now)
        state = "closed" if left is None else "open" if left > 0 else "half_open"
        for name in ("closed", "open", "half_open"):
            self.circuit_breaker.labels(name).set(name == state)
        self.dry_run.set(config.dry_run)

    def render(self) -> bytes:
        """Render everything in the text format 0.0.4."""
        return generate_latest(self.registry)
