"""Only the right answer counts; every other is counted with its reason."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ipmp.model import Family
from ipmp.probing import Method, Probe, Reply
from tests.support.simulated_link import PEER, ROUTER, Link, answer, path, setup

V4 = Family.IPV4


def waiting(method: Method = Method.ICMP) -> tuple[Link, Probe]:
    """A link with one probe of ni0 under way, that will not be answered by itself."""
    paths = (path("ni0", method=method), path("ni1", method=method))
    link = Link(setup(*paths, time=1.0, targets=[ROUTER]), ROUTER)
    link.run(2)
    link.cut = {"ni0"}
    link.run_to_probe("ni0")
    return link, link.sent[-1][1]


def proper(link: Link, probe: Probe) -> Reply:
    return answer(probe, link.now, link.hosts[ROUTER])


def rejected(link: Link, member: str = "ni0") -> dict[str, int]:
    return link.engine.counters[member, V4].rejected


def test_the_proper_answer_is_accepted() -> None:
    for method in Method:
        link, probe = waiting(method)
        acked = len(link.acked("ni0"))
        link.call([proper(link, probe)])
        assert len(link.acked("ni0")) == acked + 1
        assert rejected(link) == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sender": PEER}, "sender"),
        ({"ident": 1}, "ident"),
        ({"nonce": b"\0" * 8}, "ident"),
        ({"sequence": 9999}, "sequence"),
    ],
)
def test_a_forged_answer_is_rejected(change: dict[str, object], reason: str) -> None:
    link, probe = waiting()
    acked = len(link.acked("ni0"))
    link.call([replace(proper(link, probe), **change)])
    assert len(link.acked("ni0")) == acked
    assert rejected(link) == {reason: 1}
    link.run(0.2)
    assert link.lost("ni0"), "it saved nobody"


def test_an_answer_that_came_in_at_another_member_is_not_one() -> None:
    link, probe = waiting()
    acked = len(link.acked("ni1"))
    link.call([replace(proper(link, probe), member="ni1")])
    assert len(link.acked("ni1")) == acked
    assert rejected(link, "ni1") == {"ident": 1}


def test_identifiers_are_random_for_each_path() -> None:
    link, _ = waiting()
    idents = {p.member: (p.ident, p.nonce) for _, p in link.sent}
    assert len(set(idents.values())) == 2
    assert all(len(nonce) == 8 for _, nonce in idents.values())


@pytest.mark.parametrize("method", list(Method))
def test_a_second_answer_to_one_probe_is_a_duplicate(method: Method) -> None:
    link, probe = waiting(method)
    acked = len(link.acked("ni0"))
    link.call([proper(link, probe), proper(link, probe)])
    assert len(link.acked("ni0")) == acked + 1
    assert rejected(link) == {"duplicate": 1}


def test_an_answer_to_a_probe_of_long_ago_is_out_of_the_window() -> None:
    link, probe = waiting()
    link.run(60 / 7)
    link.call([proper(link, probe)])
    assert rejected(link) == {"sequence": 1}


def test_arp_from_somebody_who_was_not_asked_is_rejected() -> None:
    link, probe = waiting(Method.ARP)
    link.call([replace(proper(link, probe), sender=PEER)])
    assert rejected(link) == {"sender": 1}


def test_an_arp_answer_without_a_question_does_not_undo_an_old_loss() -> None:
    link, probe = waiting(Method.ARP)
    link.run(0.1)
    assert len(link.lost("ni0")) == 1
    link.cut = set()
    link.run(1)
    acked = len(link.acked("ni0"))
    link.call([proper(link, probe)])
    assert len(link.acked("ni0")) == acked
    assert rejected(link) == {"duplicate": 1}


def test_an_arp_answer_that_may_be_to_either_of_two_probes_gives_no_time() -> None:
    """Karn's rule: nothing in ARP tells which request was answered."""
    link, probe = waiting(Method.ARP)
    average = link.acked("ni0")[-1].average
    link.run(0.1)
    link.run_to_probe("ni0")
    late = replace(proper(link, probe), received=link.now)
    link.run(0.03)
    link.call([late])
    assert link.acked("ni0")[-1].average == average
    assert link.engine.detection_time == 1.0


def test_a_wall_clock_that_was_set_makes_no_absurd_times() -> None:
    for step in (-3600.0, 3600.0):
        link, probe = waiting()
        link.call([replace(proper(link, probe), received=link.now + step)])
        assert link.acked("ni0")[-1].net_rtt == 0.0
        assert link.standing("ni0").last_success == link.now


def test_an_answer_on_a_path_that_is_gone_is_ignored() -> None:
    link, probe = waiting()
    link.configure(setup(path("ni1"), time=1.0, targets=[ROUTER]))
    link.call([proper(link, probe)])
    assert rejected(link) == {}
