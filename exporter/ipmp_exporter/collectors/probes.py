"""Metrics about probe-based failure detection: what was sent, what came back, and how fast.

Loss is two counters, so that every scraper computes its own ratio over its own window. A family in
which a member is not probed at present (it is offline) keeps its series: counters must not begin
anew when it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily

from ipmp.model import ProbeStatus, Status
from ipmp_exporter.collectors.family import Family, Sample, Subject

_LABELS = ("group", "interface", "family")

_Labels = tuple[str, str, str]


def _probes(status: Status) -> Iterator[tuple[_Labels, ProbeStatus]]:
    for interface in status.interfaces:
        for probe in (*interface.probes, *interface.past_probes):
            yield (interface.group, interface.name, probe.family), probe


def _each(figure: Callable[[ProbeStatus], float]) -> Callable[[Status], Iterator[Sample]]:
    return lambda status: ((labels, figure(probe)) for labels, probe in _probes(status))


def _rejected(status: Status) -> Iterator[Sample]:
    for labels, probe in _probes(status):
        for reason, count in probe.rejected.items():
            yield (*labels, reason), count


def _targets(status: Status, field: str) -> Iterator[Sample]:
    for labels, probe in _probes(status):
        for target in probe.targets:
            yield (*labels, target.address), getattr(target, field)


PROBES = Subject(
    "probes",
    (
        Family(
            CounterMetricFamily,
            "ipmp_probes_sent_total",
            "Probes that mpathd sent, by address family (ipv4, ipv6).",
            _LABELS,
            _each(lambda probe: probe.sent),
        ),
        Family(
            CounterMetricFamily,
            "ipmp_probe_replies_total",
            "Probes that were answered, also those answered late.",
            _LABELS,
            _each(lambda probe: probe.acked),
        ),
        Family(
            CounterMetricFamily,
            "ipmp_probe_losses_total",
            "Probes that were counted as lost when their time was over.",
            _LABELS,
            _each(lambda probe: probe.lost),
        ),
        Family(
            CounterMetricFamily,
            "ipmp_probe_late_replies_total",
            "Probes that were answered after they had been counted as lost.",
            _LABELS,
            _each(lambda probe: probe.late),
        ),
        Family(
            CounterMetricFamily,
            "ipmp_probes_void_total",
            "Probes that count neither way: the link went down, or the kernel refused to send.",
            _LABELS,
            _each(lambda probe: probe.void),
        ),
        Family(
            CounterMetricFamily,
            "ipmp_probe_slots_missed_total",
            "Probes that were not sent because mpathd was not scheduled in time.",
            _LABELS,
            _each(lambda probe: probe.missed),
        ),
        Family(
            CounterMetricFamily,
            "ipmp_probe_replies_rejected_total",
            "Replies that answered no probe, by reason.",
            (*_LABELS, "reason"),
            _rejected,
        ),
        Family(
            SummaryMetricFamily,
            "ipmp_probe_rtt_seconds",
            "Round-trip times of answered probes; sum by count is their mean.",
            _LABELS,
            lambda status: (
                (labels, probe.acked, probe.rtt_total) for labels, probe in _probes(status)
            ),
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_probe_targets",
            "Targets that the interface probes now.",
            _LABELS,
            _each(lambda probe: len(probe.targets)),
        ),
    ),
)

TARGETS = Subject(
    "targets",
    (
        Family(
            GaugeMetricFamily,
            "ipmp_probe_target_rtt_seconds",
            "Smoothed round-trip time to a target; 0 while it is not known.",
            (*_LABELS, "target"),
            lambda status: _targets(status, "rtt_average"),
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_probe_target_rtt_deviation_seconds",
            "Smoothed mean deviation of the round-trip time to a target; 0 while it is not known.",
            (*_LABELS, "target"),
            lambda status: _targets(status, "rtt_deviation"),
        ),
    ),
    default=False,  # targets come and go with the routers and neighbours of the link
)
