from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from ipmp_exporter.server import Exporter
from tests.support.exporter_daemon import FakeDaemon, short_directory
from tests.support.exporter_statuses import healthy


@pytest.fixture
async def run_dir() -> AsyncIterator[Path]:
    async with short_directory() as directory:
        yield directory


@pytest.fixture
async def daemon(run_dir: Path) -> AsyncIterator[FakeDaemon]:
    fake = FakeDaemon(run_dir, healthy())
    async with fake.listening():
        yield fake


@pytest.fixture
async def client(run_dir: Path) -> AsyncIterator[TestClient]:
    """Talks to an exporter of `run_dir` over TCP."""
    async with TestClient(TestServer(Exporter(run_dir).app())) as client:
        yield client
