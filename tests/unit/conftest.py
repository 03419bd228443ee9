"""What unit tests share: logging as it was, and a fake daemon for those who ask one."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from tests.support.fake_control_daemon import FakeDaemon


@pytest.fixture(autouse=True)
def logging_of_its_own() -> Iterator[None]:
    """A program that ran in an earlier test has not chosen the level for this one."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


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
