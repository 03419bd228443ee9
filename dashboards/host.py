"""The dashboard of one host (or a few): its groups, interfaces, addresses and moves."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common as common_models

from dashboards.board import board, drains, failovers, firing_alerts, with_panels, with_targets
from dashboards.overview import overview
from dashboards.parts import (
    FAILED,
    GROUP,
    OFFLINE,
    OK,
    TARGET,
    UNKNOWN,
    AnyPanel,
    columns,
    described,
    events,
    label_variable,
    legend_below,
    over_time,
    rows,
    states,
    steps,
)

_PLACEMENT = f"""\
(ipmp_address_placement{{{GROUP}}} == 1)
* on (job, instance, group, address) group_left (family, home_interface)
ipmp_address_info{{{GROUP}}}"""


# One row for each interface: its states are the labels of the three that are 1 at the moment.
_INTERFACES = f"""\
(ipmp_interface_state{{{GROUP}}} == 1)
* on (job, instance, group, interface) group_left (ipmp_interface_link_state)
  (ipmp_interface_link_state{{{GROUP}}} == 1)
* on (job, instance, group, interface) group_left (ipmp_interface_probe_state)
  (ipmp_interface_probe_state{{{GROUP}}} == 1)
* on (job, instance, group, interface) group_left (mac)
  ipmp_interface_info{{{GROUP}}}"""


def host() -> dashboard.Dashboard:
    """Return the builder of the dashboard `ipmp-host`."""
    built = with_targets(
        board(
            "ipmp-host",
            "IPMP / Host",
            "Groups, interfaces, data addresses and their moves on one host.",
        ),
        "ipmp_up",
    ).with_variable(
        label_variable("group", "group", f"label_values(ipmp_group_state{{{TARGET}}}, group)")
    )
    built = built.annotation(firing_alerts()).annotation(failovers()).annotation(drains())
    return with_panels(built, _panels())


def _panels() -> tuple[AnyPanel, ...]:
    return (
        *overview(),
        _interface_timeline(),
        _interface_table(),
        _address_table(),
        _moves(),
        _failures(),
        _probe_loss(),
        _probe_time(),
        _announcements(),
        _refusals(),
    )


def _interface_timeline() -> statetimeline.Panel:
    return (
        described(
            statetimeline.Panel(),
            "Interfaces",
            "State of each interface. offline: taken out on purpose, by an operator or by the "
            "remediator. A gap means that there was nothing to read. Needs the recording rule in "
            "alerts/ipmp.rules.yml.",
            width=24,
            height=8,
        )
        .mappings(states({1: OK, 2: OFFLINE, 3: FAILED, 4: UNKNOWN}))
        .thresholds(steps({None: "text"}))
        .merge_values(True)
        .show_value(common_models.VisibilityMode.AUTO)
        .legend(legend_below())
        .with_target(
            over_time(
                f"interface:ipmp_interface_state:code{{{GROUP}}}",
                "{{instance}} {{group}} {{interface}}",
            )
        )
    )


def _interface_table() -> table.Panel:
    shown = {
        "instance": "Instance",
        "group": "Group",
        "interface": "Interface",
        "ipmp_interface_state": "State",
        "ipmp_interface_link_state": "Link",
        "ipmp_interface_probe_state": "Probes",
        "mac": "Hardware address",
    }
    return (
        described(
            table.Panel(),
            "Interfaces now",
            "State of each interface, and what mpathd knows it from: its link, and the answers to "
            "its probes (disabled: only the link is watched).",
            width=12,
            height=10,
        )
        .filterable(True)
        .with_transformation(columns(shown, hidden=("Time", "Value", "job")))
        .with_target(rows(_INTERFACES))
    )


def _address_table() -> table.Panel:
    shown = {
        "instance": "Instance",
        "group": "Group",
        "address": "Address",
        "family": "Family",
        "interface": "Is on",
        "home_interface": "Home",
    }
    return (
        described(
            table.Panel(),
            "Data addresses",
            "Which interface carries each data address now, and which is its home. An address that "
            "no interface carries is not listed; the group has failed then.",
            width=12,
            height=10,
        )
        .filterable(True)
        .with_transformation(columns(shown, hidden=("Time", "Value", "job")))
        .with_target(rows(_PLACEMENT))
    )


def _moves() -> timeseries.Panel:
    panel = events(
        "Failovers and failbacks",
        "Moves of data addresses to another interface (failover) and back to a repaired one "
        "(failback), by cause: link, absent, offline (asked for), reconcile (put right).",
        height=10,
    )
    for move in ("failover", "failback"):
        counted = f"increase(ipmp_{move}s_total{{{GROUP}}}[$__rate_interval])"
        legend = f"{{{{instance}}}} {{{{group}}}} {move}: {{{{reason}}}}"
        panel = panel.with_target(
            over_time(f"sum by (instance, group, reason) ({counted})", legend)
        )
    return panel


def _failures() -> timeseries.Panel:
    failed = f'ipmp_interface_state_transitions_total{{{GROUP}, to="failed"}}'
    return events(
        "Failures of interfaces",
        "How often an interface entered the state failed, also between two scrapes. Many in a "
        "short time are a flapping link: the alert IpmpInterfaceFlapping asks for a drain.",
    ).with_target(
        over_time(
            f"sum by (instance, group, interface) (increase({failed}[$__rate_interval]))",
            "{{instance}} {{group}} {{interface}}",
        )
    )


def _probe_loss() -> timeseries.Panel:
    return (
        described(
            timeseries.Panel(),
            "Lost probes",
            "Share of the probes of each interface that were not answered, over five minutes. "
            "IpmpProbeLossHigh asks for a drain above 5 %, if another member loses none. Needs the "
            "recording rules in alerts/ipmp.rules.yml.",
            width=12,
            height=8,
        )
        .unit("percentunit")
        .min(0)
        .max(1)
        .legend(legend_below())
        .with_target(
            over_time(
                f"interface:ipmp_probe_loss:ratio_rate5m{{{GROUP}}}",
                "{{instance}} {{group}} {{interface}}",
            )
        )
    )


def _probe_time() -> timeseries.Panel:
    each = "sum by (instance, group, interface)"
    answered = f"{each} (rate(ipmp_probe_rtt_seconds_count{{{GROUP}}}[$__rate_interval]))"
    mean = f"{each} (rate(ipmp_probe_rtt_seconds_sum{{{GROUP}}}[$__rate_interval]))\n/\n{answered}"
    return (
        described(
            timeseries.Panel(),
            "Round-trip time of probes",
            "Mean time from a probe to its answer. Members of one group that differ for long go "
            "different ways.",
            width=12,
            height=8,
        )
        .unit("s")
        .min(0)
        .legend(legend_below())
        .with_target(over_time(mean, "{{instance}} {{group}} {{interface}}"))
    )


def _announcements() -> timeseries.Panel:
    panel = events(
        "Announcements",
        "ARP requests (ipv4) and neighbour advertisements (ipv6) that tell the neighbours where an "
        "address is now, and those that could not be sent.",
    )
    for metric, word in (("announcements_sent", "sent"), ("announcement_failures", "failed")):
        counted = f"increase(ipmp_{metric}_total{{{TARGET}}}[$__rate_interval])"
        legend = f"{{{{instance}}}} {{{{family}}}} {word}"
        panel = panel.with_target(over_time(f"sum by (instance, family) ({counted})", legend))
    return panel


def _refusals() -> timeseries.Panel:
    refused = f"ipmp_operation_failures_total{{{TARGET}}}"
    return events(
        "Refused and failed operations",
        "Requests that mpathd refused, and moves that the kernel did, by reason. "
        "minimum-redundancy protects the last usable interface of a group.",
    ).with_target(
        over_time(
            f"sum by (instance, operation, reason) (increase({refused}[$__rate_interval])) > 0",
            "{{instance}} {{operation}}: {{reason}}",
        )
    )
