"""Scrapes taken while everything breaks: each is valid, and no series comes or goes by chance."""

from __future__ import annotations

import subprocess
import threading
import time
import urllib.request
from itertools import pairwise
from pathlib import Path

import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.scenarios.conftest import StartHost
from tests.support.exporter_process import running_exporter
from tests.support.lab import Host
from tests.support.tools import need
from tests.support.views import BOTH, on
from tests.support.wait import eventually

CONFIG = """\
[groups.ipmp0]
interfaces = ["ni0", "ni1"]
failure_detection_time = "500ms"
announce = { rate = 1000 }
"""

#: What may differ between two scrapes of a host on which nothing happens.
LIVES = (
    "process_",
    "ipmp_announcements_sent",  # repeats of the start
    "ipmp_collector_duration_seconds",
    "ipmp_group_failure_detection_time_seconds",  # it adapts to the round-trip times
    "ipmp_loop_lag_max_seconds",
    "ipmp_history_pending_events",
    "ipmp_probe",
    "ipmp_reconciles",
)

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Scraper(threading.Thread):
    """Scrapes without a pause until told to stop."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.bodies: list[str] = []
        self.texts: list[bytes] = []
        self._address = address
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            self.bodies.append(fetch(self._address, "application/openmetrics-text").decode())
            self.texts.append(fetch(self._address, "text/plain"))

    def stop(self) -> None:
        self._over.set()
        self.join()


def fetch(address: str, accept: str) -> bytes:
    request = urllib.request.Request(f"http://{address}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=20) as response:
        return bytes(response.read())


def parsed(body: str) -> list[Metric]:
    return list(text_string_to_metric_families(body))


def series(families: list[Metric]) -> Series:
    found: Series = {}
    for family in families:
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found
            found[key] = sample.value
    return found


def counters(families: list[Metric]) -> Series:
    return series([f for f in families if f.type == "counter" and f.name.startswith("ipmp_")])


def storm(lab: Lab, start_host: StartHost) -> None:
    """Pulled and silent cables, drains, a thief, reloads good and bad, a kill and a restart."""
    host = start_host(CONFIG)
    on(lab, "ni0", *BOTH)
    lab.fault("cable-pull", "ni0")
    on(lab, "ni1", *BOTH)
    lab.repair("ni0")
    on(lab, "ni0", *BOTH)
    assert host.if_mpadm("-d", "ni0").returncode == 0
    assert host.if_mpadm("-d", "ni1").returncode == 1
    assert host.if_mpadm("-r", "ni0").returncode == 0
    on(lab, "ni0", *BOTH)
    lab.run(HOST, ("ip", "addr", "del", BOTH[0] + "/24", "dev", "ni0"))
    on(lab, "ni0", *BOTH)
    answered = acked(host) + 5
    eventually(lambda: acked(host) > answered, 20)  # it has been heard since the thief came
    lab.fault("silent", "ni0")
    eventually(lambda: host.status().interface("ni0").state == "failed", 20)
    lab.repair("ni0")
    host.configure("nonsense")
    assert host.ipmp("reload").returncode != 0
    host.configure(CONFIG)
    assert host.ipmp("reload").returncode == 0
    host.kill9()
    lab.fault("cable-pull", "ni1")
    host.start()
    lab.fault("cable-pull", "ni0")
    eventually(lambda: host.status().group("ipmp0").state == "failed", 20)
    lab.repair("ni0")
    lab.repair("ni1")
    eventually(lambda: host.status().group("ipmp0").state != "failed", 20)


def acked(host: Host) -> int:
    """Answered probes of the path of ni0 that has fewest."""
    return min((p.acked for p in host.status().interface("ni0").probes), default=0)


@pytest.mark.slow
@pytest.mark.prometheus
@pytest.mark.checklist("7.2", 9, 15, 32, 43, 44)
def test_every_scrape_during_a_storm_of_faults_is_valid(
    lab: Lab, tmp_path: Path, start_host: StartHost
) -> None:
    promtool = need("promtool")
    (tmp_path / "run").mkdir(exist_ok=True)
    with running_exporter(tmp_path / "run") as address:
        scraper = Scraper(address)
        scraper.start()
        try:
            storm(lab, start_host)
        finally:
            scraper.stop()
    scrapes = [parsed(body) for body in scraper.bodies]
    told = [series(families) for families in scrapes]
    up = [n for n, found in enumerate(told) if found["ipmp_up", frozenset()] == 1]
    assert len(up) > 20
    assert len(up) < len(told)  # the daemon was away, too
    _no_series_comes_or_goes([told[n] for n in up])
    _no_counter_goes_back([scrapes[n] for n in up])
    _one_state_at_a_time([scrapes[n] for n in up])
    for text in scraper.texts[:: max(1, len(scraper.texts) // 20)]:
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def _no_series_comes_or_goes(told: list[Series]) -> None:
    """But when a path is probed for the first time by this daemon."""
    everything = set().union(*told)
    for found in told:
        missing = {name for name, _ in everything - found.keys()}
        assert not [name for name in missing if not name.startswith("ipmp_probe")]


def _no_counter_goes_back(scrapes: list[list[Metric]]) -> None:
    """But when the daemon is another one."""
    started = "ipmp_daemon_start_time_seconds", frozenset[tuple[str, str]]()
    for earlier, later in pairwise(scrapes):
        if series(earlier)[started] == series(later)[started]:
            before, after = counters(earlier), counters(later)
            assert before.keys() <= after.keys()
            assert not [key for key in before if after[key] < before[key]]


def _one_state_at_a_time(scrapes: list[list[Metric]]) -> None:
    enums = {"ipmp_group_state", "ipmp_interface_state", "ipmp_interface_link_state"}
    for families in scrapes:
        for family in (f for f in families if f.name in enums):
            true: dict[frozenset[tuple[str, str]], float] = {}
            for sample in family.samples:
                which = frozenset((k, v) for k, v in sample.labels.items() if k != family.name)
                true[which] = true.get(which, 0) + sample.value
            assert set(true.values()) == {1}


@pytest.mark.checklist("7.2", 32)
def test_two_scrapes_of_a_quiet_host_differ_only_in_what_lives(
    lab: Lab, tmp_path: Path, start_host: StartHost
) -> None:
    host = start_host(CONFIG)
    on(lab, "ni0", *BOTH)
    eventually(lambda: all(i.state == "ok" for i in host.status().interfaces), 20)

    def quiet() -> bool:
        """No event in the last second."""
        events = host.client.history()
        return time.time() - events[-1].time > 1.0

    with running_exporter(tmp_path / "run") as address:
        eventually(quiet, 30)
        first = series(parsed(fetch(address, "application/openmetrics-text").decode()))
        reconciles = "ipmp_reconciles_total", frozenset[tuple[str, str]]()

        def later() -> Series:
            """A scrape after a full reading of the kernel."""
            found = series(parsed(fetch(address, "application/openmetrics-text").decode()))
            return found if found[reconciles] > first[reconciles] else {}

        second = eventually(later, 30)
    assert first.keys() == second.keys()
    differ = {key[0] for key, value in first.items() if second[key] != value}
    assert not [name for name in differ if not name.startswith(LIVES)]
