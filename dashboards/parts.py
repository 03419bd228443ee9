"""What the panels of every dashboard share: data source, selectors, states and their colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

TARGET = 'job=~"$job", instance=~"$instance"'
GROUP = f'{TARGET}, group=~"$group"'
FIRING = f'ALERTS{{{TARGET}, alertname=~"Ipmp.+", alertname!="IpmpWatchdog", alertstate="firing"}}'

OK = models.ValueMappingResult(text="ok", color="green", index=0)
OFFLINE = models.ValueMappingResult(text="offline", color="blue", index=1)
DEGRADED = models.ValueMappingResult(text="degraded", color="orange", index=1)
FAILED = models.ValueMappingResult(text="failed", color="red", index=2)
UNKNOWN = models.ValueMappingResult(text="unknown", color="purple", index=3)
NO_DATA = models.ValueMappingResult(text="no data", color="transparent", index=9)

AnyPanel = stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel

Panel = TypeVar("Panel", stat.Panel, statetimeline.Panel, table.Panel, timeseries.Panel)


def described(panel: Panel, title: str, description: str, *, width: int, height: int) -> Panel:
    """Return the panel with its title, its description, its size and our data source."""
    return (
        panel.title(title)
        .description(description)
        .datasource(DATASOURCE)
        .grid_pos(models.GridPos(w=width, h=height))
    )


def big_value(title: str, description: str, *, width: int) -> stat.Panel:
    """Return a panel of big values, without a unit and a query."""
    return (
        described(stat.Panel(), title, description, width=width, height=5)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("no data")
    )


def events(title: str, description: str, *, height: int = 8) -> timeseries.Panel:
    """Return a panel of bars that count events."""
    return (
        described(timeseries.Panel(), title, description, width=12, height=height)
        .unit("short")
        .decimals(0)
        .min(0)
        .draw_style(common_models.GraphDrawStyle.BARS)
        .fill_opacity(80)
        .legend(legend_below())
    )


def columns(names: Mapping[str, str], *, hidden: Iterable[str]) -> models.DataTransformerConfig:
    """Return what names the columns of a table, in this order, and hides others."""
    return models.DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": dict.fromkeys(hidden, True),
            "indexByName": {name: position for position, name in enumerate(names)},
            "renameByName": dict(names),
        },
    )


def host_link() -> models.DynamicConfigValue:
    """Return the link from a cell of the column Instance to the dashboard of that host."""
    variables = "var-datasource=${datasource}&var-instance=${__value.raw}&${__url_time_range}"
    link = {"title": "This host", "url": f"/d/ipmp-host?{variables}"}
    return models.DynamicConfigValue("links", [link])


def over_time(expression: str, legend: str) -> prometheus.Dataquery:
    """Return a query for the whole time range."""
    return prometheus.Dataquery().expr(expression).legend_format(legend).range()


def now(expression: str, legend: str) -> prometheus.Dataquery:
    """Return a query for the end of the time range only."""
    return prometheus.Dataquery().expr(expression).legend_format(legend).instant()


def rows(expression: str) -> prometheus.Dataquery:
    """Return a query for the end of the time range, one row for each series."""
    as_table = prometheus_models.PromQueryFormat.TABLE
    return prometheus.Dataquery().expr(expression).instant().format(as_table)


def states(
    codes: Mapping[int, models.ValueMappingResult],
) -> list[models.ValueMap | models.RangeMap | models.RegexMap | models.SpecialValueMap]:
    """Return the mappings from a state's number to its word and colour; absent is no state."""
    absent = models.DashboardSpecialValueMapOptions(
        match=models.SpecialValueMatch.NULL, result=NO_DATA
    )
    named = {str(code): result for code, result in codes.items()}
    return [models.ValueMap(options=named), models.SpecialValueMap(options=absent)]


def numbered(metric: str, selector: str, words: Iterable[str]) -> str:
    """Return the query for a state's number: 1 for the first of `words`, 2 for the second."""
    terms = (
        f'    ({metric}{{{selector}, {metric}="{word}"}} == 1) * {number}'
        for number, word in enumerate(words, start=1)
    )
    return f"max without ({metric}) (\n" + "\n  or\n".join(terms) + "\n)"


def steps(colours: dict[float | None, str]) -> dashboard.ThresholdsConfig:
    """Return thresholds: each colour holds from its value up; None is minus infinity."""
    thresholds = [models.Threshold(value=value, color=colour) for value, colour in colours.items()]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(thresholds)


def plain_colour(name: str) -> dashboard.FieldColor:
    """Return one fixed colour."""
    return dashboard.FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color(name)


def legend_below() -> common.VizLegendOptions:
    """Return a legend under the panel."""
    return (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(common_models.LegendDisplayMode.LIST)
        .placement(common_models.LegendPlacement.BOTTOM)
    )


def label_variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Return a variable that offers the values of a label, all of them at first."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .definition(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(models.VariableOption(text="All", value="$__all"))
    )
