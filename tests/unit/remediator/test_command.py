"""The command as users meet it: flags, signals, mistakes, and a second instance."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from ipmp_remediator.main import main
from tests.support.fake_control_daemon import FakeDaemon
from tests.support.remediator import Subprocess, alert, until, write_policy


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Take back what `main` has set up for the whole process."""
    root, before = logging.getLogger(), set(logging.getLogger().handlers)
    yield
    for handler in set(root.handlers) - before:
        root.removeHandler(handler)
    root.setLevel(logging.WARNING)
    structlog.reset_defaults()


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ipmp_remediator.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def _one_sentence(result: subprocess.CompletedProcess[str], *words: str) -> None:
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 1
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("ipmp_remediator: ")
    assert all(word in lines[0] for word in words), lines[0]


@pytest.mark.checklist("7.1", 43)
async def test_reload_is_all_or_nothing(tmp_path: Path, run_dir: Path, daemon: FakeDaemon) -> None:
    policy = write_policy(tmp_path, dry_run=True)
    process = Subprocess(tmp_path, run_dir, policy)
    await process.start()
    good = policy.read_text()
    policy.write_text(good.replace("dry_run = true", "dry_run = false") + "[nonsense]\n")
    process.send(signal.SIGHUP)
    await until(lambda: process.logged("the old one stays in force"), "the reload is refused")
    assert process.logged("nonsense is not a known key")
    await process.counts(1, "ipmp_remediation_dry_run")
    policy.write_text(good.replace("dry_run = true", "dry_run = false"))
    process.send(signal.SIGHUP)
    await until(lambda: process.logged("the policy was reloaded"), "the reload is done")
    assert await process.post(alert()) == 202
    await process.decided("drained", "firing")
    assert await process.end(signal.SIGTERM) == 0


@pytest.mark.checklist("7.1", 27)
async def test_dry_run_flag_outranks_the_file(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    process = Subprocess(tmp_path, run_dir, write_policy(tmp_path), "--dry-run")
    await process.start()
    process.send(signal.SIGHUP)
    await until(lambda: process.logged("the policy was reloaded"), "the reload is done")
    assert await process.post(alert()) == 202
    await process.decided("refused", "dry_run")
    assert daemon.effects == []
    assert await process.end(signal.SIGINT) == 0


async def test_json_log_and_no_forged_lines(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    process = Subprocess(
        tmp_path, run_dir, write_policy(tmp_path), "--log.format", "json", "--log.level", "debug"
    )
    await process.start()
    assert await process.post(alert(name='x\nlevel=error msg="forged"\x1b[31m')) == 202
    await process.decided("drained", "firing")
    await process.end(signal.SIGTERM)
    lines = [json.loads(line) for line in process.log]
    assert {"ts", "level", "msg"} <= lines[0].keys()
    assert all("\x1b" not in line for line in process.log)


async def test_a_second_instance_is_refused(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    policy = write_policy(tmp_path)
    process = Subprocess(tmp_path, run_dir, policy)
    await process.start()
    flags = ["--config.file", str(policy), "--state-dir", str(tmp_path / "state")]
    result = await asyncio.to_thread(_run, *flags, "--web.listen-address", "127.0.0.1:0")
    _one_sentence(result, "another ipmp_remediator", str(tmp_path / "state"))
    await process.end(signal.SIGTERM)


def test_an_occupied_port_is_one_sentence(tmp_path: Path) -> None:
    policy = write_policy(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        flags = ["--config.file", str(policy), "--state-dir", str(tmp_path / "state")]
        result = _run(*flags, "--web.listen-address", f"127.0.0.1:{port}")
    _one_sentence(result, f"127.0.0.1:{port}", "in use")


def test_a_broken_store_is_one_sentence(tmp_path: Path) -> None:
    policy = write_policy(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "remediator.sqlite").write_text("not a database " * 100)
    flags = ["--config.file", str(policy), "--state-dir", str(tmp_path / "state")]
    _one_sentence(_run(*flags, "--web.listen-address", "127.0.0.1:0"), "remediator.sqlite")


@pytest.mark.parametrize("address", [":0", "0.0.0.0:0", "192.0.2.1:0", "[::]:0"])
@pytest.mark.checklist("7.1", 4)
def test_without_credentials_only_loopback(
    tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = write_policy(tmp_path)
    policy.write_text(policy.read_text().replace('token_file = "token"', 'authentication = "none"'))
    arguments = ["--config.file", str(policy), "--state-dir", str(tmp_path / "state")]
    assert main([*arguments, "--web.listen-address", address]) == 1
    assert "only loopback addresses" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
    for loopback in ("127.0.0.1:0", "[::1]:0", "localhost:0"):
        assert main([*arguments, "--web.listen-address", loopback, "--check"]) == 0


@pytest.mark.parametrize("content", [None, "", "\n", "x" * 5000])
def test_an_unusable_token_file_is_an_error(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = write_policy(tmp_path)
    token = tmp_path / "token"
    token.unlink() if content is None else token.write_text(content)
    assert main(["--config.file", str(policy), "--check"]) == 1
    assert str(token) in capsys.readouterr().err


@pytest.mark.checklist("7.1", 42)
def test_check_and_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = write_policy(tmp_path)
    assert main(["--config.file", str(policy), "--check"]) == 0
    policy.write_text("dry_run = 1\nfoo = 2\n")
    assert main(["--config.file", str(policy), "--check"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all(str(policy) in line for line in lines)
    assert main(["--config.file", str(tmp_path / "absent"), "--check"]) == 1
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("ipmp_remediator ")


@pytest.mark.parametrize("address", ["10089", "127.0.0.1:", "127.0.0.1:x", "h.example:1", "::1:x"])
def test_a_bad_address_is_a_usage_error(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--web.listen-address", address])
    assert stop.value.code == 2
    assert "--web.listen-address" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["metrics", "/", "/alerts", "/-/healthy", "/a{b}"])
def test_a_bad_telemetry_path_is_a_usage_error(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--web.telemetry-path", path])
    assert stop.value.code == 2
    assert "--web.telemetry-path" in capsys.readouterr().err
