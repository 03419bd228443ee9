"""The status snapshot, made from what the runners know. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ipmp.daemon.counts import Counts
from ipmp.daemon.moves import Books, Place
from ipmp.group import Event, Member
from ipmp.homes import Homes
from ipmp.intent import Intent
from ipmp.model import (
    AddressStatus,
    DaemonStatus,
    Family,
    GroupStatus,
    InterfaceState,
    InterfaceStatus,
    LinkState,
    OfflineIntent,
    ProbeState,
)
from ipmp.world import AF_INET, AF_INET6, DataAddress, Link, Snapshot, is_ipv4

if TYPE_CHECKING:
    from ipmp.daemon.runner import Runner

FAMILIES = {Family.IPV4: AF_INET, Family.IPV6: AF_INET6}


def daemon_status(about: DaemonStatus, counts: Counts, runners: Collection[Runner]) -> DaemonStatus:
    """The daemon's part of the status: what it is, with what has been counted."""
    drift: Counter[str] = Counter()
    for runner in runners:
        drift.update(runner.books.drift)
    return replace(
        about,
        config_reloads=counts.reloads,
        config_reload_failures=counts.reload_failures,
        operations=counts.operations | _moves(runners),
        operation_failures={k: dict(v) for k, v in counts.operation_failures.items()},
        operations_under_way=dict(counts.operations_under_way),
        operation_durations={k: d.histogram() for k, d in counts.durations.items()},
        announcements=dict(counts.announced),
        announcement_failures=dict(counts.announce_failures),
        reconciles=sum(runner.reconciles for runner in runners),
        drift=dict(drift),
        netlink_overruns=counts.overruns,
    )


def _moves(runners: Iterable[Runner]) -> dict[str, int]:
    """Failovers and failbacks are operations that the daemon started by itself."""
    books = [runner.books for runner in runners]
    return {
        "failover": sum(sum(b.failovers.values()) for b in books),
        "failback": sum(sum(b.failbacks.values()) for b in books),
    }


def group_status(runner: Runner) -> GroupStatus:
    """One group's part of the status."""
    group, books = runner.members.group, runner.books
    return GroupStatus(
        name=group.name,
        state=group.state,
        interfaces=tuple(m.name for m in group.members),
        usable=group.usable,
        min_usable=runner.config.min_usable,
        failback=runner.config.failback,
        outbound=runner.config.outbound,
        failure_detection_time=runner.prober.engine.detection_time,
        since=group.since,
        failovers={str(reason): count for reason, count in books.failovers.items()},
        failbacks={str(reason): count for reason, count in books.failbacks.items()},
        last_failover=books.last_failover,
        moves_under_way=books.under_way,
        kernel_refusals=books.kernel_refusals,
        failover_duration=books.durations.histogram(),
        fights=runner.executor.fights.current(group.name),
    )


def interface_statuses(runner: Runner, intent: Intent) -> Iterable[InterfaceStatus]:
    """The members of one group, in configured order."""
    egress = {family: _egress(runner, af) for family, af in FAMILIES.items()}
    nominated = {family: next(iter(members), None) for family, members in egress.items()}
    for member in runner.members.group.members:
        link = runner.members.links.get(member.name)
        offline = intent.offline.get(member.name)
        twin = member.event is Event.DUPLICATE
        yield InterfaceStatus(
            name=member.name,
            group=runner.config.name,
            state=member.state,
            link=_link(link),
            active=member.active,
            standby=member.standby,
            inactive=member.inactive,
            down=member.state is InterfaceState.OFFLINE and not twin,  # somebody emptied it
            duplicate_hwaddr=twin,
            nominated_ipv4=nominated[Family.IPV4] == member.name,
            nominated_ipv6=nominated[Family.IPV6] == member.name,
            outbound=tuple(f for f, members in egress.items() if member.name in members),
            present=link is not None,
            ifindex=link.ifindex if link else 0,
            hwaddr=link.hwaddr if link else "",
            mtu=link.mtu if link else 0,
            link_losses=link.losses if link else 0,
            reason=_interface_reason(member, offline),
            since=member.since,
            probe=_probe(runner, member),
            probes=runner.prober.statuses(member.name),
            past_probes=runner.prober.past(member.name),
            offline=offline,
            hold=intent.holds.get(member.name),
            transitions=dict(runner.members.transitions[member.name]),
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


def _probe(runner: Runner, member: Member) -> ProbeState:
    """PROBE: failed whenever the member is, also when its link is the cause (ipmp-semantics 3)."""
    standing = runner.prober.engine.standings.get(member.name)
    if standing is None or member.state is InterfaceState.OFFLINE:
        return ProbeState.DISABLED
    return ProbeState.FAILED if member.state is InterfaceState.FAILED else standing.verdict


def _link(link: Link | None) -> LinkState:
    if link is None or not link.up:
        return LinkState.DOWN
    if link.carrier is None:
        return LinkState.UNKNOWN
    return LinkState.UP if link.carrier else LinkState.DOWN


def _egress(runner: Runner, family: int) -> list[str]:
    """Active members through which routes of a family leave, else that of its first address.

    A route of last resort on one member alone is not in use while another one is better.
    """
    active = [m.name for m in runner.members.group.members if m.active]
    snapshot = runner.snapshot
    leaving = {
        name
        for name, routes in snapshot.routes.items()
        if any(route.key.family == family for route in routes)
    }
    for route in snapshot.spread:
        if route.key.family == family and (len(route.members) > 1 or family == AF_INET):
            leaving.update(route.members)
    if any(name in leaving for name in active):
        return [name for name in active if name in leaving]
    for address in runner.homes.addresses.values():
        place = runner.books.places.get(address.key)
        if address.spec.family == family and place is not None and place.member in active:
            return [place.member]
    return []


_REASONS = {
    Event.LINK_DOWN: "its link is down",
    Event.ADMIN_DOWN: "it is administratively down",
    Event.ABSENT: "it does not exist on this host",
    Event.PROBES_LOST: "its probes are not answered, while other members still hear the targets",
    Event.GROUP_LOST: "no member hears a probe target any more",
    Event.PROVING: "its link is up; it waits for ten answered probes in a row",
    Event.DELAYED: "its link is up, but not for long enough yet",
    Event.FLAPPING: "its link came up more than twice in a minute; it waits until that ends",
    Event.DUPLICATE: "another member of its group has the same hardware address",
    Event.NO_TARGETS: "its link is up, and there is nobody to probe",
    Event.LINK_UNKNOWN: "its driver does not report a link state; it is taken to work",
}


def _interface_reason(member: Member, offline: OfflineIntent | None) -> str:
    if offline is not None:
        why = f": {offline.reason}" if offline.reason else ""
        return f"taken offline by {offline.actor}{why}"
    if member.inactive:
        return "it works and is kept as a spare"
    return _REASONS.get(member.event, "its link is up")
