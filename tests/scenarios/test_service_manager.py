"""What systemd hears of the daemon: start, reload, stop, how the groups are, and the watchdog."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipmp.lab import Lab
from tests.support.lab import Host
from tests.support.manager import Manager, manager_in
from tests.support.views import PLAIN

PERIOD = 0.5  # seconds: half of the WATCHDOG_USEC below


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    yield from manager_in(tmp_path)


def started(lab: Lab, directory: Path, manager: Manager, **more: str) -> Host:
    environment = {"NOTIFY_SOCKET": manager.address, **more}
    host = Host(lab, directory, PLAIN).start(environment=environment)
    manager.await_told("READY", "1")
    return host


def test_start_reload_and_stop_are_told(lab: Lab, tmp_path: Path, manager: Manager) -> None:
    before = time.monotonic_ns() // 1000
    host = started(lab, tmp_path, manager)
    assert manager.told[0] == {"READY": "1"}
    manager.await_told("STATUS", "ipmp0 ok")
    host.signal(signal.SIGHUP)
    manager.await_told("READY", "1", times=2)
    (reload,) = (told for told in manager.told if "RELOADING" in told)
    assert before < int(reload["MONOTONIC_USEC"]) < time.monotonic_ns() // 1000
    host.configure("nonsense")
    host.signal(signal.SIGHUP)
    manager.await_told("READY", "1", times=3)
    manager.await_told("STATUS", "ipmp0 ok; the last configuration was not accepted")
    host.stop()
    assert manager.hear()[-1] == {"STOPPING": "1"}
    assert manager.times("WATCHDOG") == 0, "nobody asked for it"


def test_the_status_follows_the_groups(lab: Lab, tmp_path: Path, manager: Manager) -> None:
    started(lab, tmp_path, manager)
    for nic, state in (("ni0", "degraded"), ("ni1", "failed")):
        lab.fault("cable-pull", nic)
        manager.await_told("STATUS", f"ipmp0 {state}")
    assert manager.times("STATUS") == 3, "only changes are told"


def test_37_the_watchdog_is_silent_while_the_daemon_is_stopped(
    lab: Lab, tmp_path: Path, manager: Manager
) -> None:
    """Then systemd would restart it; when it goes on by itself, nothing has failed over."""
    usec = str(round(2 * PERIOD * 1e6))
    host = started(lab, tmp_path, manager, WATCHDOG_USEC=usec)
    manager.await_told("WATCHDOG", "1", times=4)
    host.signal(signal.SIGSTOP)
    manager.hear()
    assert manager.is_told_nothing(6 * PERIOD)
    host.signal(signal.SIGCONT)
    before = manager.times("WATCHDOG")
    manager.await_told("WATCHDOG", "1", times=before + 3)
    assert host.client.history(kind="failover") == []
    assert host.status().group("ipmp0").state == "ok"
