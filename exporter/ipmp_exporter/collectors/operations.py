"""Metrics about operations: asked for by people and the remediator, or begun by mpathd itself."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

from ipmp.model import ProblemCode, Status
from ipmp_exporter.collectors.family import Family, Sample, Subject, buckets, counts

_ASKED_FOR = ("offline", "online", "hold", "release", "forget")
_BY_ITSELF = ("failover", "failback")


def _failures(status: Status) -> Iterator[Sample]:
    seen = status.daemon.operation_failures
    for operation in dict.fromkeys((*_ASKED_FOR, *seen)):
        for reason, count in counts(ProblemCode, seen.get(operation, {})).items():
            yield (operation, reason), count


def _durations(status: Status) -> Iterator[Sample]:
    for operation, histogram in status.daemon.operation_durations.items():
        yield (operation,), buckets(histogram), histogram.total


OPERATIONS = Subject(
    "operations",
    (
        Family(
            CounterMetricFamily,
            "ipmp_operations_total",
            "Operations: those that were asked for ("
            + ", ".join(_ASKED_FOR)
            + "), and those that mpathd began by itself ("
            + ", ".join(_BY_ITSELF)
            + ").",
            ("operation",),
            lambda status: (
                ((operation,), count)
                for operation, count in counts(
                    (*_ASKED_FOR, *_BY_ITSELF), status.daemon.operations
                ).items()
            ),
        ),
        Family(
            CounterMetricFamily,
            "ipmp_operation_failures_total",
            "Operations that were asked for and refused, or that failed, by reason.",
            ("operation", "reason"),
            _failures,
        ),
        Family(
            HistogramMetricFamily,
            "ipmp_operation_duration_seconds",
            "Time from a request until it was carried out and verified; failed ones do not count.",
            ("operation",),
            _durations,
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_operations_in_progress",
            "Operations that were asked for and are not finished: " + ", ".join(_ASKED_FOR) + ".",
            ("operation",),
            lambda status: (
                ((operation,), count)
                for operation, count in counts(
                    _ASKED_FOR, status.daemon.operations_under_way
                ).items()
            ),
        ),
    ),
)
