"""Who is asked: sources, states, sharing, discovery, and care with silent ARP targets."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from ipmp.decision import Reason
from ipmp.model import Family, ProbeState
from ipmp.probing import Candidates, Method, Mode, Reply
from ipmp.probing.prober import ALL_NODES, ASK_FIRST, ASK_MOST
from ipmp.probing.targets import MAX_ACTIVE, MIN_ACTIVE, RECOVERY, SILENCE, State, Targets
from tests.support.simulated_link import PEER, ROUTER, Host, Link, path, setup

PATHS = (path("ni0"), path("ni1"))
ARP = (path("ni0", method=Method.ARP), path("ni1", method=Method.ARP))
MANY = tuple(f"192.0.2.{n}" for n in range(101, 109))


def offered(**candidates: object) -> Targets:
    targets = Targets()
    targets.offer(Candidates(**candidates), 0.0, multicast=False, group_failed=False)  # type: ignore[arg-type]
    return targets


def asked(link: Link, member: str = "ni0", since: float = 0.0) -> list[str]:
    return [p.target for t, p in link.sent if p.member == member and t >= since]


# Sources ----------------------------------------------------------------------------------------


def test_configured_ones_come_before_routers_and_routers_before_neighbours() -> None:
    everything = {"configured": ("c",), "routers": ("r",), "neighbours": ("n",)}
    for mode, gone in (
        (Mode.CONFIG, "configured"),
        (Mode.ROUTES, "routers"),
        (Mode.NEIGHBOUR, "neighbours"),
    ):
        targets = offered(**everything)
        assert targets.mode is mode
        assert targets.active == everything[gone], "lists are never mixed"
        del everything[gone]
    assert offered().active == ()


def test_a_router_that_appears_drives_all_hosts_out() -> None:
    link = Link(setup(*PATHS, time=1.0, neighbours=[PEER]), PEER, ROUTER)
    link.run(2)
    assert PEER in asked(link)
    now = link.now
    link.configure(setup(*PATHS, time=1.0, neighbours=[PEER], routers=[ROUTER]))
    link.run(2)
    assert set(asked(link, since=now)) == {ROUTER}
    assert link.verdict("ni0") is ProbeState.OK


def test_own_addresses_are_never_targets() -> None:
    targets = offered(routers=("a", "b"), own=frozenset({"a"}))
    assert targets.active == ("b",)
    hosts = offered(own=frozenset({"me"}))
    hosts.discovered("me", 0.0)
    assert hosts.active == ()


def test_at_most_five_are_asked_in_turn_one_a_slot() -> None:
    link = Link(setup(*PATHS, time=1.0, targets=MANY), *MANY)
    link.run(20)
    counts = Counter(asked(link))
    assert set(counts) == set(MANY[:MAX_ACTIVE])
    assert max(counts.values()) - min(counts.values()) <= 1
    turn = asked(link)[:10]
    assert turn[:5] == turn[5:]


def test_the_row_of_ipmpstat_is_in_firing_order() -> None:
    link = Link(setup(*PATHS, time=1.0, targets=MANY[:3]), *MANY[:3])
    link.run_to_probe("ni0")
    row = next(r for r in link.engine.target_rows if r.member == "ni0")
    assert row.targets == (MANY[1], MANY[2], MANY[0])
    assert (row.mode, row.source, row.family) == (Mode.CONFIG, "192.0.2.21", Family.IPV4)


def test_routers_stay_while_the_group_has_failed_although_their_routes_are_gone() -> None:
    targets = offered(routers=("r",))
    targets.offer(Candidates(neighbours=("n",)), 1.0, multicast=False, group_failed=True)
    assert (targets.mode, targets.active) == (Mode.ROUTES, ("r",))
    targets.offer(Candidates(routers=("s",)), 1.0, multicast=False, group_failed=True)
    assert targets.active == ("s", "r")
    targets.offer(Candidates(neighbours=("n",)), 2.0, multicast=False, group_failed=False)
    assert (targets.mode, targets.active) == (Mode.NEIGHBOUR, ("n",))


def test_a_router_whose_route_is_gone_is_dropped() -> None:
    targets = offered(routers=("r", "s"))
    targets.offer(Candidates(routers=("s",)), 1.0, multicast=False, group_failed=False)
    assert targets.active == ("s",)


def test_a_host_stays_although_the_kernel_forgets_it() -> None:
    targets = offered(neighbours=("n",))
    targets.offer(Candidates(), 1.0, multicast=False, group_failed=False)
    assert targets.active == ("n",)


# Dead, slow, and back ---------------------------------------------------------------------------


def test_a_target_that_alone_does_not_answer_five_times_is_dead_and_nothing_fails() -> None:
    link = Link(setup(*PATHS, time=1.0, routers=MANY), *MANY)
    link.run(10)
    link.hosts[MANY[1]].up = False
    died = link.now
    link.run(10)
    assert [d.reason for d in link.decisions] == [Reason.TARGET_DEAD]
    assert link.decisions[0].detail["target"] == MANY[1]
    assert {s["ni0"] for _, s in link.changes} <= {ProbeState.OK, ProbeState.UNKNOWN}
    lost = Counter(t for o in link.outcomes if o.lost and o.started >= died for t in [o.member])
    assert max(lost.values()) == 5
    row = link.engine.target_rows[0]
    assert sorted(row.targets) == sorted((MANY[0], *MANY[2:6])), "an unused one took its place"


def test_that_a_target_is_dead_is_told_once_until_it_has_answered_again() -> None:
    link = Link(setup(*PATHS, time=1.0, routers=MANY[:2]), *MANY[:2])
    link.run(5)
    link.hosts[MANY[0]].up = False
    link.run(600)
    assert len(link.decisions) == 1
    link.hosts[MANY[0]].up = True
    link.run(200)
    link.hosts[MANY[0]].up = False
    link.run(200)
    assert len(link.decisions) == 2


def test_a_dead_one_climbs_back_a_minute_a_step() -> None:
    targets = offered(routers=MANY[:3])
    targets.retire(MANY[0], State.DEAD, 100.0)
    states = []
    for second in range(100, 400):
        targets.climb(float(second))
        states.append(targets._targets[MANY[0]].state)
    changes = [n for n in range(1, len(states)) if states[n] is not states[n - 1]]
    assert changes == [RECOVERY, 2 * RECOVERY]
    assert states[-1] is State.ACTIVE
    assert MANY[0] in targets.active


def test_when_none_is_left_the_best_three_are_taken_back() -> None:
    targets = offered(routers=MANY[:5])
    for number, address in enumerate(MANY[:5]):
        targets.retire(address, State.SLOW if number == 3 else State.DEAD, float(number))
        if number < 4:
            assert targets.active
    assert len(targets.active) == MIN_ACTIVE
    assert MANY[3] in targets.active, "slow is better than dead"
    assert {MANY[0], MANY[1]} < set(targets.active), "those longest dead before the others"


def test_if_nobody_answers_no_target_is_to_blame() -> None:
    link = Link(setup(*PATHS, time=1.0, routers=MANY[:3]), *MANY[:3])
    link.run(5)
    for host in link.hosts.values():
        host.up = False
    link.run(10)
    assert not link.decisions
    assert link.verdict("ni0") is ProbeState.FAILED


# Looking for hosts ------------------------------------------------------------------------------


def questions(link: Link, member: str = "ni0") -> list[float]:
    return [t for t, p in link.sent if p.member == member and p.target == ALL_NODES[Family.IPV4]]


def test_without_anybody_to_ask_the_whole_link_is_asked_and_who_answers_is_a_target() -> None:
    link = Link(setup(*PATHS, time=1.0), *MANY)
    link.run(3)
    row = link.engine.target_rows[0]
    assert row.mode is Mode.MULTICAST
    assert sorted(row.targets) == sorted(MANY[:MAX_ACTIVE])
    assert link.verdict("ni0") is ProbeState.OK


def test_nobody_answers_so_the_question_is_asked_less_and_less_often() -> None:
    link = Link(setup(*PATHS, time=1.0))
    link.run(600)
    times = questions(link)
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps[0] < 0.3
    assert gaps[-1] > 59
    assert len(times) < 25
    assert link.verdict("ni0") is ProbeState.UNKNOWN


def test_with_one_host_a_second_one_is_looked_for() -> None:
    link = Link(setup(*PATHS, time=1.0), PEER)
    link.run(100)
    asked_until_now = len(questions(link))
    assert asked_until_now >= 3
    link.hosts[ROUTER] = Host(ROUTER)
    link.run(130)
    assert set(link.engine.target_rows[0].targets) == {PEER, ROUTER}
    now_asked = len(questions(link))
    link.run(100)
    assert len(questions(link)) == now_asked, "two are enough"


def test_arp_asks_only_whom_it_knows() -> None:
    link = Link(setup(*ARP, time=1.0), PEER)
    link.run(100)
    assert not link.sent


def test_a_stranger_who_claims_to_answer_the_whole_link_is_no_target() -> None:
    link = Link(setup(*PATHS, time=1.0))
    link.run(1)
    probe = link.sent[0][1]
    for ident, nonce in ((probe.ident ^ 1, probe.nonce), (probe.ident, b"guessed!")):
        link.inject(
            Reply("ni0", Family.IPV4, Method.ICMP, PEER, link.now, 0, ident=ident, nonce=nonce)
        )
    link.run(0.1)
    assert link.engine.target_rows[0].targets == ()
    assert link.engine.counters["ni0", Family.IPV4].rejected == {"ident": 2}


# ARP: one station, and silent targets -----------------------------------------------------------


def test_arp_asks_the_station_alone_once_it_is_known() -> None:
    link = Link(setup(*ARP, time=1.0, targets=[ROUTER]), ROUTER)
    link.run(3)
    probes = [p for _, p in link.sent if p.member == "ni0"]
    assert probes[0].hwaddr == b""
    assert {p.hwaddr for p in probes[1:]} == {link.hosts[ROUTER].hwaddr}


def test_another_station_takes_the_address_over_and_only_one_probe_is_lost() -> None:
    link = Link(setup(*ARP, time=1.0, targets=[ROUTER]), ROUTER)
    link.run(3)
    link.hosts[ROUTER].hwaddr = b"\x02\0\0\0\1\xee"
    link.run(3)
    assert len(link.lost("ni0")) == 1
    whole_link = [p for _, p in link.sent if p.member == "ni0" and not p.hwaddr]
    assert len(whole_link) > 10, "it is not asked alone for a minute"
    link.run(RECOVERY)
    assert link.sent[-1][1].hwaddr == b"\x02\0\0\0\1\xee"
    assert len(link.lost("ni0")) == 1


def test_a_target_that_never_answered_is_asked_by_arp_now_and_then_only() -> None:
    link = Link(setup(*ARP, time=1.0, targets=[ROUTER]))
    link.run(600)
    times = [t for t, p in link.sent if p.member == "ni0"]
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps[0] >= ASK_FIRST
    assert max(gaps) <= ASK_MOST + 1
    assert len(times) < 20
    assert link.engine.silent == {ROUTER}


def test_a_target_that_has_answered_is_asked_at_full_rate_until_it_has_failed_for_sure() -> None:
    link = Link(setup(*ARP, time=1.0, targets=[ROUTER]), ROUTER)
    link.run(5)
    link.hosts[ROUTER].up = False
    died = link.now
    link.run(SILENCE)
    assert len(asked(link, since=died)) > 60
    assert link.when("ni0", ProbeState.FAILED) < died + 1.01
    link.run(2)
    silent_since = link.now
    link.run(120)
    assert link.engine.silent == {ROUTER}
    assert len(asked(link, since=silent_since)) < 6


def test_once_heard_a_silent_target_is_asked_at_full_rate_at_once() -> None:
    link = Link(setup(*ARP, time=1.0, targets=[ROUTER]), ROUTER)
    link.run(5)
    link.hosts[ROUTER].up = False
    link.run(100)
    link.hosts[ROUTER].up = True
    heard = Reply("ni1", Family.IPV4, Method.ARP, ROUTER, link.now, hwaddr=b"", asked=False)
    link.inject(heard)
    link.run(0.001)
    link.run(1.8)
    assert link.verdict("ni0") is ProbeState.OK
    assert link.verdict("ni1") is ProbeState.OK
    assert link.engine.silent == frozenset()


def test_a_probe_sent_before_its_target_was_heard_does_not_make_it_silent_again() -> None:
    """It announced itself between the loss of one member's first probe and that of the other's."""
    targets = offered(configured=(ROUTER,))
    targets.unanswered(ROUTER, started=1.0)
    assert targets.silent(ROUTER, 1.2, 1.0)
    targets.heard(ROUTER, 1.3)
    targets.unanswered(ROUTER, started=1.1)
    assert not targets.silent(ROUTER, 1.4, 1.0)
    targets.unanswered(ROUTER, started=1.4)
    assert targets.silent(ROUTER, 1.6, 1.0)


def test_to_be_heard_is_no_answer() -> None:
    """Foreign ARP traffic must not keep a member alive (linux-peers 3.4)."""
    link = Link(setup(*ARP, time=1.0, targets=[ROUTER]), ROUTER)
    link.run(5)
    link.cut = {"ni0"}
    for _ in range(100):
        link.inject(
            Reply("ni0", Family.IPV4, Method.ARP, ROUTER, link.now, hwaddr=b"", asked=False)
        )
        link.run(0.02)
    assert link.verdict("ni0") is ProbeState.FAILED


def test_a_failed_member_goes_on_at_full_rate_while_others_reach_the_target() -> None:
    link = Link(setup(*ARP, time=1.0, targets=[ROUTER]), ROUTER)
    link.run(5)
    link.cut = {"ni0"}
    link.run(100)
    since = link.now
    link.run(10)
    assert len(asked(link, since=since)) >= 69
    assert link.engine.silent == frozenset()


@pytest.mark.parametrize(
    "careless", [path("ni0"), path("ni0", Family.IPV6, Method.ARP)], ids=["icmp", "nd"]
)
def test_icmp_and_solicitations_need_no_such_care(careless: object) -> None:
    link = Link(setup(careless, time=1.0, targets=[ROUTER, "fe80::1"]))  # type: ignore[arg-type]
    link.run(60)
    assert len(link.sent) > 400
    assert link.engine.silent == frozenset()
