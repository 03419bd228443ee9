"""When a probe is lost, and what makes a member fail or work again."""

from __future__ import annotations

import pytest

from ipmp.model import Family, ProbeState
from ipmp.probing import Method, Outcome
from ipmp.probing.detection import LOSSES, PROVING, SUCCESSES
from ipmp.probing.prober import QUIET
from tests.support.simulated_link import PEER, ROUTER, ROUTER6, START, Host, Link, path, setup

OK, FAILED = ProbeState.OK, ProbeState.FAILED
UNKNOWN, DISABLED = ProbeState.UNKNOWN, ProbeState.DISABLED
PATHS = (path("ni0"), path("ni1"))
TIMES = (0.1, 1.0, 10.0)


def healthy(time: float = 1.0) -> Link:
    """Two members that have been probed well for a while."""
    link = Link(setup(*PATHS, time=time, targets=[ROUTER]), ROUTER)
    link.run(3 * time)
    assert link.verdict("ni0") is OK
    assert link.verdict("ni1") is OK
    assert not link.lost("ni0")
    return link


@pytest.mark.parametrize("time", TIMES)
def test_a_dead_path_is_found_within_the_detection_time(time: float) -> None:
    for seed in range(20):
        link = Link(setup(*PATHS, time=time, targets=[ROUTER]), ROUTER, seed=seed)
        link.run(3 * time)
        cut_at = link.now
        link.cut = {"ni0"}
        link.run(2 * time)
        assert link.when("ni0", FAILED) - cut_at <= time
        assert link.verdict("ni1") is OK
        assert not link.lost("ni1")


@pytest.mark.parametrize("time", TIMES)
def test_a_repair_takes_ten_answers_and_less_than_twice_the_detection_time(time: float) -> None:
    link = healthy(time)
    link.cut = {"ni0"}
    link.run(2 * time)
    link.cut = set()
    mended_at, before = link.now, len(link.acked("ni0"))
    link.run(2 * time)
    repaired_at = link.when("ni0", OK, since=mended_at)
    answers = [o for o in link.acked("ni0")[before:] if o.started < repaired_at]
    assert len(answers) == SUCCESSES
    assert repaired_at - mended_at <= 2 * time


def test_a_loss_in_between_starts_the_count_of_successes_anew() -> None:
    link = healthy()
    link.cut = {"ni0"}
    link.run(2)
    link.cut = set()
    answered = len(link.acked("ni0"))
    while len(link.acked("ni0")) < answered + SUCCESSES - 1:
        link.run_to_probe("ni0")
        link.run(0.001)
    link.cut = {"ni0"}
    link.run_to_probe("ni0")
    link.run(0.001)
    link.cut = set()
    link.run(1.2)
    assert link.verdict("ni0") is FAILED
    link.run(1.0)
    assert link.verdict("ni0") is OK


def test_four_losses_in_a_row_are_no_failure_and_five_are() -> None:
    for losses, verdict in ((LOSSES - 1, OK), (LOSSES, FAILED)):
        link = healthy()
        lost: list[int] = []

        def drop(probe: object, losses: int = losses, lost: list[int] = lost) -> bool:
            if getattr(probe, "member", "") == "ni0" and len(lost) < losses:
                lost.append(1)
                return True
            return False

        link.drop = drop
        link.run(1)
        assert len(link.lost("ni0")) == losses
        assert (FAILED in {s["ni0"] for _, s in link.changes}) is (verdict is FAILED)


def test_a_loss_is_judged_after_half_an_interval_when_the_time_of_the_target_is_known() -> None:
    link = healthy()
    link.cut = {"ni0"}
    link.run_to_probe("ni0")
    link.run(0.5 / 7 - 0.001)
    assert not link.lost("ni0")
    link.run(0.002)
    assert len(link.lost("ni0")) == 1


def test_a_loss_is_judged_after_one_interval_while_that_time_is_unknown() -> None:
    link = Link(setup(*PATHS, time=1.0, targets=[ROUTER]), ROUTER)
    link.cut = {"ni0"}
    link.run_to_probe("ni0")
    sent = link.now
    link.run(1 / 7 - 0.001)
    assert not link.lost("ni0")
    link.run(0.002)
    assert [o.started for o in link.lost("ni0")] == [sent]


