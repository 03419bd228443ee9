"""Metrics about groups: state, redundancy, and the moves that kept them working."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    StateSetMetricFamily,
)

from ipmp.model import GroupState, MoveReason, ProbeState, Status
from ipmp_exporter.collectors.family import Family, Sample, Subject, buckets, counts, one_of

_REASONS = ", ".join(MoveReason)


def _info(status: Status) -> Iterator[Sample]:
    probed = {i.group for i in status.interfaces if i.probe is not ProbeState.DISABLED}
    for group in status.groups:
        yield (
            (group.name,),
            {
                "failback": "yes" if group.failback else "no",
                "failure_detection": "probe" if group.name in probed else "link",
                "outbound": group.outbound,
            },
        )


def _moves(status: Status, field: str) -> Iterator[Sample]:
    for group in status.groups:
        for reason, count in counts(MoveReason, getattr(group, field)).items():
            yield (group.name, reason), count


def _failover_durations(status: Status) -> Iterator[Sample]:
    for group in status.groups:
        if (histogram := group.failover_duration) is not None:
            yield (group.name,), buckets(histogram), histogram.total


GROUPS = Subject(
    "groups",
    (
        Family(
            InfoMetricFamily,
            "ipmp_group_info",
            "Configuration of the group: failback (yes, no), failure_detection (link, probe), "
            "outbound (single, spread).",
            ("group",),
            _info,
        ),
        Family(
            StateSetMetricFamily,
            "ipmp_group_state",
            "State of the group: ok (every member usable), degraded (some), failed (none).",
            ("group",),
            lambda status: (((g.name,), one_of(GroupState, g.state)) for g in status.groups),
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_group_interfaces",
            "Interfaces configured in the group, standby ones included.",
            ("group",),
            lambda status: (((g.name,), len(g.interfaces)) for g in status.groups),
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_group_usable_interfaces",
            "Interfaces of the group that can carry traffic now.",
            ("group",),
            lambda status: (((g.name,), g.usable) for g in status.groups),
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_group_min_usable_interfaces",
            "Configured floor: an interface is not taken offline if fewer usable ones would stay.",
            ("group",),
            lambda status: (((g.name,), g.min_usable) for g in status.groups),
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_group_failure_detection_time_seconds",
            "Present failure detection time of the group's probes; 0 while no member is probed.",
            ("group",),
            lambda status: (((g.name,), g.failure_detection_time or 0) for g in status.groups),
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_group_last_state_change_timestamp_seconds",
            "Unix time at which the group entered its present state; 0 if not known.",
            ("group",),
            lambda status: (((g.name,), g.since) for g in status.groups),
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_group_moves_in_progress",
            "Failovers and failbacks of the group that are not announced completely yet.",
            ("group",),
            lambda status: (((g.name,), g.moves_under_way) for g in status.groups),
        ),
        Family(
            CounterMetricFamily,
            "ipmp_failovers_total",
            f"Failovers, by what caused them: {_REASONS}.",
            ("group", "reason"),
            lambda status: _moves(status, "failovers"),
        ),
        Family(
            CounterMetricFamily,
            "ipmp_failbacks_total",
            f"Returns of addresses to a repaired member, by what caused them: {_REASONS}.",
            ("group", "reason"),
            lambda status: _moves(status, "failbacks"),
        ),
        Family(
            HistogramMetricFamily,
            "ipmp_failover_duration_seconds",
            "Time from the detection of a failure until every address had moved and was announced.",
            ("group",),
            _failover_durations,
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_last_failover_timestamp_seconds",
            "Unix time of the group's last failover; 0 if there was none since mpathd started.",
            ("group",),
            lambda status: (((g.name,), g.last_failover) for g in status.groups),
        ),
    ),
)
