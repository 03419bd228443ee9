"""What the daemon counts about operations and probes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ipmp.daemon.counts import Counts
from ipmp.daemon.prober import Prober
from ipmp.daemon.report import daemon_status
from ipmp.decision import Decision, Kind, Reason, Refusal
from ipmp.model import DaemonStatus, Family
from ipmp.probing import Rejection, TargetRow
from ipmp.probing.values import Counters, Mode

ABOUT = DaemonStatus("0", 1, 0.0, "ipmp.toml")


def test_an_operation_is_under_way_until_it_is_done_and_its_time_is_kept() -> None:
    counts, times = Counts(), iter([10.0, 10.2])
    with counts.operation("offline", lambda: next(times)):
        assert daemon_status(ABOUT, counts, ()).operations_under_way["offline"] == 1
    status = daemon_status(ABOUT, counts, ())
    assert status.operations_under_way["offline"] == 0
    assert status.operations["offline"] == 1
    assert status.operation_durations["offline"].counts[-1] == 1
    assert status.operation_durations["offline"].total == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Refusal(Decision(Kind.REFUSED, Reason.HELD)), "held"),
        (OSError("the kernel said no"), "internal"),
    ],
)
def test_an_operation_that_fails_is_counted_by_its_reason(failure: Exception, reason: str) -> None:
    counts = Counts()
    with pytest.raises(type(failure)), counts.operation("online", lambda: 0.0):
        raise failure
    status = daemon_status(ABOUT, counts, ())
    assert status.operation_failures["online"] == {reason: 1}
    assert status.operations_under_way["online"] == 0
    assert status.operation_durations["online"].counts[-1] == 0


def test_an_operation_that_is_asked_for_later_is_counted_too() -> None:
    counts = Counts()
    with counts.operation("forget", lambda: 0.0):
        pass
    assert daemon_status(ABOUT, counts, ()).operations["forget"] == 1


def test_what_was_counted_on_a_path_stays_when_it_is_not_probed_any_more() -> None:
    path = ("ni0", Family.IPV4)
    row = TargetRow("ni0", Family.IPV4, Mode.ROUTES, "", ())
    engine = SimpleNamespace(
        target_rows=(row,), counters={path: Counters(sent=5, acked=4, rtt_sum=0.02)}
    )
    prober: Any = SimpleNamespace(engine=engine)
    prober._counted = lambda key, mode: Prober._counted(prober, key, mode)
    assert Prober.past(prober, "ni0") == ()
    engine.target_rows = ()
    (past,) = Prober.past(prober, "ni0")
    assert (past.family, past.sent, past.acked, past.rtt_total) == (Family.IPV4, 5, 4, 0.02)
    assert past.rejected == {str(reason): 0 for reason in Rejection}
    assert Prober.past(prober, "ni1") == ()
