"""Packets came when they came, whatever ran while the clocks were read."""

from __future__ import annotations

from itertools import count

import pytest

from ipmp.kernel import stamps

AHEAD = 1_000_000.0  # seconds


class InterruptedClocks:
    """Both clocks, a microsecond a look; another process runs before one look."""

    def __init__(self, interrupted: int) -> None:
        self._looks = count()
        self._interrupted = interrupted
        self._now = 0.0

    def _pass(self) -> float:
        self._now += 0.01 if next(self._looks) == self._interrupted else 1e-6
        return self._now

    def monotonic(self) -> float:
        return self._pass()

    def time(self) -> float:
        return AHEAD + self._pass()


@pytest.mark.parametrize("interrupted", range(3 * stamps.READINGS))
def test_a_reading_of_the_clocks_that_was_interrupted_moves_no_packet(
    interrupted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamps, "time", InterruptedClocks(interrupted))
    assert stamps.clock_offset() == pytest.approx(AHEAD, abs=2e-6)
