"""From links and probes to events: who has failed, who must prove itself, whose failure it is."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ipmp.group import Event, Facts, Group, Sight, look, observe, step
from ipmp.group.machine import Member
from ipmp.model import InterfaceState, ProbeState
from ipmp.probing.values import Standing
from ipmp.world import Link

UP_DELAY = 2.0
WORKS = Standing(ProbeState.OK, 0.0, last_success=100.0)
LOST = Standing(ProbeState.FAILED, 100.0, losses=5, first_loss=90.0, last_success=89.0)


def link(name: str, *, carrier: bool | None = True, up: bool = True, hwaddr: str = "") -> Link:
    return Link(name, ord(name), up, carrier, hwaddr or f"02:00:00:00:00:{ord(name):02x}", 1500)


class Host:
    """Three members, looked at again and again."""

    def __init__(self, *names: str) -> None:
        self.group = Group("g", tuple(Member(n) for n in names or ("a", "b", "c")))
        self.links: dict[str, Link | None] = {m.name: link(m.name) for m in self.group.members}
        self.standings: dict[str, Standing] = {}
        self.offline: set[str] = set()
        self.sights: dict[str, Sight] = {}
        self.due: float | None = None
        self.at(0.0)

    def at(self, now: float) -> dict[str, Event]:
        facts = {}
        for name, found in self.links.items():
            self.sights[name] = look(self.sights.get(name), found, now)
            standing = self.standings.get(name, Standing(ProbeState.DISABLED, 0.0))
            facts[name] = Facts(found, self.sights[name], name in self.offline, standing)
        events, self.due = observe(self.group, facts, UP_DELAY, now)
        self.group, _ = step(self.group, events, now)
        return events

    def state(self, name: str) -> InterfaceState:
        return self.group.member(name).state

    def carrier(self, name: str, carrier: bool, now: float) -> Event:
        self.links[name] = link(name, carrier=carrier)
        return self.at(now)[name]


def test_a_link_that_is_up_at_the_first_look_works_at_once() -> None:
    assert Host().group.usable == 3


@pytest.mark.parametrize(
    ("found", "event"),
    [
        (None, Event.ABSENT),
        (link("a", up=False), Event.ADMIN_DOWN),
        (link("a", carrier=False), Event.LINK_DOWN),
        (link("a", carrier=None), Event.LINK_UNKNOWN),
    ],
)
def test_the_link_alone(found: Link | None, event: Event) -> None:
    host = Host()
    host.links["a"] = found
    assert host.at(1.0)["a"] is event


def test_a_link_must_stay_up_for_the_up_delay() -> None:
    host = Host()
    host.carrier("a", False, 1.0)
    assert host.carrier("a", True, 5.0) is Event.DELAYED
    assert host.due == 5.0 + UP_DELAY
    assert host.at(6.9)["a"] is Event.DELAYED
    assert host.at(7.0)["a"] is Event.LINK_UP


def test_the_last_link_is_used_at_once_in_spite_of_the_up_delay() -> None:
    host = Host()
    for name in "abc":
        host.carrier(name, False, 1.0)
    assert host.carrier("b", True, 5.0) is Event.LINK_UP
    assert host.carrier("a", True, 5.1) is Event.DELAYED, "b works meanwhile"


def test_the_third_link_up_in_a_minute_is_not_believed_before_the_second_is_a_minute_old() -> None:
    host = Host()
    for start in (10.0, 20.0):
        host.carrier("a", False, start)
        host.carrier("a", True, start + 1)
        assert host.at(start + 5)["a"] is Event.LINK_UP
    host.carrier("a", False, 30.0)
    assert host.carrier("a", True, 31.0) is Event.FLAPPING
    assert host.due == 21.0 + 60.0
    assert host.at(80.9)["a"] is Event.FLAPPING
    assert host.at(81.0)["a"] is Event.LINK_UP


def test_a_probed_member_proves_itself_by_answers_and_not_by_its_link() -> None:
    host = Host()
    host.standings = dict.fromkeys("abc", WORKS)
    host.at(1.0)
    host.carrier("a", False, 2.0)
    host.standings["a"] = replace(WORKS, verdict=ProbeState.FAILED)
    assert host.carrier("a", True, 3.0) is Event.PROVING
    assert host.at(1000.0)["a"] is Event.PROVING
    host.standings["a"] = WORKS
    assert host.at(1001.0)["a"] is Event.LINK_UP


def test_a_link_that_returns_where_nobody_answers_is_used_as_unknown() -> None:
    host = Host()
    host.standings = dict.fromkeys("abc", Standing(ProbeState.UNKNOWN, 0.0))
    host.at(1.0)
    assert host.state("a") is InterfaceState.UNKNOWN
    host.carrier("a", False, 2.0)
    host.carrier("a", True, 3.0)
    assert host.at(3.0 + UP_DELAY)["a"] is Event.NO_TARGETS
    assert host.state("a") is InterfaceState.UNKNOWN


def test_lost_probes_are_the_members_own_failure_when_another_has_heard_since() -> None:
    host = Host()
    host.standings = {"a": LOST, "b": WORKS, "c": WORKS}
    assert host.at(100.0) == {
        "a": Event.PROBES_LOST,
        "b": Event.LINK_UP,
        "c": Event.LINK_UP,
    }


def test_a_member_that_is_not_probed_vouches() -> None:
    host = Host("a", "b")
    host.standings = {"a": LOST}
    assert host.at(100.0)["a"] is Event.PROBES_LOST


def test_lost_probes_are_the_groups_failure_when_nobody_has_heard_since() -> None:
    host = Host()
    behind = replace(WORKS, losses=4, first_loss=90.5, last_success=89.5)
    host.standings = {"a": LOST, "b": behind, "c": behind}
    assert set(host.at(100.0).values()) == {Event.GROUP_LOST}
    assert host.group.usable == 0
    assert set(host.at(101.0).values()) == {Event.GROUP_LOST}, "b is not OK for its fourth loss"


def test_only_functioning_members_vouch() -> None:
    host = Host()
    host.standings = {"a": WORKS, "b": WORKS, "c": WORKS}
    host.offline = {"b"}
    host.carrier("c", False, 50.0)
    host.standings["a"] = LOST
    assert host.at(100.0)["a"] is Event.GROUP_LOST


def test_the_first_answer_repairs_all_members_that_have_been_answered_since() -> None:
    host = Host()
    host.standings = dict.fromkeys("abc", LOST)
    host.at(100.0)
    heard = replace(LOST, losses=0, last_success=150.0)
    host.standings = {"a": heard, "b": LOST, "c": heard}
    assert host.at(150.0)["a"] is Event.PROVING
    host.standings["c"] = replace(WORKS, last_success=151.0)
    assert host.at(151.0) == {
        "a": Event.LINK_UP,
        "b": Event.GROUP_LOST,
        "c": Event.LINK_UP,
    }


def test_a_failure_that_was_one_members_stays_its_own_when_the_others_fail_too() -> None:
    host = Host()
    host.standings = {"a": LOST, "b": WORKS, "c": WORKS}
    host.at(100.0)
    host.standings = dict.fromkeys("abc", replace(LOST, first_loss=200.0))
    events = host.at(210.0)
    assert events["b"] is events["c"] is Event.GROUP_LOST


def test_a_lone_member_that_loses_its_probes_is_a_group_failure() -> None:
    host = Host("a")
    host.standings = {"a": LOST}
    assert host.at(100.0)["a"] is Event.GROUP_LOST


def test_the_later_member_with_a_hardware_address_goes_offline_until_it_is_unique() -> None:
    host = Host()
    host.links["b"] = link("b", hwaddr="02:00:00:00:00:61")
    assert host.at(1.0)["b"] is Event.DUPLICATE
    assert host.state("b") is InterfaceState.OFFLINE
    host.links["a"] = link("a", carrier=False)
    assert host.at(2.0)["b"] is Event.DUPLICATE, "a failed twin still has the address"
    host.offline = {"a"}
    assert host.at(3.0)["b"] is Event.LINK_UP
    host.offline = set()
    host.links["a"] = link("a")
    assert host.at(4.0)["a"] is Event.DUPLICATE, "who works keeps the address"


def test_of_two_with_one_hardware_address_the_one_that_got_it_last_is_the_later() -> None:
    host = Host()
    host.links["a"] = link("a", hwaddr=link("b").hwaddr)
    assert host.at(1.0)["a"] is Event.DUPLICATE
    host.links["c"] = None
    host.at(2.0)
    host.links["c"] = link("c", hwaddr=link("b").hwaddr)
    events = host.at(3.0)
    assert (events["b"], events["c"]) == (Event.LINK_UP, Event.DUPLICATE)


def test_an_operators_offline_is_not_asked_for_its_link() -> None:
    host = Host()
    host.offline = {"a"}
    host.links["a"] = None
    assert host.at(1.0)["a"] is Event.OFFLINE


def test_a_member_that_had_lost_its_probes_stays_failed_over_a_restart() -> None:
    host = Host()
    a = host.group.member("a")
    host.group = replace(host.group, members=(a.lost_before(), *host.group.members[1:]))
    host.standings = {"a": Standing(ProbeState.UNKNOWN, 0.0), "b": WORKS, "c": WORKS}
    assert host.at(1.0)["a"] is Event.PROVING
    host.standings["a"] = WORKS
    assert host.at(2.0)["a"] is Event.LINK_UP


def test_a_member_that_is_repaired_in_this_look_vouches_for_the_group() -> None:
    """Else one whose path is dead since its link came back keeps all of them down, for ever."""
    host = Host("a", "b")
    host.standings = dict.fromkeys("ab", WORKS)
    host.at(1.0)
    host.carrier("a", False, 2.0)
    host.standings["b"] = LOST
    assert host.at(100.0)["b"] is Event.GROUP_LOST, "nobody works who could vouch"
    host.standings["a"] = LOST
    assert host.carrier("a", True, 101.0) is Event.GROUP_LOST
    host.standings["b"] = replace(WORKS, since=200.0, last_success=200.0)
    events = host.at(200.0)
    assert (events["a"], events["b"]) == (Event.PROBES_LOST, Event.LINK_UP)
    assert host.state("b") is InterfaceState.OK
