"""Metrics about mpathd and the kernel: what was read, put right, refused, and told to the link."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from ipmp.model import Family as AddressFamily
from ipmp_exporter.collectors.family import Family, Sample, Subject, counts

_DRIFT = ("address", "route")


def _by_family(sent: dict[str, int]) -> Iterator[Sample]:
    for family, count in counts(AddressFamily, sent).items():
        yield (family,), count


KERNEL = Subject(
    "kernel",
    (
        Family(
            CounterMetricFamily,
            "ipmp_announcements_sent_total",
            "Announcements of addresses: ARP requests (ipv4), neighbour advertisements (ipv6).",
            ("family",),
            lambda status: _by_family(status.daemon.announcements),
        ),
        Family(
            CounterMetricFamily,
            "ipmp_announcement_failures_total",
            "Announcements of addresses that could not be sent: ipv4, ipv6.",
            ("family",),
            lambda status: _by_family(status.daemon.announcement_failures),
        ),
        Family(
            CounterMetricFamily,
            "ipmp_drift_corrections_total",
            "Changes by other programs that mpathd put right, by kind: address, route.",
            ("kind",),
            lambda status: (
                ((kind,), count) for kind, count in counts(_DRIFT, status.daemon.drift).items()
            ),
        ),
        Family(
            CounterMetricFamily,
            "ipmp_netlink_overruns_total",
            "How often the kernel dropped netlink events; all state was read anew each time.",
            (),
            lambda status: [((), status.daemon.netlink_overruns)],
        ),
        Family(
            CounterMetricFamily,
            "ipmp_reconciles_total",
            "Full comparisons of the kernel's state with what should be.",
            (),
            lambda status: [((), status.daemon.reconciles)],
        ),
        Family(
            CounterMetricFamily,
            "ipmp_kernel_refusals_total",
            "Changes that the kernel refused; mpathd tries each again after five seconds.",
            ("group",),
            lambda status: (((g.name,), g.kernel_refusals) for g in status.groups),
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_group_fights",
            "Addresses and routes of the group that another program changes again and again.",
            ("group",),
            lambda status: (((g.name,), len(g.fights)) for g in status.groups),
        ),
    ),
)
