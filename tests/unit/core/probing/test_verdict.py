"""A failed member or a failed group: who vouches (ipmp-semantics 2.7, Q1, Q14)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ipmp.model import ProbeState
from ipmp.probing import Standing, View, vouchers
from tests.support.simulated_link import PEER, ROUTER, Link, path, setup

OK, FAILED = ProbeState.OK, ProbeState.FAILED
UNKNOWN, DISABLED = ProbeState.UNKNOWN, ProbeState.DISABLED

LOST = View(True, True, Standing(FAILED, 15.0, 5, first_loss=10.0, last_success=9.0))
WELL = View(True, True, Standing(OK, 0.0, 0, None, last_success=14.0))


def judged(other: View, *, link_lost: bool = False) -> bool:
    """Whether it is the failure of one member."""
    return bool(vouchers("ni0", {"ni0": LOST, "ni1": other}, link_lost=link_lost))


def test_an_answer_after_the_first_loss_proves_that_the_targets_live() -> None:
    assert vouchers("ni0", {"ni0": LOST, "ni1": WELL, "ni2": LOST}) == ("ni1",)


def test_no_answer_since_the_first_loss_means_that_the_targets_are_dead() -> None:
    for when in (None, 9.5, 10.0):
        standing = replace(WELL.standing, last_success=when)
        assert not judged(replace(WELL, standing=standing))


def test_a_member_that_is_not_probed_vouches_by_its_link() -> None:
    link_only = View(True, True, Standing(DISABLED, 0.0))
    assert judged(link_only)
    assert not judged(replace(link_only, link=False))


@pytest.mark.parametrize("standing", [WELL.standing, Standing(DISABLED, 0.0)])
@pytest.mark.parametrize("link_lost", [True, False])
def test_only_functioning_members_vouch(standing: Standing, link_lost: bool) -> None:
    """Q14: an offline or failed one does not, whatever its link or its last answers say."""
    assert not judged(View(False, True, standing), link_lost=link_lost)


@pytest.mark.parametrize("verdict", [UNKNOWN, OK, DISABLED])
def test_for_a_lost_link_every_functioning_member_vouches(verdict: ProbeState) -> None:
    """Q1: also one that has no target."""
    assert judged(View(True, True, Standing(verdict, 0.0)), link_lost=True)


def test_without_targets_a_member_cannot_vouch_for_those_of_another() -> None:
    assert not judged(View(True, True, Standing(UNKNOWN, 0.0)))


def test_a_member_alone_is_the_group() -> None:
    assert vouchers("ni0", {"ni0": LOST}) == ()
    assert vouchers("ni0", {"ni0": LOST}, link_lost=True) == ()


# With the engine --------------------------------------------------------------------------------


def at_first_failure(link: Link) -> tuple[str, ...]:
    """Who vouched when the first member failed."""
    while not any(FAILED in states.values() for _, states in link.changes):
        link.now = max(link.now, min(link.engine.deadline, link._next_arrival()))
        link.call()
    _, states = link.changes[-1]
    views = {name: View(True, True, s) for name, s in link.engine.standings.items()}
    failed = next(name for name, state in states.items() if state is FAILED)
    return vouchers(failed, views)


def test_one_dead_path_is_the_failure_of_its_member() -> None:
    for seed in range(30):
        link = Link(setup(path("ni0"), path("ni1"), time=1.0, targets=[ROUTER]), ROUTER, seed=seed)
        link.run(2 + link.random.random())
        link.cut = {"ni0"}
        assert at_first_failure(link) == ("ni1",)


@pytest.mark.parametrize("targets", [[ROUTER], [ROUTER, PEER]])
def test_all_targets_dead_is_the_failure_of_the_group(targets: list[str]) -> None:
    for seed in range(200):
        paths = (path("ni0"), path("ni1"), path("ni2"))
        link = Link(setup(*paths, time=1.0, targets=targets), *targets, seed=seed)
        link.run(2 + link.random.random())
        for host in link.hosts.values():
            host.up = False
        assert at_first_failure(link) == (), f"seed {seed}"


def test_a_restarting_router_is_not_a_failure_when_another_target_answers() -> None:
    for seed in range(6):
        paths = (path("ni0"), path("ni1"))
        link = Link(setup(*paths, time=1.0, targets=[ROUTER, PEER]), ROUTER, PEER, seed=seed)
        link.run(2 + link.random.random())
        link.hosts[ROUTER].up = False
        link.run(30)
        link.hosts[ROUTER].up = True
        link.run(200)
        assert FAILED not in {state for _, states in link.changes for state in states.values()}
        assert set(link.engine.target_rows[0].targets) == {ROUTER, PEER}


def test_slow_targets_that_all_die_are_the_failure_of_the_group() -> None:
    """With round-trip times of half an interval answers are still on the way when others fail."""
    for seed in range(30):
        paths = (path("ni0"), path("ni1"))
        link = Link(setup(*paths, time=1.0, targets=[ROUTER]), ROUTER, seed=seed)
        link.hosts[ROUTER].rtt = 0.02
        while link.hosts[ROUTER].rtt < 0.07:
            link.run(2)
            link.hosts[ROUTER].rtt += 0.002
        link.run(5 + link.random.random())
        assert link.engine.detection_time == 1.0
        link.hosts[ROUTER].up = False
        assert at_first_failure(link) == (), f"seed {seed}"
