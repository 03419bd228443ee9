"""A short storm in each run of the suite; `make storm` plays a long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.storm.model import Model, News
from tests.storm.storm import Storm


def test_the_model_follows_the_newest_episode() -> None:
    model = Model()
    for news in (News("a", 1, True), News("a", 0, False), News("b", 0, False), News("b", 0, True)):
        model.accept(news)
    assert model.settle() == [("offline", "a")]
    assert model.settle() == []
    model.accept(News("a", 1, False))
    assert model.settle() == [("online", "a")]


@pytest.mark.slow
@pytest.mark.checklist("7.1", 12)
@pytest.mark.checklist("7.1", 14)
@pytest.mark.checklist("7.1", 15)
@pytest.mark.checklist("7.1", 37)
async def test_a_storm_with_kills_ends_where_the_model_says(tmp_path: Path, run_dir: Path) -> None:
    storm = Storm(tmp_path, run_dir, seed=11)
    result = await storm.play(1000, kill_every=80)
    assert result.kills >= 2
    assert result.effects > 0
    assert set(result.answers) >= {202, 400, 401, 413, 415}
