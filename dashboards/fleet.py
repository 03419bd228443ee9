"""The dashboard of a fleet of hundreds of hosts: numbers first, then only what needs attention."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

from dashboards.board import board, drains, failovers, firing_alerts, with_panels, with_targets
from dashboards.parts import (
    DEGRADED,
    FAILED,
    FIRING,
    OK,
    TARGET,
    AnyPanel,
    big_value,
    columns,
    described,
    events,
    host_link,
    legend_below,
    now,
    over_time,
    rows,
    states,
    steps,
)

_CODE = f"group:ipmp_group_state:code{{{TARGET}}}"
_GROUP_STATES = states({1: OK, 2: DEGRADED, 3: FAILED})

_ATTENTION = f"sort_desc({_CODE} > 1)"

# What was not well at any time that the dashboard shows; `@ end()` looks at that time as a whole.
_TROUBLED = f"{_CODE} and max_over_time({_CODE}[$__range] @ end()) > 1"


def fleet() -> dashboard.Dashboard:
    """Return the builder of the dashboard `ipmp-fleet`."""
    built = with_targets(
        board("ipmp-fleet", "IPMP / Fleet", "All hosts with IPMP groups: what needs attention."),
        "ipmp_up",
    )
    built = built.annotation(firing_alerts()).annotation(failovers()).annotation(drains())
    return with_panels(built, _panels())


def _panels() -> tuple[AnyPanel, ...]:
    return (
        *_numbers(),
        _attention(),
        _alerts(),
        _timeline(),
        _groups_over_time(),
        _interfaces_over_time(),
        _failovers(),
        _most_failovers(),
    )


def _numbers() -> tuple[stat.Panel, ...]:
    one = f'sum(ipmp_group_state{{{TARGET}, ipmp_group_state="%s"}})'
    member = f'sum(ipmp_interface_state{{{TARGET}, ipmp_interface_state="%s"}})'
    usable, configured = (f"ipmp_group_{n}interfaces{{{TARGET}}}" for n in ("usable_", ""))
    return (
        _number("Hosts", "Hosts whose exporter is scraped.", f"count(ipmp_up{{{TARGET}}})"),
        _number(
            "Daemons down",
            "Hosts whose mpathd does not answer its exporter; nothing is failed over there.",
            f"sum(1 - ipmp_up{{{TARGET}}})",
            {1: "red"},
        ),
        _number(
            "Groups failed",
            "Groups without a usable interface; their data addresses cannot be reached.",
            one % "failed",
            {1: "red"},
        ),
        _number(
            "Groups on one interface",
            "Groups with several interfaces of which only one is usable: the next failure is felt.",
            f"count(({usable} == 1) and ({configured} > 1)) or vector(0)",
            {1: "orange"},
        ),
        _number(
            "Interfaces failed",
            "Interfaces that mpathd has found unusable.",
            member % "failed",
            {1: "orange"},
        ),
        _number(
            "Interfaces offline",
            "Interfaces that were taken out on purpose, by an operator or by the remediator.",
            member % "offline",
            {1: "blue"},
        ),
        _number(
            "Addresses away",
            "Data addresses that are on another interface than their home, or on none.",
            f"sum(1 - ipmp_address_on_home_interface{{{TARGET}}})",
            {1: "blue"},
        ),
        _number(
            "Remediation paused",
            "Hosts on which somebody has paused remediation: no alert drains an interface there.",
            f"sum(ipmp_maintenance_mode{{{TARGET}}})",
            {1: "blue"},
        ),
    )


def _number(
    title: str, description: str, query: str, colours: dict[float | None, str] | None = None
) -> stat.Panel:
    plain: dict[float | None, str] = {None: "text"}
    return (
        big_value(title, description, width=3)
        .unit("short")
        .decimals(0)
        .thresholds(steps(plain | (colours or {})))
        .with_target(now(query, title))
    )


def _attention() -> table.Panel:
    shown = {"instance": "Instance", "group": "Group", "Value": "State"}
    return (
        described(
            table.Panel(),
            "Groups that need attention",
            "Groups that are degraded or failed now, the worst first. A host leads to its own "
            "dashboard. Needs the recording rules in alerts/ipmp.rules.yml.",
            width=12,
            height=9,
        )
        .mappings(_GROUP_STATES)
        .thresholds(steps({None: "text"}))
        .with_transformation(columns(shown, hidden=("Time", "__name__", "job")))
        .override_by_name("Instance", [host_link()])
        .override_by_name(
            "State",
            [models.DynamicConfigValue("custom.cellOptions", {"type": "color-background"})],
        )
        .with_target(rows(_ATTENTION))
    )


def _alerts() -> table.Panel:
    shown = {
        "severity": "Severity",
        "alertname": "Alert",
        "instance": "Instance",
        "group": "Group",
        "interface": "Interface",
    }
    runbook = models.DynamicConfigValue(
        "links", [{"title": "Runbook", "url": "${runbook}", "targetBlank": True}]
    )
    counted = f"count by (severity, alertname, instance, group, interface) ({FIRING})"
    return (
        described(
            table.Panel(),
            "Firing alerts",
            "Alerts about these hosts that fire now. An alert leads to the runbook, a host to its "
            "own dashboard.",
            width=12,
            height=9,
        )
        .filterable(True)
        .with_transformation(columns(shown, hidden=("Time", "Value")))
        .override_by_name("Alert", [runbook])
        .override_by_name("Instance", [host_link()])
        .with_target(rows(counted))
    )


def _timeline() -> statetimeline.Panel:
    return (
        described(
            statetimeline.Panel(),
            "Groups that were not well",
            "State of the groups that were degraded or failed at any time shown; all others are "
            "left out. A gap means that there was nothing to read. Needs the recording rules in "
            "alerts/ipmp.rules.yml.",
            width=24,
            height=9,
        )
        .mappings(_GROUP_STATES)
        .thresholds(steps({None: "text"}))
        .merge_values(True)
        .show_value(common_models.VisibilityMode.NEVER)
        .legend(legend_below())
        .with_target(over_time(_TROUBLED, "{{instance}} {{group}}"))
    )


def _counted(title: str, description: str, metric: str) -> timeseries.Panel:
    return (
        described(timeseries.Panel(), title, description, width=12, height=8)
        .unit("short")
        .decimals(0)
        .min(0)
        .fill_opacity(20)
        .legend(legend_below())
        .with_target(over_time(f'job:{metric}:count{{job=~"$job"}}', f"{{{{{metric}}}}}"))
    )


def _groups_over_time() -> timeseries.Panel:
    return _counted(
        "Groups by state",
        "How many groups of the whole fleet are in each state; the variable instance does not "
        "count here. Three recorded series, cheap also over a year.",
        "ipmp_group_state",
    )


def _interfaces_over_time() -> timeseries.Panel:
    return _counted(
        "Interfaces by state",
        "How many interfaces of the whole fleet are in each state; the variable instance does not "
        "count here. Four recorded series, cheap also over a year.",
        "ipmp_interface_state",
    )


def _failovers() -> timeseries.Panel:
    moved = f"increase(ipmp_failovers_total{{{TARGET}}}[$__rate_interval])"
    return events(
        "Failovers by cause",
        "Failovers of all hosts by cause; many of one cause at once have something in common: a "
        "switch, a rollout.",
    ).with_target(over_time(f"sum by (reason) ({moved})", "{{reason}}"))


def _most_failovers() -> table.Panel:
    shown = {"instance": "Instance", "group": "Group", "Value": "Failovers"}
    moved = f"sum by (instance, group) (increase(ipmp_failovers_total{{{TARGET}}}[$__range]))"
    return (
        described(
            table.Panel(),
            "Most failovers",
            "The ten groups with the most failovers within the time range of the dashboard.",
            width=12,
            height=8,
        )
        .unit("short")
        .decimals(0)
        .with_transformation(columns(shown, hidden=("Time",)))
        .override_by_name("Instance", [host_link()])
        .with_target(rows(f"sort_desc(topk(10, {moved} > 0))"))
    )
