"""Metrics about the configuration that mpathd works with."""

from __future__ import annotations

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from ipmp_exporter.collectors.family import Family, Subject

CONFIG = Subject(
    "config",
    (
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
            CounterMetricFamily,
            "ipmp_config_reloads_total",
            "Attempts to load the configuration again, accepted or not.",
            (),
            lambda status: [((), status.daemon.config_reloads)],
        ),
        Family(
            CounterMetricFamily,
            "ipmp_config_reload_failures_total",
            "Reloads that mpathd did not accept; the configuration before stayed in force.",
            (),
            lambda status: [((), status.daemon.config_reload_failures)],
        ),
    ),
)
