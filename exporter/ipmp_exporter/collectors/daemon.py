"""Metrics about mpathd: its configuration, its operations and how well its loop keeps up."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

from ipmp.decision import Reason
from ipmp.model import Family as AddressFamily
from ipmp.model import ProblemCode, Status
from ipmp_exporter.collectors.family import Family, Sample, Subject, counts

# What each operation can fail for: a request, for any code that the API answers with; a move that
# mpathd decides on by itself, only when the kernel refuses it.
_REFUSALS = tuple(ProblemCode)
_FAILURES: dict[str, tuple[str, ...]] = {
    "offline": _REFUSALS,
    "online": _REFUSALS,
    "hold": _REFUSALS,
    "release": _REFUSALS,
    "failover": (Reason.KERNEL_REFUSED,),
    "failback": (Reason.KERNEL_REFUSED,),
}


def _failures(status: Status) -> Iterator[Sample]:
    seen = status.daemon.operation_failures
    for operation in dict.fromkeys((*_FAILURES, *seen)):
        known = _FAILURES.get(operation, ())
        for reason, count in counts(known, seen.get(operation, {})).items():
            yield (operation, reason), count


def _by_family(sent: dict[str, int]) -> Iterator[Sample]:
    for family, count in counts(AddressFamily, sent).items():
        yield (family,), count


DAEMON = Subject(
    "daemon",
    (
        Family(
            InfoMetricFamily,
            "ipmp_daemon_info",
            "The mpathd that was read: version.",
            (),
            lambda status: [((), {"version": status.daemon.version})],
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_daemon_start_time_seconds",
            "Unix time at which mpathd started; its counters began at 0 then.",
            (),
            lambda status: [((), status.daemon.started)],
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_config_last_reload_successful",
            "1 if mpathd accepted its configuration at the last attempt, 0 if the old one stays.",
            (),
            lambda status: [((), status.daemon.config_last_reload_successful)],
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_config_last_reload_success_timestamp_seconds",
            "Unix time at which mpathd last accepted a configuration.",
            (),
            lambda status: [((), status.daemon.config_last_reload_success)],
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_maintenance_mode",
            "1 while remediation is paused on this host, else 0.",
            (),
            lambda status: [((), status.daemon.paused is not None)],
        ),
        Family(
            CounterMetricFamily,
            "ipmp_operations_total",
            "Operations carried out by mpathd: " + ", ".join(_FAILURES) + ".",
            ("operation",),
            lambda status: (
                ((operation,), count)
                for operation, count in counts(_FAILURES, status.daemon.operations).items()
            ),
        ),
        Family(
            CounterMetricFamily,
            "ipmp_operation_failures_total",
            "Operations that were refused or failed, by the code of the reason.",
            ("operation", "reason"),
            _failures,
        ),
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
            "Announcements that could not be sent: ipv4, ipv6.",
            ("family",),
            lambda status: _by_family(status.daemon.announcement_failures),
        ),
        Family(
            CounterMetricFamily,
            "ipmp_drift_corrections_total",
            "Changes made by other programs that mpathd put right, by kind of object.",
            ("kind",),
            lambda status: (((kind,), count) for kind, count in status.daemon.drift.items()),
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
            GaugeMetricFamily,
            "ipmp_loop_lag_max_seconds",
            "Longest time that mpathd's event loop was blocked during the last minute.",
            (),
            lambda status: [((), status.daemon.loop_lag_max)],
        ),
    ),
)
