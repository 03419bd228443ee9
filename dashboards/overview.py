"""The top row of the host dashboard: one big value per question that an operator asks first."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

from dashboards.parts import (
    DEGRADED,
    FAILED,
    GROUP,
    OK,
    TARGET,
    big_value,
    now,
    numbered,
    plain_colour,
    states,
    steps,
)

_GROUP_CODE = numbered("ipmp_group_state", GROUP, ("ok", "degraded", "failed"))

_DURATION = f"""\
histogram_quantile(0.99,
  sum by (instance, group, le) (
    increase(ipmp_failover_duration_seconds_bucket{{{GROUP}}}[$__range])
  )
)"""


def overview() -> tuple[stat.Panel, ...]:
    """Return the panels of the top row."""
    return (_group_state(), _spare_interfaces(), _away_from_home(), _failover_time(), _daemon())


def _group_state() -> stat.Panel:
    return (
        big_value(
            "Group state",
            "ok: every interface is usable. degraded: at least one is not. failed: none is, the "
            "data addresses cannot be reached.",
            width=6,
        )
        .mappings(states({1: OK, 2: DEGRADED, 3: FAILED}))
        .thresholds(steps({None: "text"}))
        .color_mode(common_models.BigValueColorMode.BACKGROUND)
        .with_target(now(_GROUP_CODE, "{{instance}} {{group}}"))
    )


def _spare_interfaces() -> stat.Panel:
    usable = f"ipmp_group_usable_interfaces{{{GROUP}}}"
    floor = f"ipmp_group_min_usable_interfaces{{{GROUP}}}"
    return (
        big_value(
            "Spare interfaces",
            "How many interfaces may still fail or be taken offline before the group goes below "
            "the least number that its configuration asks for (min_usable).",
            width=6,
        )
        .unit("short")
        .thresholds(steps({None: "red", 0: "orange", 1: "green"}))
        .color_mode(common_models.BigValueColorMode.BACKGROUND)
        .with_target(now(f"{usable} - {floor}", "{{instance}} {{group}}"))
    )


def _away_from_home() -> stat.Panel:
    away = f"sum by (instance, group) (1 - ipmp_address_on_home_interface{{{GROUP}}})"
    return (
        big_value(
            "Addresses away from home",
            "Data addresses that are on another interface than their home, or on none.",
            width=4,
        )
        .unit("short")
        .thresholds(steps({None: "text", 1: "blue"}))
        .with_target(now(away, "{{instance}} {{group}}"))
    )


def _failover_time() -> stat.Panel:
    return (
        big_value(
            "Failover time",
            "From the detection of a failure until every address had moved and was announced: 99 % "
            "of the failovers within the time range of the dashboard took no longer than this.",
            width=4,
        )
        .unit("s")
        .color_scheme(plain_colour("text"))
        .no_value("none")
        .with_target(now(_DURATION, "{{instance}} {{group}}"))
    )


def _daemon() -> stat.Panel:
    answers = {
        0: models.ValueMappingResult(text="does not answer", color="red", index=0),
        1: models.ValueMappingResult(text="answers", color="green", index=1),
    }
    return (
        big_value(
            "Daemon",
            "Whether mpathd answered the exporter at the last scrape. While it does not, addresses "
            "stay where they are and nothing is failed over.",
            width=4,
        )
        .mappings(states(answers))
        .thresholds(steps({None: "text"}))
        .color_mode(common_models.BigValueColorMode.BACKGROUND)
        .with_target(now(f"ipmp_up{{{TARGET}}}", "{{instance}}"))
    )
