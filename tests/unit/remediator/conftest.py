"""What most of the remediator's tests stand on: a running one, without limits of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.fake_control_daemon import FakeDaemon
from tests.support.remediator import InProcess, write_policy


@pytest.fixture
async def remediator(tmp_path: Path, run_dir: Path, daemon: FakeDaemon) -> AsyncIterator[InProcess]:
    async with InProcess(tmp_path, run_dir, write_policy(tmp_path)) as remediator:
        yield remediator
