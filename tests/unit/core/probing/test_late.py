"""A host that is busy, stopped or paused loses no probes; a dead path is found all the same."""

from __future__ import annotations

import pytest

from ipmp.model import Family, ProbeState
from ipmp.probing import Method
from ipmp.probing.prober import GRACE, LATE
from tests.support.simulated_link import ROUTER, Link, answer, path, setup

OK, FAILED = ProbeState.OK, ProbeState.FAILED
INTERVAL = 1.0 / 7


def healthy(method: Method = Method.ICMP, seed: int = 1, time: float = 1.0) -> Link:
    paths = (path("ni0", method=method), path("ni1", method=method))
    link = Link(setup(*paths, time=time, targets=[ROUTER]), ROUTER, seed=seed)
    link.run(3 * time)
    return link


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("stop", [0.05, 0.3, 2.0, 60.0])
def test_stopped_again_and_again_nothing_is_lost(stop: float, method: Method) -> None:
    link = healthy(method)
    for _ in range(30):
        link.run_to_probe("ni0")
        link.stall(stop)
    assert not link.lost("ni0")
    assert not link.lost("ni1")
    assert link.verdict("ni0") is OK


def test_replies_that_wait_are_taken_in_before_anything_is_judged() -> None:
    link = healthy()
    link.run_to_probe("ni0")
    sent = link.now
    link.stall(5.0)
    outcome = next(o for o in link.acked("ni0") if o.started == sent)
    assert outcome.net_rtt == pytest.approx(0.0003)
    assert outcome.rtt == pytest.approx(5.0)


def test_judged_in_time_a_probe_is_lost_at_once() -> None:
    link = healthy()
    link.cut = {"ni0"}
    link.run_to_probe("ni0")
    link.stall(INTERVAL * (0.5 + LATE) - 0.001)
    assert len(link.lost("ni0")) == 1


def test_judged_late_a_probe_is_put_off_until_the_host_has_run_for_a_while() -> None:
    """A paused virtual machine: the replies reach the sockets only after it has resumed."""
    link = healthy()
    link.cut = {"ni0"}
    link.run_to_probe("ni0")
    probe, sent = link.sent[-1][1], link.now
    link.stall(2.0)
    assert not link.lost("ni0")
    link.now += INTERVAL * GRACE - 0.001
    link.call([answer(probe, link.now, link.hosts[ROUTER])])
    assert not link.lost("ni0")
    assert [o.lost for o in link.outcomes if o.member == "ni0" and o.started == sent] == [False]


def test_put_off_only_once() -> None:
    link = healthy()
    link.cut = {"ni0"}
    link.run_to_probe("ni0")
    link.stall(2.0)
    assert not link.lost("ni0")
    link.stall(2.0)
    assert len(link.lost("ni0")) == 1


def test_pauses_in_which_the_replies_are_lost_too_cost_at_most_two_losses_each() -> None:
    """Live migration drops what arrives meanwhile; that is no five in a row."""
    link = healthy()
    for _ in range(20):
        link.cut = {"ni0", "ni1"}
        link.run_to_probe("ni0")
        link.stall(3.0)
        link.cut = set()
        link.run(1.0)
    assert link.verdict("ni0") is OK
    assert FAILED not in {s["ni0"] for _, s in link.changes}
    assert len(link.lost("ni0")) <= 40


@pytest.mark.parametrize("late", [0.3, 1.0, 3.0])
def test_a_host_that_is_always_late_finds_a_dead_path_dead(late: float) -> None:
    link = healthy()
    link.cut = {"ni0"}
    for _ in range(60):
        link.stall(late * INTERVAL)
    assert link.verdict("ni0") is FAILED
    assert link.verdict("ni1") is OK


def test_the_first_loss_is_dated_by_the_probe_and_not_by_the_late_judgement() -> None:
    link = healthy()
    link.cut = {"ni0"}
    link.run_to_probe("ni0")
    sent = link.now
    link.stall(2.0)
    link.run(0.5)
    assert link.standing("ni0").first_loss == pytest.approx(sent + INTERVAL / 2)


def test_stopped_between_reading_and_judging() -> None:
    """The sockets were empty when they were read, then the process did not run for long."""
    link = healthy()
    link.run_to_probe("ni0")
    link.now += 3.0
    link.call([])
    assert not link.lost("ni0")
    link.call()
    assert not link.lost("ni0")
    assert link.verdict("ni0") is OK


def test_slots_go_on_from_now_after_a_stop() -> None:
    link = healthy()
    link.stall(100.0)
    counters = link.engine.counters["ni0", Family.IPV4]
    assert counters.missed > 690
    sent = len(link.sent)
    link.run(1.0)
    assert 12 <= len(link.sent) - sent <= 17
