"""The budget holds while servers, etcd and hosts are killed: a short course of `make budget`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.budget.course import SLOTS, Course


@pytest.mark.tools
@pytest.mark.slow
async def test_never_more_drains_than_slots_and_no_slot_is_stuck(tmp_path: Path) -> None:
    report = await Course(tmp_path, seed=5).run(30)
    assert report.drains > 10
    assert 0 < report.most <= SLOTS
    assert report.stuck == []
    assert report.blows.total() > 5
