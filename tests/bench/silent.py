"""A switch port that forwards no more: the longest gap that the peer sees at 1000 packets/s.

Only probes find it. The ideal is the failure detection time: five losses at random moments of their
slots are designed to fit into it (ipmp-semantics 2.6).
"""

from __future__ import annotations

import time

from ipmp.lab import Lab
from tests.bench.host import daemon, laboratory
from tests.bench.table import median, show
from tests.support.lab import Host
from tests.support.views import held
from tests.support.wait import eventually

ROUNDS = 10
TIMES = {"500ms": 0.5, "100ms": 0.1}
BEFORE = 0.3  # seconds of stream before the failure
ADDRESS = "192.168.1.5"


def main() -> None:
    """Print the table."""
    rows = []
    for text, ideal in TIMES.items():
        gaps = _gaps(text, ideal)
        rows.append((text, median(gaps), min(gaps), max(gaps), median(gaps) / (1000 * ideal)))
    header = ("detection time", "median ms", "least", "most", "median / detection time")
    show("Silent path failure, longest gap seen by the peer", header, rows)


def _gaps(text: str, ideal: float) -> list[float]:
    """Each round has a daemon of its own: moves count towards the limit of a fabric."""
    gaps = []
    with laboratory() as (lab, directory):
        for _ in range(ROUNDS):
            with daemon(lab, directory, f'failure_detection_time = "{text}"\n') as host:
                eventually(lambda: _probed(host), 30)
                gaps.append(_gap(lab, 4 * ideal + 0.3))
                eventually(lambda: f"{ADDRESS}/24" in held(lab, "ni0"), 30)
    return gaps


def _probed(host: Host) -> bool:
    status = host.status()
    probes = [p for name in ("ni0", "ni1") for p in status.interface(name).probes]
    return len(probes) == 4 and all(p.acked > 5 for p in probes)


def _gap(lab: Lab, seconds: float) -> float:
    with lab.meter("peer", ADDRESS) as stream:
        time.sleep(BEFORE)
        lab.fault("silent", "ni0")
        time.sleep(seconds)
        result = stream.result()
    lab.repair("ni0")
    return result.peer_gap_ms
