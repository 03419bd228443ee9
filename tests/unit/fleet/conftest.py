"""One etcd for the tests of the budget; each test has keys of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.etcd import etcd


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process, url = etcd(tmp_path_factory.mktemp("etcd"))
    process.start()
    yield url
    process.kill()


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return f"/{tmp_path.name}/"
