"""What operators ask on the host: approve, explain, and try a notification out."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ipmp.client import Client, ProblemError
from ipmp_remediator.main import main
from tests.support.fake_control_daemon import FakeDaemon
from tests.support.remediator import InProcess, alert, notification, write_policy


def _ipmp(run_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ipmp.cli.ipmp", "--run-dir", str(run_dir), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.checklist("7.1", 28)
async def test_a_drain_waits_for_ipmp_approve(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    policy = write_policy(tmp_path, policy="approval = true")
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        assert await remediator.post(alert(), alert("ni1")) == 202
        await remediator.decided("refused", "approval")
        listed = await asyncio.to_thread(_ipmp, run_dir, "approve")
        lines = {
            line.split("  ")[1].split()[1]: line.split()[0] for line in listed.stdout.splitlines()
        }
        assert set(lines) == {"ni0", "ni1"}
        assert daemon.requests == []

        wrong = await asyncio.to_thread(_ipmp, run_dir, "approve", "00000000")
        assert (wrong.returncode, wrong.stdout) == (1, "")
        assert "no open alert has this ID" in wrong.stderr
        right = await asyncio.to_thread(_ipmp, run_dir, "approve", lines["ni0"])
        assert right.returncode == 0
        assert "is approved" in right.stdout
        await remediator.decided("drained", "firing")
        assert daemon.effects == [("offline", "ni0")]


async def test_an_approval_outlives_a_restart(tmp_path: Path, run_dir: Path) -> None:
    daemon = FakeDaemon(run_dir, {"ipmp0": ("ni0", "ni1")})
    await daemon.start()
    policy = write_policy(tmp_path, policy='approval = true\ndelay = "1s"')
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        assert await remediator.post(alert()) == 202
        await remediator.decided("refused", "approval")
        [line] = await asyncio.to_thread(Client(run_dir).approvals)
        hidden = daemon.socket.rename(run_dir / "hidden.sock")
        with pytest.raises(ProblemError):  # it must know what it is asked about
            await asyncio.to_thread(Client(run_dir).approve, line.split()[0])
        hidden.rename(daemon.socket)
        daemon.busy = 1
        await asyncio.to_thread(Client(run_dir).approve, line.split()[0])
        await remediator.decided("refused", "busy")
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        await remediator.decided("drained", "firing")
    await daemon.stop()


@pytest.mark.checklist("7.1", 39)
async def test_explain_tells_every_objection_and_what_led_to_it(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    policy = write_policy(tmp_path, limits='drained_group = 1\ncooldown = "1h"')
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        assert await remediator.post(alert()) == 202
        await remediator.decided("drained", "firing")
        assert await remediator.post(alert("ni1")) == 202
        await remediator.decided("refused", "concurrency_group")
        told = "\n".join(await asyncio.to_thread(Client(run_dir).remediation, "ni0"))
        assert "has taken ni0 offline for alert IpmpProbeLossHigh" in told
        assert "was taken offline for IpmpProbeLossHigh" in told
        told = "\n".join(await asyncio.to_thread(Client(run_dir).remediation, "ni1"))
        assert "1 of group ipmp0 are drained already" in told


async def test_no_remediator_is_one_sentence(run_dir: Path) -> None:
    result = await asyncio.to_thread(_ipmp, run_dir, "approve")
    assert result.returncode == 1
    assert result.stderr == "ipmp: cannot contact ipmp_remediator; is it running?\n"


@pytest.mark.checklist("7.1", 42)
@pytest.mark.parametrize("running", [True, False])
async def test_a_payload_is_tried_out_and_nothing_happens(
    tmp_path: Path,
    run_dir: Path,
    capsys: pytest.CaptureFixture[str],
    running: bool,
) -> None:
    daemon = FakeDaemon(run_dir, {"ipmp0": ("ni0", "ni1", "ni2")})
    if running:
        await daemon.start()
    policy = write_policy(tmp_path, limits="min_usable = 3", policy='delay = "1h"')
    payload = tmp_path / "payload.json"
    payload.write_text(json.dumps(notification(alert(), alert(remediation="none"))))
    arguments = ["--config.file", str(policy), "--run-dir", str(run_dir)]
    arguments += ["--state-dir", str(tmp_path / "state"), "--test-payload", str(payload)]
    assert await asyncio.to_thread(main, arguments) == 0
    out = capsys.readouterr().out
    for text in ("queued (firing)", "ignored (no_policy)", "refused (delay)", "nothing would be"):
        assert text in out
    policy.write_text(write_policy(tmp_path).read_text())
    assert await asyncio.to_thread(main, arguments) == 0
    assert "the next step would be: drain ni0 of group ipmp0" in capsys.readouterr().out
    payload.write_text("{}")
    assert await asyncio.to_thread(main, arguments) == 1
    assert "is no notification" in capsys.readouterr().err
    assert daemon.requests == []
    assert not (tmp_path / "state").exists()
    await daemon.stop()
