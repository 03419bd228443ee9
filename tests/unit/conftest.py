"""A fake daemon, for tests of those who ask one."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.fake_control_daemon import FakeDaemon


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
