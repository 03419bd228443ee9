"""The status made from what a runner knows."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from ipmp.config import GroupConfig
from ipmp.daemon.moves import Books
from ipmp.daemon.report import address_statuses, group_status, interface_statuses
from ipmp.fighting import Fights
from ipmp.group import Event, Group, Member
from ipmp.homes import Homes
from ipmp.intent import Intent
from ipmp.model import (
    Family,
    GroupState,
    HoldIntent,
    InterfaceState,
    InterfaceStatus,
    LinkState,
    MoveReason,
    OfflineIntent,
)
from ipmp.probing import Engine
from ipmp.world import AF_INET6, MADE, Link, Snapshot
from tests.support.world import MEMBERS, data_address, group, link, route, snapshot, spread

ONE, TWO, SIX = "192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64"
WORKS = {"state": InterfaceState.OK, "known": True, "event": Event.LINK_UP}


def runner(
    state: Group,
    found: Snapshot,
    homes: Homes | None = None,
    books: Books | None = None,
) -> Any:
    """What the report asks a runner for."""
    transitions = {name: {"ok": 1} for name in MEMBERS}
    return SimpleNamespace(
        members=SimpleNamespace(group=state, links=found.links, transitions=transitions),
        config=GroupConfig("g", MEMBERS, min_usable=2, failback=False),
        snapshot=found,
        homes=homes or Homes(),
        books=books or Books("g"),
        prober=SimpleNamespace(
            engine=Engine("g", Random(0)), statuses=lambda member: (), past=lambda member: ()
        ),
        executor=SimpleNamespace(fights=Fights()),
    )


def member_status(
    member: Member, its_link: Link | None = None, intent: Intent | None = None
) -> InterfaceStatus:
    """The status of the only member of a group."""
    found = snapshot({}, links=[its_link] if its_link else [])
    (status,) = interface_statuses(runner(Group("g", (member,)), found), intent or Intent())
    return status


# Group ------------------------------------------------------------------------------------------


def test_a_group_tells_its_state_its_settings_and_its_counters() -> None:
    books = Books("g")
    books.seen(ONE, "a")
    books.moved([(data_address(ONE), "b")], lambda *_: MoveReason.LINK, 10.0, 1000.0)
    books.settle({(ONE, "b")}, 10.02, 1000.02)
    state = replace(group("ab"), state=GroupState.DEGRADED, since=999.0)
    status = group_status(runner(state, snapshot({}), books=books))
    assert (status.name, status.state, status.since) == ("g", GroupState.DEGRADED, 999.0)
    assert (status.interfaces, status.usable) == (MEMBERS, 2)
    assert (status.min_usable, status.failback) == (2, False)
    assert status.failovers == {str(reason): 0 for reason in MoveReason} | {"link": 1}
    assert status.failbacks == {str(reason): 0 for reason in MoveReason}
    assert status.last_failover == 1000.02
    assert status.failover_duration is not None
    assert status.failover_duration.counts[-1] == 1


# Members ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (Member("a", **WORKS), "its link is up"),
        (Member("a", **WORKS, inactive=True), "it works and is kept as a spare"),
        *(
            (Member("a", state=InterfaceState.FAILED, known=True, event=event), reason)
            for event, reason in (
                (Event.LINK_DOWN, "its link is down"),
                (Event.ADMIN_DOWN, "it is administratively down"),
                (Event.ABSENT, "it does not exist on this host"),
                (Event.GROUP_LOST, "no member hears a probe target any more"),
            )
        ),
    ],
)
def test_a_member_says_why_it_is_in_its_state(member: Member, reason: str) -> None:
    status = member_status(member)
    assert (status.state, status.active, status.reason) == (member.state, member.active, reason)


def test_every_event_has_its_reason_and_only_a_working_one_says_that_its_link_is_up() -> None:
    reasons = {event: member_status(Member("a", known=True, event=event)).reason for event in Event}
    assert [event for event, reason in reasons.items() if reason == "its link is up"] == [
        Event.LINK_UP,
        Event.OFFLINE,  # told by the intent instead
    ]


@pytest.mark.parametrize("event", [Event.LINK_UP, Event.OFFLINE])
@pytest.mark.parametrize(
    ("its_link", "link_state"),
    [
        (link("a"), LinkState.UP),
        (link("a", carrier=None), LinkState.UNKNOWN),
        (link("a", carrier=False), LinkState.DOWN),
        (link("a", up=False), LinkState.DOWN),
        (None, LinkState.DOWN),
    ],
)
def test_the_link_is_that_of_the_kernel_also_of_an_offline_member(
    its_link: Link | None, link_state: LinkState, event: Event
) -> None:
    assert member_status(Member("a", known=True, event=event), its_link).link is link_state


def test_an_offline_member_says_who_took_it_offline_and_why() -> None:
    member = Member("a", state=InterfaceState.OFFLINE, known=True, event=Event.OFFLINE)
    asked = OfflineIntent("new switch", "root (uid 0)", 1000.0)
    status = member_status(member, intent=Intent(offline={"a": asked}))
    assert status.down, "it carries no address"
    assert status.offline == asked
    assert status.reason == "taken offline by root (uid 0): new switch"


def test_a_member_shows_its_link_its_hold_and_its_history() -> None:
    held = HoldIntent("watch it", "root (uid 0)", 1000.0)
    status = member_status(Member("a", **WORKS, since=5.0), link("a"), Intent(holds={"a": held}))
    assert (status.present, status.ifindex, status.mtu) == (True, 1, 1500)
    assert (status.hwaddr, status.hold, status.since) == ("02:00:00:00:00:0a", held, 5.0)
    assert status.transitions == {"ok": 1}
    assert not member_status(Member("a", **WORKS)).present


def test_nominated_is_the_member_through_which_the_routes_of_a_family_leave() -> None:
    routes = [route("default", "b"), route("default", "c", family=AF_INET6)]
    status = list(interface_statuses(runner(group(), snapshot({}, routes)), Intent()))
    assert [i.name for i in status if i.nominated_ipv4] == ["b"]
    assert [i.name for i in status if i.nominated_ipv6] == ["c"]


def test_without_routes_nominated_is_the_member_of_the_first_address() -> None:
    books = Books("g")
    for key, member in ((ONE, "b"), (TWO, "a"), (SIX, "c")):
        books.seen(key, member)
    homes = Homes({key: data_address(key, n) for n, key in enumerate((ONE, TWO, SIX))})
    status = list(interface_statuses(runner(group(), snapshot({}), homes, books), Intent()))
    assert [i.name for i in status if i.nominated_ipv4] == ["b"]
    assert [i.name for i in status if i.nominated_ipv6] == ["c"]


def test_what_is_spread_leaves_through_all_its_members_and_one_is_nominated() -> None:
    default, six = route("default", "a"), route("default", "a", family=AF_INET6)
    last_resort = [
        spread(route("2001:db8::/64", m, family=AF_INET6), m, protocol=MADE) for m in MEMBERS
    ]
    ways = [spread(default, "abc"), spread(six, "bc"), *last_resort]
    found = snapshot({}, spread=ways)
    status = list(interface_statuses(runner(group("ab"), found), Intent()))
    assert [i.name for i in status if Family.IPV4 in i.outbound] == ["a", "b"]
    assert [i.name for i in status if Family.IPV6 in i.outbound] == ["b"]
    assert [i.name for i in status if i.nominated_ipv4] == ["a"]
    assert [i.name for i in status if i.nominated_ipv6] == ["b"]


def test_one_member_sends_where_nothing_is_spread() -> None:
    found = snapshot({}, [route("default", "b"), route("default", "c", family=AF_INET6)])
    status = list(interface_statuses(runner(group(), found), Intent()))
    assert {i.name: i.outbound for i in status} == {
        "a": (),
        "b": (Family.IPV4,),
        "c": (Family.IPV6,),
    }


def test_a_member_that_is_not_active_is_never_nominated() -> None:
    books = Books("g")
    books.seen(ONE, "a")
    homes = Homes({ONE: data_address(ONE)})
    found = snapshot({"a": [ONE]}, [route("default", "a")])
    status = interface_statuses(runner(group("bc"), found, homes, books), Intent())
    assert not [i.name for i in status if i.nominated_ipv4]


# Addresses --------------------------------------------------------------------------------------


def test_addresses_come_in_order_each_with_its_place_and_its_last_move() -> None:
    books = Books("g")
    books.seen(ONE, "a")
    arrivals = [(data_address(ONE, 0, "a"), "b")]
    (moved,) = books.moved(arrivals, lambda *_: MoveReason.LINK, 10.0, 1000.0)
    homes = Homes({TWO: data_address(TWO, 5), ONE: data_address(ONE, 0, "a")})
    one, two = address_statuses(homes, books, snapshot({"b": [ONE]}))
    assert (one.address, one.interface, one.home) == (ONE, "b", "a")
    assert (one.moves, one.last_move, one.reason) == (1, 1000.0, moved.sentence())
    assert (two.address, two.interface, two.reason) == (TWO, None, "")


def test_while_it_is_on_two_members_an_address_is_where_it_is_booked() -> None:
    books, homes = Books("g"), Homes({ONE: data_address(ONE)})
    both = snapshot({"a": [ONE], "b": [ONE]})
    books.seen(ONE, "b")
    assert address_statuses(homes, books, both)[0].interface == "b"
    books.seen(ONE, "c")
    assert address_statuses(homes, books, both)[0].interface == "a", "c does not have it"


@pytest.mark.parametrize(("key", "family"), [(ONE, Family.IPV4), (SIX, Family.IPV6)])
def test_an_address_tells_its_family(key: str, family: Family) -> None:
    (status,) = address_statuses(Homes({key: data_address(key)}), Books("g"), snapshot({}))
    assert status.family is family
