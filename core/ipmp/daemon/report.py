"""The status snapshot, made from what the runners know. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ipmp.daemon.moves import Books, Place
from ipmp.group import Event, Member
from ipmp.homes import Homes
from ipmp.intent import Intent
from ipmp.model import (
    AddressStatus,
    Family,
    GroupStatus,
    InterfaceState,
    InterfaceStatus,
    LinkState,
    OfflineIntent,
)
from ipmp.world import AF_INET, AF_INET6, DataAddress, Snapshot, is_ipv4

if TYPE_CHECKING:
    from ipmp.daemon.runner import Runner

_LINKS = {
    Event.LINK_UP: LinkState.UP,
    Event.LINK_UNKNOWN: LinkState.UNKNOWN,
    Event.LINK_DOWN: LinkState.DOWN,
    Event.ADMIN_DOWN: LinkState.DOWN,
    Event.ABSENT: LinkState.DOWN,
}


def group_status(runner: Runner) -> GroupStatus:
    """One group's part of the status."""
    group, books = runner.group, runner.books
    return GroupStatus(
        name=group.name,
        state=group.state,
        interfaces=tuple(m.name for m in group.members),
        usable=group.usable,
        min_usable=runner.config.min_usable,
        failback=runner.config.failback,
        since=group.since,
        failovers={str(reason): count for reason, count in books.failovers.items()},
        failbacks={str(reason): count for reason, count in books.failbacks.items()},
        last_failover=books.last_failover,
        failover_duration=books.histogram(),
    )


def interface_statuses(runner: Runner, intent: Intent) -> Iterable[InterfaceStatus]:
    """The members of one group, in configured order."""
    nominated = {family: _egress(runner, family) for family in (AF_INET, AF_INET6)}
    for member in runner.group.members:
        link = runner.snapshot.links.get(member.name)
        offline = intent.offline.get(member.name)
        yield InterfaceStatus(
            name=member.name,
            group=runner.group.name,
            state=member.state,
            link=_link(runner, member),
            active=member.active,
            standby=member.standby,
            inactive=member.inactive,
            down=member.state is InterfaceState.OFFLINE,  # its addresses have been taken away
            nominated_ipv4=nominated[AF_INET] == member.name,
            nominated_ipv6=nominated[AF_INET6] == member.name,
            present=link is not None,
            ifindex=link.ifindex if link else 0,
            hwaddr=link.hwaddr if link else "",
            mtu=link.mtu if link else 0,
            reason=_interface_reason(member, offline),
            since=member.since,
            offline=offline,
            hold=intent.holds.get(member.name),
            transitions=dict(runner.transitions[member.name]),
        )


def address_statuses(homes: Homes, books: Books, snapshot: Snapshot) -> tuple[AddressStatus, ...]:
    """The data addresses of one group, in order."""
    return tuple(
        _address_status(address, books.places.get(address.key), snapshot.holders(address.key))
        for address in sorted(homes.addresses.values(), key=lambda a: a.order)
    )


def _address_status(address: DataAddress, place: Place | None, holders: list[str]) -> AddressStatus:
    where = place.member if place is not None and place.member in holders else None
    decision = place.decision if place is not None else None
    return AddressStatus(
        address=address.key,
        group=address.group,
        family=Family.IPV4 if is_ipv4(address.key) else Family.IPV6,
        interface=where or (holders[0] if holders else None),
        home=address.home,
        adopted=address.adopted,
        moves=place.moves if place is not None else 0,
        last_move=place.last_move if place is not None else 0.0,
        reason=decision.sentence() if decision is not None else "",
    )


def _link(runner: Runner, member: Member) -> LinkState:
    """The link of an offline member is looked at, too."""
    if member.event is not Event.OFFLINE:
        return _LINKS[member.event]
    link = runner.snapshot.links.get(member.name)
    if link is None or not link.up:
        return LinkState.DOWN
    if link.carrier is None:
        return LinkState.UNKNOWN
    return LinkState.UP if link.carrier else LinkState.DOWN


def _egress(runner: Runner, family: int) -> str | None:
    """The member through which the group's routes of a family leave, else its first address's."""
    active = [m.name for m in runner.group.members if m.active]
    for name in active:
        if any(r.key.family == family for r in runner.snapshot.routes.get(name, ())):
            return name
    for address in runner.homes.addresses.values():
        place = runner.books.places.get(address.key)
        if address.spec.family == family and place is not None and place.member in active:
            return place.member
    return None


def _interface_reason(member: Member, offline: OfflineIntent | None) -> str:
    if offline is not None:
        why = f": {offline.reason}" if offline.reason else ""
        return f"taken offline by {offline.actor}{why}"
    if member.event is Event.LINK_DOWN:
        return "its link is down"
    if member.event is Event.ADMIN_DOWN:
        return "it is administratively down"
    if member.event is Event.ABSENT:
        return "it does not exist on this host"
    if member.inactive:
        return "it works and is kept as a spare"
    if member.state is InterfaceState.UNKNOWN:
        return "its driver does not report a link state; it is taken to work"
    return "its link is up"
