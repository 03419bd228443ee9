"""From links, probes and what was asked for to one event a member. Pure.

A member that works fails at once. One that has failed must prove itself first:

  probed       ten answers in a row (`standing.verdict`), whatever made it fail
  not probed   its link has been up for `up_delay`, and came up at most twice in the last minute
               (LINK_UP_PERMIN, ipmp-semantics 2.4)

Neither is asked of a member that lost only its link when no other member works: bonding's updelay
makes the same exception. Whether lost probes mean one member or all targets, and so the group, is
told by the members that vouch (`probing.verdict.vouchers`). When a group that had lost its targets
gets the first of them back, every member that has had an answer since is repaired together with the
first one: nothing must move because one was a little earlier.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ipmp.group.machine import Group, Member
from ipmp.group.table import BROKEN, FAILED, OFFLINE, TABLE, WAITING, Event
from ipmp.model import InterfaceState, ProbeState
from ipmp.probing.detection import LOSSES
from ipmp.probing.values import Standing
from ipmp.probing.verdict import View, vouchers
from ipmp.world import Link

LINK_UP_PERMIN = 2
MINUTE = 60.0

UNPROBED = Standing(ProbeState.DISABLED, 0.0)


class Sight(msgspec.Struct, frozen=True):
    """What is remembered of a member's link; times are monotonic seconds."""

    up: bool = False
    since: float = 0.0  # when it came up
    ups: tuple[float, ...] = ()  # the last times that it came up after it had been down
    hwaddr: str = ""
    wired: float = 0.0  # when it got its hardware address

    def stable_at(self) -> float:
        """When it stops counting as flapping; a time that has passed when it does not."""
        if len(self.ups) <= LINK_UP_PERMIN or self.ups[-1] - self.ups[0] >= MINUTE:
            return 0.0
        return self.ups[1] + MINUTE


def look(before: Sight | None, link: Link | None, now: float) -> Sight:
    """Remember what became of a link; one that is up at the first look has not come up."""
    up = link is not None and link.up and link.carrier is not False
    hwaddr = link.hwaddr if link is not None else ""
    if before is None:
        return Sight(up, since=float("-inf"), hwaddr=hwaddr, wired=float("-inf"))
    sight = before
    if up and not before.up:
        ups = (*before.ups, now)[-LINK_UP_PERMIN - 1 :]
        sight = msgspec.structs.replace(sight, up=True, since=now, ups=ups)
    elif up != before.up:
        sight = msgspec.structs.replace(sight, up=False)
    if hwaddr != before.hwaddr:
        sight = msgspec.structs.replace(sight, hwaddr=hwaddr, wired=now)
    return sight


class Facts(msgspec.Struct, frozen=True):
    """What is known of one member in this pass."""

    link: Link | None
    sight: Sight
    offline: bool = False  # somebody asked for it
    standing: Standing = UNPROBED


def observe(
    group: Group, facts: Mapping[str, Facts], up_delay: float, now: float
) -> tuple[dict[str, Event], float | None]:
    """One event a member, and when to look again although nothing may have happened."""
    twins = _twins(group, facts)
    events: dict[str, Event] = {}
    due: list[float] = []
    for member in group.members:
        known = facts[member.name]
        event = Event.DUPLICATE if member.name in twins else _event(member, known, up_delay, now)
        events[member.name] = event
        if event in (Event.DELAYED, Event.FLAPPING):
            due.append(max(known.sight.since + up_delay, known.sight.stable_at()))
    _tell_group_failures(group, facts, events)
    _repair_together(group, facts, events)
    _use_what_is_left(group, facts, events)
    return events, min(due, default=None)