def test_a_slow_target_gets_its_conservative_round_trip_time() -> None:
    """crtt = average + 4 deviations, when that is more than half an interval."""
    link = Link(setup(*PATHS, time=7.0, targets=[ROUTER]), Host(ROUTER, rtt=0.2))
    while link.hosts[ROUTER].rtt < 0.8:
        link.run(10)
        link.hosts[ROUTER].rtt += 0.02
    link.run(200)
    assert link.engine.detection_time == 7.0
    assert not link.lost("ni0")
    (outcome, *_) = reversed(link.acked("ni0"))
    limit = outcome.average + max(0.001, 4 * outcome.deviation)
    assert limit > 0.5
    link.cut = {"ni0"}
    link.run_to_probe("ni0")
    link.run(limit - 0.01)
    lost = len(link.lost("ni0"))
    link.run(0.02)
    assert len(link.lost("ni0")) == lost + 1


def test_a_late_answer_turns_a_loss_into_a_success() -> None:
    link = healthy()
    late = iter([0.1])
    link.delay = lambda probe: next(late, 0.0) if probe.member == "ni0" else 0.0
    link.run(1)
    (lost,) = link.lost("ni0")
    again = [o for o in link.acked("ni0") if o.sequence == lost.sequence]
    assert len(again) == 1
    assert again[0].net_rtt == pytest.approx(0.1003)
    counters = link.engine.counters["ni0", Family.IPV4]
    assert (counters.lost, counters.late) == (1, 1)
    assert counters.acked == len(link.acked("ni0"))
    assert link.standing("ni0").losses == 0
    assert link.standing("ni0").first_loss is None


def test_a_late_answer_in_the_middle_of_a_series_breaks_it() -> None:
    link = healthy()
    link.cut = {"ni0"}
    for _ in range(4):
        link.run_to_probe("ni0")
    third = link.sent[-1][1] if link.sent[-1][1].member == "ni0" else link.sent[-2][1]
    link.run(0.1)
    assert link.standing("ni0").losses >= 3
    link.cut = set()
    link._deliver(third)
    link.cut = {"ni0"}
    link.run(0.001)
    assert link.standing("ni0").losses < 2


def test_a_third_outstanding_probe_forces_the_oldest_to_be_lost() -> None:
    link = Link(setup(*PATHS, time=1.0, targets=[ROUTER]), Host(ROUTER, rtt=0.139))
    link.run(0.6)
    link.cut = {"ni0"}
    for _ in range(20):
        link.run_to_probe("ni0")
        sent = sum(probe.member == "ni0" for _, probe in link.sent)
        judged = {o.sequence for o in link.outcomes if o.member == "ni0"}
        assert sent - len(judged) <= 2


def test_losses_do_not_count_in_the_first_forty_seconds() -> None:
    link = Link(setup(*PATHS, time=1.0, targets=[ROUTER]), ROUTER)
    link.cut = {"ni0"}
    link.run(QUIET - 0.1)
    assert link.verdict("ni0") is UNKNOWN
    assert link.standing("ni0").losses == 0
    assert len(link.lost("ni0")) > 200
    link.run(1.2)
    assert link.verdict("ni0") is FAILED
    assert link.when("ni0", FAILED) > START + QUIET


def test_the_first_answer_ends_the_quiet_period() -> None:
    link = Link(setup(*PATHS, time=1.0, targets=[ROUTER]), ROUTER)
    link.cut = {"ni0"}
    link.run(5)
    link.cut = set()
    link.run(0.5)
    assert link.verdict("ni0") is OK
    link.cut = {"ni0"}
    link.run(1)
    assert link.verdict("ni0") is FAILED


def test_the_first_answer_ends_it_in_both_families() -> None:
    """The quiet period is for the switch port, which serves both."""
    paths = (*PATHS, path("ni0", Family.IPV6), path("ni1", Family.IPV6))
    link = Link(setup(*paths, time=1.0, targets=[ROUTER, ROUTER6]), ROUTER, ROUTER6)
    link.drop = lambda probe: probe.member == "ni0" and probe.family is Family.IPV6
    link.run(3)
    assert link.verdict("ni0") is OK
    link.cut = {"ni0"}
    link.run(1)
    assert link.verdict("ni0") is FAILED


