"""Twenty cycles of what `make endurance` does for hours; see tests/endurance."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipmp.lab import Lab
from tests.endurance.course import Course

CYCLES = 20
SEED = "20261124"


@pytest.mark.slow
def test_kills_amid_trouble_lose_and_double_nothing(lab: Lab, tmp_path: Path) -> None:
    course = Course(lab, tmp_path, SEED, probed=False)
    for cycle in range(1, CYCLES + 1):
        print(f"seed {SEED}, cycle {cycle}")
        course.cycle()
    assert course.amid, "no kill met the daemon with work half done"
