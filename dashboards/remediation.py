"""The dashboard of remediation: what was asked, done and refused, and by which rail."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, stat, statetimeline, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

from dashboards.board import actions, board, firing_alerts, with_panels, with_targets
from dashboards.parts import (
    TARGET,
    AnyPanel,
    big_value,
    described,
    events,
    legend_below,
    now,
    numbered,
    over_time,
    states,
    steps,
)

_BREAKER = numbered("ipmp_remediation_circuit_breaker", TARGET, ("closed", "half_open", "open"))


def remediation() -> dashboard.Dashboard:
    """Return the builder of the dashboard `ipmp-remediation`."""
    built = with_targets(
        board(
            "ipmp-remediation",
            "IPMP / Remediation",
            "What alerts asked of the remediators, what was done, and what was refused and why.",
        ),
        "ipmp_remediation_dry_run",
    )
    built = built.annotation(firing_alerts()).annotation(actions())
    return with_panels(built, _panels())


def _panels() -> tuple[AnyPanel, ...]:
    return (
        *_numbers(),
        _breaker(),
        _requests(),
        _refusals(),
        _failures(),
        _notifications(),
        _answers(),
        _budget(),
    )


def _numbers() -> tuple[stat.Panel, ...]:
    modes = {
        0: models.ValueMappingResult(text="acting", color="green", index=0),
        1: models.ValueMappingResult(text="dry run", color="orange", index=1),
    }
    return (
        big_value(
            "Mode",
            "acting: drains and brings back. dry run: decides, asks the daemon as a rehearsal, and "
            "changes nothing.",
            width=6,
        )
        .mappings(states(modes))
        .thresholds(steps({None: "text"}))
        .color_mode(common_models.BigValueColorMode.BACKGROUND)
        .with_target(now(f"ipmp_remediation_dry_run{{{TARGET}}}", "{{instance}}")),
        big_value(
            "Drained interfaces", "Interfaces that remediators keep offline now, by group.", width=6
        )
        .unit("short")
        .thresholds(steps({None: "text", 1: "blue"}))
        .with_target(
            now(f"ipmp_remediation_drained_interfaces{{{TARGET}}}", "{{instance}} {{group}}")
        ),
        big_value("Waiting", "Actions that wait in the queues.", width=6)
        .unit("short")
        .thresholds(steps({None: "text", 1: "orange"}))
        .with_target(now(f"ipmp_remediation_pending{{{TARGET}}}", "{{instance}}")),
        big_value(
            "Last heard from Alertmanager",
            "Time since the last accepted notification. IpmpWatchdog should keep it below half an "
            "hour; IpmpWebhookSilent fires after two.",
            width=6,
        )
        .unit("s")
        .thresholds(steps({None: "green", 1800: "orange", 7200: "red"}))
        .with_target(
            now(
                f"time() - (ipmp_webhook_last_notification_timestamp_seconds{{{TARGET}}} > 0)",
                "{{instance}}",
            )
        ),
    )


def _breaker() -> statetimeline.Panel:
    codes = {
        1: models.ValueMappingResult(text="closed", color="green", index=0),
        2: models.ValueMappingResult(text="half open", color="orange", index=1),
        3: models.ValueMappingResult(text="open", color="red", index=2),
    }
    return (
        described(
            statetimeline.Panel(),
            "Circuit breaker",
            "closed: the remediator acts. open: its own actions failed too often, it refuses every "
            "drain. half open: it tries one.",
            width=24,
            height=5,
        )
        .mappings(states(codes))
        .thresholds(steps({None: "text"}))
        .merge_values(True)
        .show_value(common_models.VisibilityMode.AUTO)
        .legend(legend_below())
        .with_target(over_time(_BREAKER, "{{instance}}"))
    )


def _rated(metric: str, labels: str) -> str:
    return f"sum by ({labels}) (increase({metric}{{{TARGET}}}[$__rate_interval]))"


def _requests() -> timeseries.Panel:
    return (
        events(
            "Requests and actions",
            "Alerts that a policy turned into an action (asked), and actions that the daemon has "
            "carried out (done).",
        )
        .with_target(
            over_time(_rated("ipmp_remediation_requests_total", "action"), "asked: {{action}}")
        )
        .with_target(
            over_time(_rated("ipmp_remediation_actions_total", "action"), "done: {{action}}")
        )
    )


def _refusals() -> timeseries.Panel:
    refused = _rated("ipmp_remediation_refusals_total", "action, reason")
    return events(
        "Refusals by rail",
        "Actions that a rail refused: min_usable protects the last interfaces of a group, dry_run "
        "is a rehearsal; the decisions of the remediator say each one in a sentence.",
    ).with_target(over_time(f"{refused} > 0", "{{action}}: {{reason}}"))


def _failures() -> timeseries.Panel:
    return events(
        "Failed actions",
        "Actions that failed, or wait because mpathd does not answer; they are tried again.",
    ).with_target(
        over_time(
            _rated("ipmp_remediation_action_failures_total", "instance, action"),
            "{{instance}} {{action}}",
        )
    )


def _notifications() -> timeseries.Panel:
    return (
        events(
            "Notifications",
            "Posts by the status that they were answered with, and those refused for their "
            "credentials. 202 is stored; 503 makes Alertmanager send again.",
        )
        .with_target(over_time(_rated("ipmp_webhook_requests_total", "code") + " > 0", "{{code}}"))
        .with_target(
            over_time(
                _rated("ipmp_webhook_authentication_failures_total", "method") + " > 0",
                "refused credentials: {{method}}",
            )
        )
    )


def _answers() -> timeseries.Panel:
    buckets = _rated("ipmp_webhook_request_duration_seconds_bucket", "instance, le")
    return (
        described(
            timeseries.Panel(),
            "Time to answer",
            "99 % of the notifications were stored and answered within this time; it must stay far "
            "below Alertmanager's group_interval.",
            width=12,
            height=8,
        )
        .unit("s")
        .min(0)
        .legend(legend_below())
        .with_target(over_time(f"histogram_quantile(0.99, {buckets})", "{{instance}}"))
    )


def _budget() -> timeseries.Panel:
    panel = (
        described(
            timeseries.Panel(),
            "Drain budget",
            "Slots of each pool, and how many of them are taken. While all are taken, no further "
            "interface of the pool is drained.",
            width=12,
            height=8,
        )
        .unit("short")
        .decimals(0)
        .min(0)
        .legend(legend_below())
    )
    for metric, word in (("slots", "slots"), ("slots_in_use", "taken")):
        panel = panel.with_target(
            over_time(
                f"max by (pool) (ipmp_fleet_budget_{metric}{{{TARGET}}})", f"{{{{pool}}}} {word}"
            )
        )
    return panel