def test_a_path_that_comes_back_beside_one_that_was_answered_is_judged_at_once() -> None:
    """The last address of a family was deleted and put back; the port has forwarded all along."""
    paths = (*PATHS, path("ni0", Family.IPV6), path("ni1", Family.IPV6))
    targets = [ROUTER, ROUTER6]
    link = Link(setup(*paths, time=1.0, targets=targets), ROUTER, ROUTER6)
    link.run(3)
    link.configure(setup(*paths[1:], time=1.0, targets=targets))
    link.configure(setup(*paths, time=1.0, targets=targets))
    link.cut = {"ni0"}
    link.run(1.2)
    assert link.verdict("ni0") is FAILED


def test_a_target_that_never_answered_anybody_is_no_evidence() -> None:
    link = Link(setup(*PATHS, time=1.0, targets=[ROUTER]))
    link.run(QUIET + 60)
    assert link.verdict("ni0") is UNKNOWN
    assert link.verdict("ni1") is UNKNOWN
    assert not link.changes


def test_both_families_must_fail() -> None:
    paths = (*PATHS, path("ni0", Family.IPV6), path("ni1", Family.IPV6))
    link = Link(setup(*paths, time=1.0, targets=[ROUTER, ROUTER6]), ROUTER, ROUTER6)
    link.run(3)
    link.drop = lambda probe: probe.member == "ni0" and probe.family is Family.IPV4
    link.run(3)
    assert link.verdict("ni0") is OK
    assert link.standing("ni0").first_loss is None
    link.cut = {"ni0"}
    cut_at = link.now
    link.run(1)
    assert link.verdict("ni0") is FAILED
    first_loss = link.standing("ni0").first_loss
    assert first_loss is not None
    assert first_loss > cut_at, "the series of the member began with the second family"


def test_either_family_repairs() -> None:
    paths = (*PATHS, path("ni0", Family.IPV6), path("ni1", Family.IPV6))
    link = Link(setup(*paths, time=1.0, targets=[ROUTER, ROUTER6]), ROUTER, ROUTER6)
    link.run(3)
    link.cut = {"ni0"}
    link.run(2)
    assert link.verdict("ni0") is FAILED
    link.cut = set()
    link.drop = lambda probe: probe.member == "ni0" and probe.family is Family.IPV4
    link.run(2)
    assert link.verdict("ni0") is OK


def test_a_link_that_went_down_needs_ten_answers_too() -> None:
    link = healthy()
    down, up = setup(path("ni0", link=False), path("ni1"), time=1.0, targets=[ROUTER]), None
    link.configure(down)
    assert link.verdict("ni0") is FAILED
    sent = len([p for _, p in link.sent if p.member == "ni0"])
    link.run(5)
    assert len([p for _, p in link.sent if p.member == "ni0"]) == sent, "probing pauses"
    up = setup(*PATHS, time=1.0, targets=[ROUTER])
    link.configure(up)
    assert link.verdict("ni0") is FAILED, "old answers do not count"
    came_up, before = link.now, len(link.acked("ni0"))
    link.run(2)
    repaired = link.when("ni0", OK, since=came_up)
    assert len([o for o in link.acked("ni0")[before:] if o.started < repaired]) == SUCCESSES


@pytest.mark.parametrize("time", [0.7, 10.0])
def test_a_link_that_returned_proves_itself_in_two_seconds_or_less(time: float) -> None:
    link = healthy(time)
    link.configure(setup(path("ni0", link=False), path("ni1"), time=time, targets=[ROUTER]))
    link.run(1)
    link.configure(setup(*PATHS, time=time, targets=[ROUTER]))
    came_up, sent = link.now, len(link.sent)
    link.run(60)
    proven = link.when("ni0", OK, since=came_up)
    assert proven - came_up <= SUCCESSES * min(time / 7, PROVING) * 1.25
    later = [t for t, p in link.sent[sent:] if p.member == "ni0" and t > proven]
    assert len(later) <= (link.now - proven) / (time / 7) + 2, "then at the normal pace"


