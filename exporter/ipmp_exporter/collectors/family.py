"""How a metric is declared: its constant part, and the function that finds its samples.

The declarations are data, so that `describe()`, the exposition and every list of metrics come from
the same rows. A family is made anew for each scrape: nothing is shared between two scrapes, and a
series whose object is gone cannot linger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
    SummaryMetricFamily,
)

from ipmp.model import Histogram, Status

MetricFamily = (
    CounterMetricFamily
    | GaugeMetricFamily
    | HistogramMetricFamily
    | InfoMetricFamily
    | StateSetMetricFamily
    | SummaryMetricFamily
)

Sample = tuple[Any, ...]
"""Arguments of the family's `add_metric`: label values, then what its type asks for."""


@dataclass(frozen=True)
class Family:
    """One metric: type, name as Prometheus stores it, HELP, labels, and where samples come from."""

    kind: type[MetricFamily]
    name: str
    help: str
    labels: tuple[str, ...]
    samples: Callable[[Status], Iterable[Sample]]

    def empty(self) -> MetricFamily:
        """Return a fresh family without samples; also what `describe()` shows."""
        # The library adds the suffix of an Info by itself.
        return self.kind(self.name.removesuffix("_info"), self.help, labels=self.labels)

    def collect(self, status: Status) -> Metric:
        """Return a fresh family with the samples of this snapshot."""
        metric = self.empty()
        for sample in self.samples(status):
            metric.add_metric(*sample)
        return metric


@dataclass(frozen=True)
class Subject:
    """The metrics about one subject; `name` is the value of the `collector` label."""

    name: str
    families: tuple[Family, ...]
    default: bool = True  # collected unless a flag says otherwise

    def collect(self, status: Status) -> list[Metric]:
        """Return every family of this subject, filled from the snapshot."""
        return [family.collect(status) for family in self.families]


def counts(known: Iterable[str], seen: Mapping[str, int]) -> dict[str, int]:
    """Return the counts with every known key present, so that a series exists before its event."""
    return dict.fromkeys((str(key) for key in known), 0) | dict(seen)


def buckets(histogram: Histogram) -> list[tuple[str, int]]:
    """Return bounds and cumulative counts as the library wants them, +Inf last."""
    bounds = (*map(repr, histogram.bounds), "+Inf")
    return list(zip(bounds, histogram.counts, strict=True))


def one_of(states: Iterable[str], current: str) -> dict[str, bool]:
    """Return the states of an enum with only the current one true."""
    return {str(state): state == current for state in states}
