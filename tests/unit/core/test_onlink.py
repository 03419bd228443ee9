"""The order of connected routes: what is shifted, and what it is for after any failures."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ipmp.decision import Reason
from ipmp.placement import Placement, network, place_addresses
from ipmp.plan import (
    AddAddress,
    AddAnchor,
    DeleteAddress,
    Progress,
    ShiftRoute,
    Step,
    identity,
    plan,
)
from ipmp.plan.onlink import OnLink
from ipmp.world import (
    IFA_F_NOPREFIXROUTE,
    IFA_F_PERMANENT,
    IFA_F_SECONDARY,
    SCOPE_LINK,
    Address,
    DataAddress,
    is_ipv4,
)
from tests.support.world import MEMBERS, address, data_address, group, snapshot

A, B, C = (f"192.0.2.{n}/24" for n in (1, 2, 3))
ELSEWHERE = "198.51.100.1/24"
HOMELY = [data_address(key, n, "abc"[n]) for n, key in enumerate((A, B, C))]


def shifted(
    returning: DataAddress,
    member: str,
    held: dict[str, list[str | Address]],
    wanted: Iterable[tuple[DataAddress, str]],
) -> list[tuple[str, str, bool]]:
    steps = OnLink(wanted, snapshot(held)).returned(returning, member)
    return [(step.address.key, step.member, step.away) for step in steps]


def test_routes_of_later_addresses_are_shifted_behind_the_one_that_returns_in_order() -> None:
    at_home = list(zip(HOMELY, "abc", strict=True))
    assert shifted(HOMELY[0], "a", {"c": [C], "b": [B]}, at_home) == [
        (B, "b", True),
        (B, "b", False),
        (C, "c", True),
        (C, "c", False),
    ]
    assert [s[0] for s in shifted(HOMELY[1], "b", {"a": [A], "c": [C]}, at_home)] == [C, C]
    assert shifted(HOMELY[2], "c", {"a": [A], "b": [B]}, at_home) == []


def test_a_guest_that_stays_comes_last_and_one_that_leaves_is_not_shifted() -> None:
    first, guest = HOMELY[1], HOMELY[0]
    staying = [(first, "b"), (guest, "c")]
    assert shifted(first, "b", {"c": [A]}, staying) == [(A, "c", True), (A, "c", False)]
    assert shifted(first, "b", {"c": [A]}, [(first, "b"), (guest, "a")]) == []


def test_a_route_that_was_left_away_is_given_its_metric_back() -> None:
    left = replace(address(B, "b"), shifted=True)
    placements = [Placement(HOMELY[1], "b", Reason.OPERATOR)]
    steps = [s for b in plan(placements, (), snapshot({"b": [left]}), Progress()) for s in b]
    assert [s for s in steps if isinstance(s, ShiftRoute)] == [
        ShiftRoute(left, HOMELY[1].spec, "b", away=False)
    ]
    refused = Progress(refused={identity(steps[0])})
    again = [s for b in plan(placements, (), snapshot({"b": [left]}), refused) for s in b]
    assert not any(isinstance(s, ShiftRoute) for s in again)


def test_a_guest_that_arrives_shifts_nothing() -> None:
    placements = [Placement(a, m, Reason.USABLE_MEMBER) for a, m in zip(HOMELY, "cb", strict=False)]
    batches = plan(placements, (), snapshot({"a": [A], "b": [B], "c": []}), Progress())
    steps = [step for batch in batches for step in batch]
    assert [step.member for step in steps if isinstance(step, AddAddress)] == ["c"]
    assert not any(isinstance(step, ShiftRoute) for step in steps)


@pytest.mark.parametrize(
    "neighbour",
    [
        ELSEWHERE,
        address(B, "b", flags=IFA_F_PERMANENT | IFA_F_NOPREFIXROUTE),
        address(B, "b", flags=IFA_F_PERMANENT | IFA_F_SECONDARY),
        "192.0.2.77/24",
    ],
    ids=["another network", "without a route", "secondary", "not ours"],
)
def test_what_has_no_route_of_the_network_or_is_not_ours_is_not_touched(
    neighbour: str | Address,
) -> None:
    wanted = [(HOMELY[0], "a"), (HOMELY[1], "b"), (data_address(ELSEWHERE, 9, "b"), "b")]
    assert shifted(HOMELY[0], "a", {"b": [neighbour]}, wanted) == []


def test_a_member_that_has_the_route_already_keeps_its_place() -> None:
    at_home = list(zip(HOMELY, "abc", strict=True))
    assert shifted(HOMELY[0], "a", {"a": ["192.0.2.21/24"], "b": [B]}, at_home) == []
    onlink = OnLink(at_home, snapshot({"b": [B]}))
    assert len(list(onlink.returned(HOMELY[0], "a"))) == 2
    again = data_address("192.0.2.9/24", 9, "a")
    assert list(onlink.returned(again, "a")) == [], "the second address makes no second route"


class Kernel:
    """Addresses, and for each network the members in the order in which their routes are used."""

    def __init__(self, homes: dict[str, str]) -> None:
        self.held: dict[str, list[Address]] = {m: [] for m in MEMBERS}
        self.used: dict[tuple[bool, tuple[int, int]], list[str]] = {}
        for key, member in homes.items():
            self._add(key, member)

    def do(self, step: Step) -> None:
        match step:
            case AddAddress(address=new, member=member):
                self._add(new.key, member)
            case AddAnchor(member=member):
                self.held[member].append(_anchor(member))
            case DeleteAddress(key=key, member=member):
                self._delete(key, member)
            case ShiftRoute(address=found, member=member, away=away):
                order = self.used[_network(found.key)]
                order.append(member) if not away else order.remove(member)

    def _add(self, key: str, member: str) -> None:
        order = self.used.setdefault(_network(key), [])
        secondary = is_ipv4(key) and member in order
        flags = IFA_F_PERMANENT | (IFA_F_SECONDARY if secondary else 0)
        self.held[member].append(address(key, member, flags=flags))
        if member not in order:
            order.append(member)

    def _delete(self, key: str, member: str) -> None:
        gone = next(a for a in self.held[member] if a.key == key)
        self.held[member].remove(gone)
        if gone.scope == SCOPE_LINK or gone.flags & IFA_F_SECONDARY:
            return
        same = [a for a in self.held[member] if _network(a.key) == _network(key)]
        if same and not is_ipv4(key):
            return
        order = self.used[_network(key)]
        order.remove(member)
        if same:  # promoted: the route comes back, behind the others
            order.append(member)
            place = self.held[member].index(same[0])
            self.held[member][place] = address(same[0].key, member)


KEYS = (A, B, C, "192.0.2.4/24", ELSEWHERE, "2001:db8::1/64", "2001:db8::2/64", "2001:db8::3/64")


some_homes = st.lists(st.sampled_from(MEMBERS), min_size=len(KEYS), max_size=len(KEYS))
one_at_a_time = st.sampled_from(MEMBERS).map(lambda member: {member})


@given(homes=some_homes, failures=st.lists(one_at_a_time, max_size=6))
def test_after_single_failures_the_order_is_that_of_the_beginning(
    homes: list[str], failures: list[set[str]]
) -> None:
    before, after = _orders(homes, [part for failed in failures for part in (failed, set[str]())])
    assert after == before


@given(homes=some_homes, failures=st.lists(st.sets(st.sampled_from(MEMBERS), max_size=2)))
def test_after_any_failures_the_route_that_is_used_is_that_of_the_beginning(
    homes: list[str], failures: list[set[str]]
) -> None:
    before, after = _orders(homes, [*failures, set()])
    assert [order[0] for order in after.values()] == [order[0] for order in before.values()]


_Orders = dict[tuple[bool, tuple[int, int]], list[str]]


def _orders(homes: list[str], failures: list[set[str]]) -> tuple[_Orders, _Orders]:
    """The order of members by network, at the beginning and after these sets of failed members."""
    at_home = sorted(zip(KEYS, homes, strict=True), key=lambda pair: pair[1])
    kernel = Kernel(dict(at_home))
    before = {net: list(order) for net, order in kernel.used.items()}
    data = [data_address(key, n, home) for n, (key, home) in enumerate(at_home)]
    for failed in failures:
        state = group(set(MEMBERS) - failed)
        for _ in range(3):  # passes
            found = snapshot(kernel.held)
            placements = list(place_addresses(state, data, found, {}))
            announced = {(p.address.key, p.target or "") for p in placements}
            progress = Progress(announced=announced, quiet=set(MEMBERS), dead=failed)
            for batch in plan(placements, (), found, progress):
                for step in batch:
                    kernel.do(step)
    return before, kernel.used


def _network(key: str) -> tuple[bool, tuple[int, int]]:
    return is_ipv4(key), network(key, "")


def _anchor(member: str) -> Address:
    return address(f"169.254.1.{MEMBERS.index(member)}/32", member, scope=SCOPE_LINK, proto=0x9D)
