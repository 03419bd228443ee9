"""The failure detection time of a group: raised for slow targets, lowered when it has settled."""

from __future__ import annotations

import pytest

from ipmp.decision import Kind, Reason
from ipmp.model import ProbeState
from ipmp.probing.detection import SETTLING, Detection
from tests.support.simulated_link import PEER, ROUTER, Host, Link, path, setup

PATHS = (path("ni0"), path("ni1"))
TARGETS = tuple(f"192.0.2.{n}" for n in range(1, 6))


def test_seven_intervals_make_a_detection_time() -> None:
    assert Detection(10.0).interval == pytest.approx(10 / 7)
    assert Detection(0.1).interval == pytest.approx(0.1 / 7)


def test_a_target_too_slow_for_the_interval_raises_the_time_of_the_group() -> None:
    link = Link(setup(*PATHS, time=0.7, targets=[ROUTER]), Host(ROUTER, rtt=0.01))
    link.run(5)
    assert link.engine.detection_time == 0.7
    link.hosts[ROUTER].rtt = 0.3
    link.run(10)
    raised = link.engine.detection_time
    assert raised is not None
    assert raised > 2 * 0.3 * 7
    decision = next(d for d in link.decisions if d.reason is Reason.SLOW_TARGETS)
    assert decision.kind is Kind.DETECTION_TIME
    assert decision.sentence().startswith(
        "Cannot meet requested failure detection time of 700 ms on (inet ni"
    )
    assert 'new failure detection time for group "ipmp0" is ' in decision.sentence()
    assert {link.verdict("ni0"), link.verdict("ni1")} == {ProbeState.OK}


def test_it_comes_down_in_steps_but_not_within_a_minute() -> None:
    link = Link(setup(*PATHS, time=0.7, targets=[ROUTER]), Host(ROUTER, rtt=0.3))
    link.run(10)
    raised = link.engine.detection_time
    assert raised is not None
    last_raise = link.now
    link.hosts[ROUTER].rtt = 0.001
    link.run(SETTLING - 11)
    assert link.engine.detection_time == raised
    link.run(300)
    assert link.engine.detection_time == 0.7
    lowered = [d for d in link.decisions if d.reason is Reason.FAST_TARGETS]
    assert lowered[-1].sentence().startswith("Improved failure detection time 700 ms on (inet ni")
    assert link.now - last_raise > SETTLING
    values = [float(d.detail["value"]) for d in lowered]
    assert values == sorted(values, reverse=True)


def test_lowering_needs_every_active_target_of_every_member_to_be_fast() -> None:
    detection = Detection(1.0)
    detection.raise_for(1.0, 0.0)
    limit = detection.interval / 4
    assert not detection.lower([limit / 2, limit], SETTLING)
    assert not detection.lower([limit / 2], SETTLING - 1)
    assert detection.lower([limit / 2], SETTLING)
    assert detection.time == 7.0


def test_one_spike_raises_nothing() -> None:
    link = Link(setup(*PATHS, time=1.0, targets=[ROUTER]), ROUTER)
    link.run(5)
    slow = iter([0.12])
    link.delay = lambda probe: next(slow, 0.0)
    link.run(5)
    assert link.engine.detection_time == 1.0
    assert not link.decisions


def test_one_slow_target_among_fast_ones_is_the_exception() -> None:
    hosts = [Host(address) for address in TARGETS]
    link = Link(setup(*PATHS, time=1.0, targets=TARGETS), *hosts)
    link.run(10)
    hosts[2].rtt = 0.5
    link.run(10)
    assert link.engine.detection_time == 1.0
    assert [d.reason for d in link.decisions] == [Reason.TARGET_SLOW]
    assert all(TARGETS[2] not in row.targets for row in link.engine.target_rows)


def test_with_fewer_than_four_targets_there_is_no_exception() -> None:
    hosts = [Host(address) for address in TARGETS[:3]]
    link = Link(setup(*PATHS, time=1.0, targets=TARGETS[:3]), *hosts)
    link.run(10)
    hosts[2].rtt = 0.5
    link.run(10)
    assert link.engine.detection_time > 1.0  # type: ignore[operator]


@pytest.mark.parametrize("failed", ["member", "group"])
def test_times_are_frozen_while_member_or_group_has_failed(failed: str) -> None:
    link = Link(setup(*PATHS, time=1.0, targets=[ROUTER]), ROUTER)
    link.run(5)
    link.cut = {"ni0"}
    link.run(2)
    assert link.verdict("ni0") is ProbeState.FAILED
    if failed == "group":
        link.engine.group_failed = True
    link.cut = set()
    before = len(link.acked("ni0"))
    link.delay = lambda probe: 0.06 if probe.member == "ni0" else 0.0
    link.run(0.8)
    first = link.acked("ni0")[before:]
    assert 0 < len(first) < 10
    assert {o.average for o in first} == {0.0}, "the times of the failed member were forgotten"
    if failed == "group":
        link.run(5)
        assert link.verdict("ni0") is ProbeState.OK
        assert {o.average for o in link.acked("ni0")[before:]} == {0.0}


def test_an_own_late_wake_up_makes_no_round_trip_longer() -> None:
    """The kernel's receive stamp counts, not when we got around to read."""
    link = Link(setup(*PATHS, time=1.0, targets=[ROUTER]), ROUTER)
    link.run(5)
    for _ in range(20):
        link.run_to_probe("ni0")
        link.stall(0.5)
    assert link.engine.detection_time == 1.0
    assert max(o.net_rtt or 0 for o in link.outcomes) < 0.001
    assert max(o.rtt or 0 for o in link.outcomes) > 0.3


def test_a_new_setting_starts_anew() -> None:
    link = Link(setup(*PATHS, time=0.7, targets=[PEER]), Host(PEER, rtt=0.3))
    link.run(10)
    link.configure(setup(*PATHS, time=5.0, targets=[PEER]))
    assert link.engine.detection_time == 5.0


def test_no_path_no_detection_time() -> None:
    assert Link(setup(targets=[PEER])).engine.detection_time is None
