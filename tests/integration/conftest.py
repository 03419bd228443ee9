"""What tests of the whole share: the recorded story."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.story import Recorded, recorded_story


@pytest.fixture(scope="session")
def story() -> Iterator[Recorded]:
    """The story, played and recorded once."""
    with tempfile.TemporaryDirectory(prefix="ipmp-") as short, recorded_story(Path(short)) as told:
        yield told
