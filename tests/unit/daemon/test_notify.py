"""What the service manager hears."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ipmp.daemon.notify import notify, report, watchdog_seconds
from ipmp.daemon.pulse import Pulse
from tests.support.manager import Manager, listening
from tests.support.wait import eventually_async


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    with listening(str(tmp_path / "notify")) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        yield manager


@pytest.mark.parametrize("sign", ["", "@"])
def test_the_manager_hears_the_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: str
) -> None:
    """At a path, and at an abstract address."""
    with listening(sign + str(tmp_path / "notify")) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        notify("READY=1", "STATUS=all = well")
        assert manager.hear() == [{"READY": "1", "STATUS": "all = well"}]


def test_without_a_manager_nobody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("STOPPING=1")


def test_a_manager_that_does_not_read_stops_nobody(manager: Manager) -> None:
    for _ in range(10_000):  # many more than a socket's queue takes
        notify("STATUS=" + "x" * 1000)
    assert 0 < len(manager.hear()) < 10_000


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_for_whom_it_is_meant(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert watchdog_seconds(environment) == seconds


class Service:
    """Stuck when it is told to be."""

    def __init__(self) -> None:
        self.stuck_in: list[str] = []

    def summary(self) -> str:
        return "ipmp0 ok"

    def stuck(self, seconds: float) -> list[str]:
        return self.stuck_in


@contextmanager
def reporting(service: Service) -> Iterator[None]:
    task = asyncio.create_task(report(service))
    try:
        yield
    finally:
        task.cancel()


async def test_what_is_stuck_is_not_said_to_be_well(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    service = Service()
    with reporting(service):
        await eventually_async(lambda: manager.times("WATCHDOG") >= 3)
        service.stuck_in = ["group ipmp0"]
        before = manager.times("WATCHDOG")
        with suppress(TimeoutError):
            await eventually_async(lambda: manager.times("WATCHDOG") > before, timeout=0.3)
        assert manager.times("WATCHDOG") == before
        service.stuck_in = []
        await eventually_async(lambda: manager.times("WATCHDOG") > before)
    assert manager.times("STATUS", "ipmp0 ok") == 1


def test_a_pass_that_fails_again_and_again_is_stuck() -> None:
    now = 0.0
    pulse = Pulse(lambda: now)
    assert pulse.stuck_for() == 0.0
    pulse.begin()
    now = 7.0
    pulse.begin()  # the next try
    assert pulse.stuck_for() == 7.0
    pulse.beat()
    now = 8.0
    assert pulse.stuck_for() == 1.0
    pulse.rest()
    assert pulse.stuck_for() == 0.0
