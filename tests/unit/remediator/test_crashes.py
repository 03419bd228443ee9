"""The real process is killed at the worst moments: exactly one effect, and nothing is lost."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.support.fake_control_daemon import FakeDaemon
from tests.support.remediator import Subprocess, alert, until, write_policy


@pytest.mark.checklist("7.1", 12)
async def test_killed_between_storing_and_acting(tmp_path: Path, run_dir: Path) -> None:
    """The daemon is away, so the accepted alert exists only on disk when the kill comes."""
    daemon = FakeDaemon(run_dir, {"ipmp0": ("ni0", "ni1")})
    process = Subprocess(tmp_path, run_dir, write_policy(tmp_path))
    await process.start()
    assert await process.post(alert()) == 202
    assert await process.end(signal.SIGKILL) == -signal.SIGKILL
    await daemon.start()
    try:
        await process.start()
        await process.decided("drained", "firing")
        assert daemon.effects == [("offline", "ni0")]
        assert await process.end(signal.SIGTERM) == 0
    finally:
        await daemon.stop()


@pytest.mark.checklist("7.1", 37)
async def test_killed_before_and_after_the_effect(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    """Drain and undrain, each killed twice: while the daemon works, and before its answer comes."""
    process = Subprocess(tmp_path, run_dir, write_policy(tmp_path))
    firing = alert()
    resolved = firing | {"status": "resolved", "endsAt": alert(status="resolved")["endsAt"]}
    await process.start()
    for sent, kind, operation in (
        (firing, "drained", "offline"),
        (resolved, "undrained", "online"),
    ):
        daemon.before_effect.shut()
        daemon.after_effect.shut()
        assert await process.post(sent) == 202
        await _kill_at(process, daemon.before_effect.reached)
        await process.start()
        daemon.before_effect.open()
        await _kill_at(process, daemon.after_effect.reached)
        daemon.forget_answers()  # as if it were restarted: only its state tells what was done
        daemon.after_effect.open()
        await process.start()
        await process.decided(kind, sent["status"])
        assert await process.post(sent) == 202  # Alertmanager repeats
        assert daemon.effects.count((operation, "ni0")) == 1
        daemon.before_effect.reached.clear()
        daemon.after_effect.reached.clear()
    assert daemon.effects == [("offline", "ni0"), ("online", "ni0")]
    assert await process.end(signal.SIGTERM) == 0


async def test_resolved_while_a_killed_request_is_still_worked_on(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    """The daemon will take it offline, nobody saw the answer, the alert is over: it comes back."""
    process = Subprocess(tmp_path, run_dir, write_policy(tmp_path))
    firing = alert()
    await process.start()
    daemon.before_effect.shut()
    assert await process.post(firing) == 202
    await _kill_at(process, daemon.before_effect.reached)
    hidden = daemon.socket.rename(run_dir / "hidden.sock")
    await process.start()
    assert await process.post(firing | {"status": "resolved"}) == 202
    hidden.rename(daemon.socket)
    await until(lambda: len(daemon.requests) == 2, "the daemon is asked what became of it")
    daemon.before_effect.open()
    await process.decided("undrained", "resolved")
    assert daemon.effects == [("offline", "ni0"), ("online", "ni0")]
    assert await process.end(signal.SIGTERM) == 0


@pytest.mark.checklist("7.1", 12)
async def test_what_it_drained_is_remembered_across_a_kill(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    process = Subprocess(tmp_path, run_dir, write_policy(tmp_path))
    firing = alert()
    await process.start()
    assert await process.post(firing) == 202
    await process.decided("drained", "firing")
    await process.end(signal.SIGKILL)
    await process.start()
    assert await process.post(firing) == 202
    await process.decided("ignored", "duplicate")
    assert await process.post(firing | {"status": "resolved"}) == 202
    await process.decided("undrained", "resolved")
    assert daemon.effects == [("offline", "ni0"), ("online", "ni0")]
    assert await process.end(signal.SIGINT) == 0


async def test_stopping_does_not_wait_for_a_slow_daemon(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    daemon.before_effect.shut()
    process = Subprocess(tmp_path, run_dir, write_policy(tmp_path))
    await process.start()
    assert await process.post(alert()) == 202
    await asyncio.wait_for(daemon.before_effect.reached.wait(), 10)
    assert await process.end(signal.SIGTERM) == 0
    daemon.before_effect.open()
    await process.start()
    await process.decided("drained", "firing")
    assert daemon.effects == [("offline", "ni0")]
    await process.end(signal.SIGTERM)


async def _kill_at(process: Subprocess, reached: asyncio.Event) -> None:
    await until(reached.is_set, "the daemon is at work")
    assert await process.end(signal.SIGKILL) == -signal.SIGKILL
