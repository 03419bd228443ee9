"""The rail of ownership by itself: from outside, other rails mostly stand before it."""

from __future__ import annotations

import time

from ipmp.model import InterfaceState, InterfaceStatus, LinkState, OfflineIntent
from ipmp_remediator.decision import Action, Kind, Reason
from ipmp_remediator.state import Drain, Job
from ipmp_remediator.turn import View, before_acting

NOW = time.time()


def _job(action: Action) -> Job:
    return Job(
        action=action,
        alertname="A",
        fingerprint="aaaa",
        started=int(NOW * 1_000_000),
        group="ipmp0",
        interface="ni0",
        policy="drain",
        id=1,
        request_id="job-1",
        not_before=0,
    )


def _view(*, request_id: str, drained_by: str) -> View:
    return View(
        interface=InterfaceStatus(
            name="ni0",
            group="ipmp0",
            state=InterfaceState.OFFLINE,
            link=LinkState.UP,
            offline=OfflineIntent("", "remediator", NOW, request_id),
        ),
        paused=None,
        drain=Drain("ni0", "ipmp0", drained_by, "A", "drain-1", NOW),
        episode=None,
        others=(),
        max_alert_age=3600,
    )


def test_another_alerts_drain_is_not_undone() -> None:
    view = _view(request_id="drain-1", drained_by="bbbb")
    decision = before_acting(_job(Action.UNDRAIN), view, NOW)
    assert decision
    assert (decision.kind, decision.reason) == (Kind.IGNORED, Reason.NOTHING_DRAINED)


def test_its_own_drain_is_undone() -> None:
    view = _view(request_id="drain-1", drained_by="aaaa")
    assert before_acting(_job(Action.UNDRAIN), view, NOW) is None
