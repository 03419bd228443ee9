"""A pause of remediation ends when the operator lifts it, or at the time that was stated."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ipmp.daemon.pausing import Pausing
from ipmp.decision import Decision, Kind
from ipmp.intent import Intent
from ipmp.model import OperationRequest


class Desk:
    def __init__(self) -> None:
        self.intent = Intent()
        self.now = 1000.0
        self.saved: list[bool] = []
        self.told: list[Decision] = []

    def wall(self) -> float:
        return self.now

    def save_intent(self) -> None:
        self.saved.append(self.intent.paused is not None)

    def emit(self, decisions: Iterable[Decision]) -> None:
        self.told += decisions


@pytest.mark.checklist("7.1", 29)
def test_a_pause_ends_at_its_time_and_says_so() -> None:
    desk = Desk()
    pausing = Pausing(desk)
    pausing.pause(OperationRequest(reason="upgrade", until=1060.0), "root")
    desk.now = 1059.9
    pausing.expire()
    assert desk.intent.paused is not None
    desk.now = 1060.0
    pausing.expire()
    pausing.expire()
    assert desk.saved == [True, False]
    assert [d.kind for d in desk.told] == [Kind.PAUSE, Kind.RESUME]
    assert "root" in desk.told[1].sentence()


def test_a_pause_without_a_time_stays() -> None:
    desk = Desk()
    pausing = Pausing(desk)
    pausing.pause(OperationRequest(reason="upgrade"), "root")
    desk.now = 1e12
    pausing.expire()
    assert desk.intent.paused is not None
    pausing.resume("root")
    assert desk.intent.paused is None
