"""The dispatcher's own metrics, prefix `ipmp_route_`."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from ipmp_remediator.route.split import Unroutable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_CODES = ("202", "400", "401", "403", "405", "408", "413", "415", "503")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# Why a part was not stored by its host.
OUTCOMES = ("stored", "unknown_host", "refused", "timeout", "unreachable")


class RouteMetrics:
    """Counters and gauges of one dispatcher."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "ipmp_route_requests",
            "Requests to /alerts by HTTP status code.",
            ["code"],
            registry=self.registry,
        )
        self.request_duration = Histogram(
            "ipmp_route_request_duration_seconds",
            "Time from the receipt of a notification until all of its hosts had answered.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.alerts = Counter(
            "ipmp_route_alerts", "Alerts in accepted notifications.", registry=self.registry
        )
        self.unroutable = Counter(
            "ipmp_route_alerts_unroutable",
            "Alerts that were passed on to nobody, by reason; they are not tried again.",
            ["reason"],
            registry=self.registry,
        )
        self.deliveries = Counter(
            "ipmp_route_deliveries",
            "Parts of notifications by what became of them; all but stored are tried again.",
            ["outcome"],
            registry=self.registry,
        )
        self.delivery_duration = Histogram(
            "ipmp_route_delivery_duration_seconds",
            "Time that one host took to store its part.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "ipmp_route_notifications_in_progress",
            "Notifications that are being passed on now.",
            registry=self.registry,
        )
        for code in _CODES:
            self.requests.labels(code)
        for reason in Unroutable:
            self.unroutable.labels(reason)
        for outcome in OUTCOMES:
            self.deliveries.labels(outcome)

    def render(self) -> bytes:
        """Render everything in the text format 0.0.4."""
        return generate_latest(self.registry)
