"""The dashboard of one host (or a few): its groups, interfaces, addresses and moves."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

from dashboards.overview import overview
from dashboards.parts import (
    DATASOURCE,
    FAILED,
    GROUP,
    OFFLINE,
    OK,
    TARGET,
    UNKNOWN,
    described,
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


def host() -> dashboard.Dashboard:
    """Return the builder of the dashboard `ipmp-host`."""
    board = (
        dashboard.Dashboard("IPMP / Host")
        .uid("ipmp-host")
        .description("Groups, interfaces, data addresses and their moves on one host.")
        .tags(["ipmp"])
        .readonly()
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(_other_dashboards())
        .annotation(_firing_alerts())
    )
    for variable in _variables():
        board = board.with_variable(variable)
    for panel in _panels():
        board = board.with_panel(panel)
    return board


def _panels() -> tuple[stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel, ...]:
    details = (_address_table(), _moves(), _failures(), _refusals())
    return (*overview(), _interface_timeline(), *details)


def _variables() -> tuple[dashboard.DatasourceVariable | dashboard.QueryVariable, ...]:
    return (
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        label_variable("job", "job", "label_values(ipmp_up, job)"),
        label_variable("instance", "instance", 'label_values(ipmp_up{job=~"$job"}, instance)'),
        label_variable("group", "group", f"label_values(ipmp_group_state{{{TARGET}}}, group)"),
    )


def _other_dashboards() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("IPMP")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags(["ipmp"])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )


def _firing_alerts() -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name("Firing alerts")
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color("red")
        .expr(f'ALERTS{{{TARGET}, alertname=~"Ipmp.+", alertstate="firing"}}')
        .step("30s")
        .title_format("{{alertname}}")
        .text_format("{{instance}} {{group}} {{interface}}")
        .tag_keys("severity")
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


def _address_table() -> table.Panel:
    columns = {
        "instance": "Instance",
        "group": "Group",
        "address": "Address",
        "family": "Family",
        "interface": "Is on",
        "home_interface": "Home",
    }
    organize = models.DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": {"Time": True, "Value": True, "job": True},
            "indexByName": {name: position for position, name in enumerate(columns)},
            "renameByName": columns,
        },
    )
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
        .with_transformation(organize)
        .with_target(rows(_PLACEMENT))
    )


def _moves() -> timeseries.Panel:
    panel = _events(
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
    return _events(
        "Failures of interfaces",
        "How often an interface entered the state failed, also between two scrapes. Many in a "
        "short time are a flapping link: the alert IpmpInterfaceFlapping asks for a drain.",
    ).with_target(
        over_time(
            f"sum by (instance, group, interface) (increase({failed}[$__rate_interval]))",
            "{{instance}} {{group}} {{interface}}",
        )
    )


def _refusals() -> timeseries.Panel:
    refused = f"ipmp_operation_failures_total{{{TARGET}}}"
    return _events(
        "Refused and failed operations",
        "Requests that mpathd refused, and moves that the kernel did, by reason. "
        "minimum-redundancy protects the last usable interface of a group.",
    ).with_target(
        over_time(
            f"sum by (instance, operation, reason) (increase({refused}[$__rate_interval])) > 0",
            "{{instance}} {{operation}}: {{reason}}",
        )
    )


def _events(title: str, description: str, *, height: int = 8) -> timeseries.Panel:
    return (
        described(timeseries.Panel(), title, description, width=12, height=height)
        .unit("short")
        .decimals(0)
        .min(0)
        .draw_style(common_models.GraphDrawStyle.BARS)
        .fill_opacity(80)
        .legend(legend_below())
    )