def test_one_that_lost_its_probes_does_so_at_the_normal_pace() -> None:
    link = healthy(10.0)
    link.cut = {"ni0"}
    link.run(20)
    link.cut = set()
    mended = link.now
    link.run(20)
    assert link.when("ni0", OK, since=mended) - mended > 8 * 10 / 7


def test_what_is_outstanding_when_the_link_goes_down_counts_neither_way() -> None:
    link = healthy()
    link.run_to_probe("ni0")
    link.configure(setup(path("ni0", link=False), path("ni1"), time=1.0, targets=[ROUTER]))
    link.run(1)
    counters = link.engine.counters["ni0", Family.IPV4]
    assert (counters.void, counters.lost) == (1, 0)
    assert counters.rejected == {"link": 1}


def test_a_probe_that_the_kernel_did_not_send_counts_neither_way() -> None:
    link = healthy()
    link.cut = {"ni0"}
    for _ in range(20):
        link.run_to_probe("ni0")
        link.engine.unsent(link.sent[-1][1])
    assert link.verdict("ni0") is OK
    assert link.engine.counters["ni0", Family.IPV4].void == 20
    assert not link.lost("ni0")


def test_a_member_without_any_target_is_unknown_and_without_a_path_absent() -> None:
    link = healthy()
    link.configure(setup(*PATHS, time=1.0))
    assert link.verdict("ni0") is UNKNOWN
    link.configure(setup(path("ni0"), time=1.0, targets=[ROUTER]))
    assert "ni1" not in link.engine.standings


def test_a_failed_member_without_any_target_left_is_unknown_again() -> None:
    link = healthy()
    link.cut = {"ni0"}
    link.run(2)
    link.configure(setup(*PATHS, time=1.0))
    assert link.verdict("ni0") is UNKNOWN


def test_another_test_address_is_another_path() -> None:
    link = healthy()
    link.cut = {"ni0"}
    link.run(0.6)
    link.configure(setup(path("ni0", ifindex=7), path("ni1"), time=1.0, targets=[ROUTER]))
    assert link.standing("ni0").losses == 0
    link.run(5)
    assert link.verdict("ni0") is not FAILED, "it has a quiet period of its own"


def test_a_member_that_had_failed_stays_so_over_a_restart_until_ten_answers() -> None:
    from random import Random

    from ipmp.probing import Engine

    link = Link(setup(*PATHS, time=1.0, targets=[ROUTER]), ROUTER)
    link.engine = Engine("ipmp0", Random(1), failed=["ni0"])
    link.configure(link.arrangement)
    assert link.verdict("ni0") is FAILED
    assert link.verdict("ni1") is UNKNOWN
    link.run(0.9)
    assert link.verdict("ni0") is FAILED
    assert link.verdict("ni1") is OK
    link.run(1)
    assert link.verdict("ni0") is OK


def test_slots_missed_by_a_busy_host_are_skipped() -> None:
    link = healthy()
    sent = len(link.sent)
    link.stall(10.0)
    assert len(link.sent) - sent <= 2, "one a member"
    assert link.engine.counters["ni0", Family.IPV4].missed >= 60


def test_outcomes_tell_everything_that_ipmpstat_shows() -> None:
    link = healthy()
    link.cut = {"ni0"}
    link.run_to_probe("ni0")
    link.run(0.2)
    first: Outcome = link.acked("ni0")[0]
    assert (first.family, first.target, first.sequence) == (Family.IPV4, ROUTER, 1)
    assert first.net_rtt == pytest.approx(0.0003)
    assert first.rtt == pytest.approx(0.0003)
    assert first.average == pytest.approx(0.0003)
    assert first.deviation == pytest.approx(0.00015)
    lost = link.lost("ni0")[0]
    assert (lost.net_rtt, lost.rtt) == (None, None)
    assert lost.average > 0
    assert lost.sequence == link.acked("ni0")[-1].sequence + 1


@pytest.mark.parametrize("method", list(Method))
def test_sequences_wrap(method: Method) -> None:
    paths = (path("ni0", method=method), path("ni1", method=method))
    link = Link(setup(*paths, time=0.1, targets=[PEER]), PEER)
    link.engine._probers["ni0", Family.IPV4]._sequence = 65_530
    link.run(2)
    assert not link.lost("ni0")
    assert {65_535, 0, 1} <= {o.sequence for o in link.acked("ni0")}
