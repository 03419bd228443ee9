"""Metrics about mpathd itself: its start, its loop, its history, whether remediation is paused."""

from __future__ import annotations

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

from ipmp_exporter.collectors.family import Family, Subject

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
            "ipmp_maintenance_mode",
            "1 while remediation is paused on this host, else 0.",
            (),
            lambda status: [((), status.daemon.paused is not None)],
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_loop_lag_max_seconds",
            "Longest time that mpathd's event loop was blocked during the last minute.",
            (),
            lambda status: [((), status.daemon.loop_lag_max)],
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_daemon_clean_start",
            "1 if the mpathd before had stopped with nothing under way; 0 if this one had to find "
            "out from the kernel what was done and go on with it.",
            (),
            lambda status: [((), status.daemon.clean_start)],
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_history_writable",
            "1 if the history is written to disk, 0 while the disk refuses and it stays in memory.",
            (),
            lambda status: [((), status.daemon.history_on_disk)],
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_history_pending_events",
            "Events that wait to be written to the history.",
            (),
            lambda status: [((), status.daemon.history_pending)],
        ),
    ),
)
