"""Which metrics our programs expose: what rules and dashboards may ask for."""

from __future__ import annotations

import re
from pathlib import Path

from ipmp_fleetlock.metrics import FleetlockMetrics
from ipmp_remediator.metrics import Metrics

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def exposed_metrics() -> set[str]:
    """Return the names of all series of exporter, remediator and budget server."""
    text = (GOLDEN / "exporter_healthy.txt").read_text()
    text += Metrics().render().decode() + FleetlockMetrics().render().decode()
    samples = set(re.findall(r"^(ipmp_\w+)", text, flags=re.MULTILINE))
    return samples | set(re.findall(r"^# TYPE (ipmp_\w+)", text, flags=re.MULTILINE))
