"""What every dashboard is made of around its panels: variables, links, annotations."""

from __future__ import annotations

from collections.abc import Iterable

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

from dashboards.parts import DATASOURCE, FIRING, TARGET, AnyPanel, label_variable

# Where this project's alerts/runbook.md is published; everybody has another place for it.
RUNBOOK = "https://runbooks.example.org/ipmp/runbook.md"


def board(uid: str, title: str, description: str) -> dashboard.Dashboard:
    """Return a dashboard without variables and panels."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["ipmp"])
        .readonly()
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(_other_dashboards())
        .link(_runbook())
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
        .with_variable(dashboard.TextBoxVariable("runbook").label("Runbook").default_value(RUNBOOK))
    )


def with_targets(built: dashboard.Dashboard, metric: str) -> dashboard.Dashboard:
    """Add the variables job and instance: the targets that have `metric`."""
    return built.with_variable(
        label_variable("job", "job", f"label_values({metric}, job)")
    ).with_variable(
        label_variable("instance", "instance", f'label_values({metric}{{job=~"$job"}}, instance)')
    )


def with_panels(built: dashboard.Dashboard, panels: Iterable[AnyPanel]) -> dashboard.Dashboard:
    """Add the panels, in reading order."""
    for panel in panels:
        built = built.with_panel(panel)
    return built


def firing_alerts() -> dashboard.AnnotationQuery:
    """Return the annotation that marks while an alert fires."""
    return _annotation("Firing alerts", "red", FIRING, "{{alertname}}")


def failovers() -> dashboard.AnnotationQuery:
    """Return the annotation that marks failovers; window and step are the same, so none is lost."""
    query = f"changes(ipmp_last_failover_timestamp_seconds{{{TARGET}}}[1m]) > 0"
    return _annotation("Failovers", "orange", query, "Failover of {{group}}").step("1m")


def drains() -> dashboard.AnnotationQuery:
    """Return the annotation that marks while an interface is kept offline, and by whom."""
    query = f"ipmp_interface_offline_reason{{{TARGET}}} == 1"
    title = "{{interface}} offline: {{ipmp_interface_offline_reason}}"
    return _annotation("Drains", "blue", query, title)


def actions() -> dashboard.AnnotationQuery:
    """Return the annotation that marks what a remediator did."""
    query = f"increase(ipmp_remediation_actions_total{{{TARGET}}}[1m]) > 0"
    return _annotation("Actions", "blue", query, "{{action}}").step("1m")


def _annotation(name: str, colour: str, query: str, title: str) -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(colour)
        .expr(query)
        .step("30s")
        .title_format(title)
        .text_format("{{instance}} {{group}} {{interface}}")
    )


def _other_dashboards() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("IPMP")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags(["ipmp"])
        .as_dropdown(True)
        .keep_time(True)
    )


def _runbook() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("Runbook")
        .type(models.DashboardLinkType.LINK)
        .icon("doc")
        .tooltip("What each alert means, what to look at, what to type")
        .url("${runbook}")
        .target_blank(True)
    )
