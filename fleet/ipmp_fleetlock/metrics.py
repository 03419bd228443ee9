"""The metrics of the FleetLock server: what it is asked, and the slots that it keeps."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from ipmp.fleetlock.values import ErrorKind, GroupStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

OPERATIONS = ("take", "give_back", "release")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class FleetlockMetrics:
    """Counters and gauges of one server; what is held comes from etcd at every scrape."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "ipmp_fleetlock_requests",
            "Requests that were carried out, by operation.",
            ["operation"],
            registry=self.registry,
        )
        self.refusals = Counter(
            "ipmp_fleetlock_refusals",
            "Requests that were refused or failed, by operation and kind of error.",
            ["operation", "kind"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "ipmp_fleetlock_request_duration_seconds",
            "Time from the receipt of a request to its answer.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.store_up = self._gauge(
            "ipmp_fleetlock_store_up", "1 if etcd could be read for this scrape, else 0."
        )
        self._slots = self._gauge("ipmp_fleet_budget_slots", "Slots of a pool.", "pool")
        self._in_use = self._gauge("ipmp_fleet_budget_slots_in_use", "Slots that are held.", "pool")
        self._since = self._gauge(
            "ipmp_fleetlock_holder_since_timestamp_seconds",
            "Unix time since when a holder has its slot.",
            "pool",
            "id",
        )
        for operation in OPERATIONS:
            self.requests.labels(operation)
            for kind in ErrorKind:
                self.refusals.labels(operation, kind)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def show(self, groups: Iterable[GroupStatus] | None) -> None:
        """Set the gauges; with None, when etcd cannot be read, nothing old is shown."""
        for gauge in (self._slots, self._in_use, self._since):
            gauge.clear()
        self.store_up.set(groups is not None)
        for group in groups or ():
            self._slots.labels(group.group).set(group.slots)
            self._in_use.labels(group.group).set(len(group.holders))
            for holder in group.holders:
                self._since.labels(group.group, holder.id).set(holder.since)

    def render(self) -> bytes:
        """Render everything in the text format 0.0.4."""
        return generate_latest(self.registry)
