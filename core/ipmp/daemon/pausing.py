"""The pause of remediation on this host: what an operator says, and its end at the stated time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from ipmp.decision import Decision, Kind, Reason
from ipmp.intent import Intent
from ipmp.model import HoldIntent, OperationRequest


class Desk(Protocol):
    """What a pause needs of the daemon."""

    intent: Intent
    wall: Callable[[], float]

    def save_intent(self) -> None:
        """Write the intent, durably."""

    def emit(self, decisions: Iterable[Decision]) -> None:
        """Log, remember and publish decisions."""


class Pausing:
    """Sets and lifts the pause; one that has an end is lifted then, also after a restart."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def pause(self, request: OperationRequest, actor: str) -> None:
        """Pause, in place of a pause that is in force."""
        desk = self._desk
        desk.intent.paused = HoldIntent(request.reason, actor, desk.wall(), request.until)
        desk.save_intent()
        why = f"({request.reason})" if request.reason else ""
        desk.emit([Decision(Kind.PAUSE, Reason.OPERATOR, actor=actor, detail={"why": why})])

    def resume(self, actor: str) -> None:
        """Lift it."""
        self._desk.intent.paused = None
        self._desk.save_intent()
        self._desk.emit([Decision(Kind.RESUME, Reason.OPERATOR, actor=actor)])

    def expire(self) -> None:
        """Lift it when its end has come; asked at every heartbeat."""
        paused = self._desk.intent.paused
        if paused is not None and paused.until and paused.until <= self._desk.wall():
            self.resume(f"the end that {paused.actor} had set")
