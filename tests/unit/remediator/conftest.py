"""What the remediator's tests stand on: a fake daemon and a running remediator."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.fake_control_daemon import FakeDaemon
from tests.support.remediator import InProcess, write_policy


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A short path: the address of a Unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ipmp-") as path:
        yield Path(path)


@pytest.fixture
async def daemon(run_dir: Path) -> AsyncIterator[FakeDaemon]:
    daemon = FakeDaemon(run_dir, {"ipmp0": ("ni0", "ni1", "ni2")})
    await daemon.start()
    yield daemon
    await daemon.stop()


@pytest.fixture
async def remediator(tmp_path: Path, run_dir: Path, daemon: FakeDaemon) -> AsyncIterator[InProcess]:
    async with InProcess(tmp_path, run_dir, write_policy(tmp_path)) as remediator:
        yield remediator
