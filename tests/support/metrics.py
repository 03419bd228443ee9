"""Which metrics exporter and remediator expose: what rules and dashboards may ask for."""

from __future__ import annotations

import re
from pathlib import Path

from ipmp_remediator.metrics import Metrics

GOLDEN = Path(__file__).resolve().parents[1] / "golden"

#: Of the contract (names and labels are fixed), not exposed yet.
AWAITED = frozenset(
    {
        "ipmp_fleet_budget_slots",
        "ipmp_fleet_budget_slots_in_use",
        "ipmp_fleet_budget_up",
        "ipmp_history_writable",
        "ipmp_operations_in_progress",
        "ipmp_probe_replies_total",
        "ipmp_probe_rtt_seconds_count",
        "ipmp_probe_rtt_seconds_sum",
        "ipmp_probe_targets",
        "ipmp_probes_sent_total",
        "ipmp_remediation_circuit_breaker",
    }
)


def exposed_metrics() -> set[str]:
    """Return the names of all series of both programs."""
    text = (GOLDEN / "exporter_healthy.txt").read_text() + Metrics().render().decode()
    samples = set(re.findall(r"^(ipmp_\w+)", text, flags=re.MULTILINE))
    return samples | set(re.findall(r"^# TYPE (ipmp_\w+)", text, flags=re.MULTILINE))