def _event(member: Member, facts: Facts, up_delay: float, now: float) -> Event:
    if facts.offline:
        return Event.OFFLINE
    if facts.link is None:
        return Event.ABSENT
    if not facts.link.up:
        return Event.ADMIN_DOWN
    if facts.link.carrier is False:
        return Event.LINK_DOWN
    verdict = facts.standing.verdict
    if verdict is ProbeState.FAILED and facts.standing.losses >= LOSSES:
        return Event.PROBES_LOST
    if member.state is FAILED:
        waiting = _waiting(member, facts, up_delay, now)
        if waiting is not None:
            return waiting
    if _nobody_to_probe(facts):
        return Event.NO_TARGETS
    if verdict is ProbeState.DISABLED and facts.link.carrier is None:
        return Event.LINK_UNKNOWN
    return Event.LINK_UP


def _waiting(member: Member, facts: Facts, up_delay: float, now: float) -> Event | None:
    """What a failed member whose link is up still lacks."""
    verdict = facts.standing.verdict
    if verdict is ProbeState.FAILED:
        return Event.PROVING
    if verdict is ProbeState.OK:
        return None if facts.standing.losses == 0 else member.event
    if verdict is ProbeState.UNKNOWN and member.cause not in BROKEN:
        return Event.PROVING
    if now < facts.sight.stable_at():
        return Event.FLAPPING
    return Event.DELAYED if now < facts.sight.since + up_delay else None


def _twins(group: Group, facts: Mapping[str, Facts]) -> set[str]:
    """Members whose hardware address another one has that is not offline; a failed one counts.

    The one that comes later gives way: who was offline, else who got the address last, else in
    configured order (ipmp-semantics 2.10).
    """
    present = [m for m in group.members if not facts[m.name].offline and facts[m.name].link]
    present.sort(key=lambda m: (m.state is OFFLINE, facts[m.name].sight.wired))
    taken: set[str] = set()
    twins: set[str] = set()
    for member in present:
        link = facts[member.name].link
        if link is None or not link.hwaddr:
            continue
        if link.hwaddr in taken:
            twins.add(member.name)
        taken.add(link.hwaddr)
    return twins


def _tell_group_failures(
    group: Group, facts: Mapping[str, Facts], events: dict[str, Event]
) -> None:
    """Lost probes for which nobody vouches are the group's failure, and then every member's.

    Who is repaired in this look vouches, too.
    """
    views = {
        m.name: View(
            m.functioning or _works(m.state, events[m.name]),
            events[m.name] not in BROKEN and events[m.name] not in (Event.OFFLINE, Event.DUPLICATE),
            facts[m.name].standing,
        )
        for m in group.members
    }
    all_lost = False
    for member in [m for m in group.members if events[m.name] is Event.PROBES_LOST]:
        if member.state is FAILED and member.cause in (Event.PROBES_LOST, Event.GROUP_LOST):
            events[member.name] = member.cause
        elif not vouchers(member.name, views):
            all_lost = True
    if all_lost:
        events.update((name, Event.GROUP_LOST) for name, view in views.items() if view.link)


def _repair_together(group: Group, facts: Mapping[str, Facts], events: dict[str, Event]) -> None:
    """The first member that is repaired takes along those that have had an answer since."""
    failed = [m for m in group.members if m.state is FAILED and m.cause is Event.GROUP_LOST]
    if not any(events[m.name] is Event.LINK_UP for m in failed):
        return
    for member in failed:
        if events[member.name] is Event.PROVING and facts[member.name].standing.losses == 0:
            events[member.name] = Event.LINK_UP


def _use_what_is_left(group: Group, facts: Mapping[str, Facts], events: dict[str, Event]) -> None:
    """When nobody works, the first member that lost only its link, and has it, is used at once."""
    if any(_works(m.state, events[m.name]) for m in group.members):
        return
    for member in group.members:
        if events[member.name] in WAITING and member.cause in BROKEN:
            alone = _nobody_to_probe(facts[member.name])
            events[member.name] = Event.NO_TARGETS if alone else Event.LINK_UP
            return


def _nobody_to_probe(facts: Facts) -> bool:
    return facts.standing.verdict is ProbeState.UNKNOWN and not facts.standing.targets


def _works(state: InterfaceState, event: Event) -> bool:
    return TABLE[state, event].new not in (FAILED, OFFLINE)
