"""The group state machine: (state, event) -> new state : action, as data.

Terms, as in in.mpathd (ipmp-semantics 2.8, 2.9):

  functioning  its state is ok, or unknown while the driver reports no carrier
  inactive     functioning, kept back by policy: a spare, or repaired with FAILBACK=no
  active       functioning and not inactive: may carry data addresses and egress
  usable       functioning; an inactive member counts, an offline one never does
  normal       not configured as standby

Each pass the daemon observes every member and feeds at most one event a member into `step`. What
the actions mean:

  keep      nothing follows
  lose      an active member stopped: activate exactly one inactive member, a standby one first
  return    the member works again: FAILBACK and the number of active members say if it is active
  online    an operator brought it back: active even with FAILBACK=no; a standby one is not
            needed any more when enough normal ones are active

Quirks of the original that are decided otherwise here (ipmp-semantics 2.14): Q1 every functioning
member vouches for the group, also one without probe targets; Q4 and Q5 a restart keeps the
state and activates nothing; Q15 what happens to the cable of an offline member activates
nothing; Q16 a reload re-evaluates; Q17 the only member that works is never inactive.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from ipmp.decision import Decision, Kind, Reason
from ipmp.model import GroupState, InterfaceState
from ipmp.world import Link

OK, FAILED = InterfaceState.OK, InterfaceState.FAILED
OFFLINE, UNKNOWN = InterfaceState.OFFLINE, InterfaceState.UNKNOWN


class Event(StrEnum):
    """What was observed of one member in this pass."""

    LINK_UP = "link-up"
    LINK_UNKNOWN = "link-unknown"
    LINK_DOWN = "link-down"
    ADMIN_DOWN = "admin-down"
    ABSENT = "absent"
    OFFLINE = "offline"


class Action(StrEnum):
    """What follows from a transition; see the module's docstring."""

    KEEP = "keep"
    LOSE = "lose"
    RETURN = "return"
    ONLINE = "online"


class Row(msgspec.Struct, frozen=True):
    """One row of the state table."""

    new: InterfaceState
    action: Action


WORKING = (Event.LINK_UP, Event.LINK_UNKNOWN)
BROKEN = (Event.LINK_DOWN, Event.ADMIN_DOWN, Event.ABSENT)


def _table() -> dict[tuple[InterfaceState, Event], Row]:
    rows: dict[tuple[InterfaceState, Event], Row] = {}
    for event in WORKING:
        works = OK if event is Event.LINK_UP else UNKNOWN
        rows[OK, event] = Row(works, Action.KEEP)
        rows[UNKNOWN, event] = Row(works, Action.KEEP)
        rows[FAILED, event] = Row(works, Action.RETURN)
        rows[OFFLINE, event] = Row(works, Action.ONLINE)
    for event in BROKEN:
        rows[OK, event] = Row(FAILED, Action.LOSE)
        rows[UNKNOWN, event] = Row(FAILED, Action.LOSE)
        rows[FAILED, event] = Row(FAILED, Action.KEEP)
        rows[OFFLINE, event] = Row(FAILED, Action.KEEP)
    rows[OK, Event.OFFLINE] = Row(OFFLINE, Action.LOSE)
    rows[UNKNOWN, Event.OFFLINE] = Row(OFFLINE, Action.LOSE)
    rows[FAILED, Event.OFFLINE] = Row(OFFLINE, Action.KEEP)
    rows[OFFLINE, Event.OFFLINE] = Row(OFFLINE, Action.KEEP)
    return rows


#: event x state -> new state : action. A member that is offline only sees Event.OFFLINE, so
#: whatever its link does meanwhile is judged when it is brought online.
TABLE = _table()

REASONS = {
    Event.LINK_UP: Reason.LINK_UP,
    Event.LINK_UNKNOWN: Reason.LINK_UP,
    Event.LINK_DOWN: Reason.LINK_DOWN,
    Event.ADMIN_DOWN: Reason.ADMIN_DOWN,
    Event.ABSENT: Reason.ABSENT,
    Event.OFFLINE: Reason.OPERATOR,
}


class Member(msgspec.Struct, frozen=True):
    """What the state machine remembers of one member."""

    name: str
    standby: bool = False
    state: InterfaceState = UNKNOWN
    inactive: bool = False
    known: bool = False  # it has been observed at least once
    event: Event = Event.ABSENT  # the last observation
    since: float = 0.0  # Unix time of the last state change

    @property
    def functioning(self) -> bool:
        """It can carry traffic."""
        return self.known and self.state in (OK, UNKNOWN)

    @property
    def active(self) -> bool:
        """It can carry traffic and policy lets it."""
        return self.functioning and not self.inactive


class Group(msgspec.Struct, frozen=True):
    """The state of one group; `members` in configured order, normal ones first."""

    name: str
    members: tuple[Member, ...]
    failback: bool = True
    min_usable: int = 1
    state: GroupState = GroupState.FAILED
    since: float = 0.0

    def member(self, name: str) -> Member:
        """The member called `name`; KeyError when it is not in the group."""
        for member in self.members:
            if member.name == name:
                return member
        raise KeyError(name)

    @property
    def usable(self) -> int:
        """How many members can carry traffic now."""
        return sum(member.functioning for member in self.members)


def observe(link: Link | None, offline: bool) -> Event:
    """What a link and the operator's intent amount to."""
    if offline:
        return Event.OFFLINE
    if link is None:
        return Event.ABSENT
    if not link.up:
        return Event.ADMIN_DOWN
    if link.carrier is None:
        return Event.LINK_UNKNOWN
    return Event.LINK_UP if link.carrier else Event.LINK_DOWN


def step(
    group: Group, events: Mapping[str, Event], now: float
) -> tuple[Group, tuple[Decision, ...]]:
    """Feed one observation a member into the table and return the new state and why it changed.

    Losses are taken before returns, so that a spare is counted when a returning member asks
    whether it is needed. Invariant: if any member functions, at least one is active.
    """
    before = group
    decisions: list[Decision] = []
    first_sight = [name for name in events if not group.member(name).known]
    for actions in (frozenset({Action.KEEP, Action.LOSE}), frozenset(Action)):
        for name, event in events.items():
            row = TABLE[group.member(name).state, event]
            if row.action in actions:
                group = _transition(group, name, event, row, now, decisions)
    for name in first_sight:
        group = _join(group, name)
    group = _at_least_one_active(group, decisions)
    return _group_state(before, group, now, decisions)


def refusal(group: Group, name: str) -> Decision | None:
    """Why `name` may not go offline, or None. The rule is Solaris' (ipmp-semantics 1.1).

    At least max(1, min_usable) *other* members must stay usable. In a group that has failed anyway
    every other member that is not offline counts.
    """
    others = [m for m in group.members if m.name != name]
    if group.state is GroupState.FAILED:
        left = sum(m.state is not OFFLINE for m in others)
        needed = 1
    else:
        left = sum(m.functioning for m in others)
        needed = max(1, group.min_usable)
    if left >= needed:
        return None
    detail: dict[str, str | int | float] = {"count": left, "value": needed}
    return Decision(
        Kind.REFUSED, Reason.MINIMUM_REDUNDANCY, group.name, interface=name, detail=detail
    )


def _transition(
    group: Group, name: str, event: Event, row: Row, now: float, decisions: list[Decision]
) -> Group:
    member = group.member(name)
    if member.event is event and member.state is row.new and member.known:
        return group
    was_active = member.active
    changed = msgspec.structs.replace(
        member,
        state=row.new,
        event=event,
        known=True,
        inactive=member.inactive and row.new in (OK, UNKNOWN),
        since=now if row.new is not member.state or not member.known else member.since,
    )
    returning = row.action in (Action.RETURN, Action.ONLINE)
    if returning:
        changed = msgspec.structs.replace(changed, inactive=_kept_back(group, changed, row.action))
    if row.new is not member.state or event is not member.event:
        decisions.append(_state_decision(group, member, changed, event))
    group = _replace(group, changed)
    if row.action is Action.LOSE and was_active:
        group = _activate_spare(group, Reason.SPARE_NEEDED, decisions)
    if returning and not changed.inactive and not changed.standby:
        group = _retire_spare(group, name)
    return group


def _kept_back(group: Group, returned: Member, action: Action) -> bool:
    """Whether a member that works again is kept inactive (ipmp-semantics 2.9)."""
    others = [m for m in group.members if m.name != returned.name]
    active = sum(m.active for m in others)
    if active == 0:
        return False
    if returned.standby:
        return active >= sum(not m.standby for m in group.members)
    return action is Action.RETURN and not group.failback


def _retire_spare(group: Group, returned: str) -> Group:
    """One standby member is not needed any more when enough normal ones are active."""
    normal = sum(not m.standby for m in group.members)
    active = [m for m in group.members if m.active and m.name != returned]
    spares = [m for m in active if m.standby]
    if spares and len(active) >= normal:
        group = _replace(group, msgspec.structs.replace(spares[-1], inactive=True))
    return group


def _join(group: Group, name: str) -> Group:
    """A standby member seen for the first time is a spare unless a normal one is missing."""
    member = group.member(name)
    if member.standby and member.functioning:
        others = sum(m.active for m in group.members if m.name != name)
        needed = sum(not m.standby for m in group.members)
        member = msgspec.structs.replace(member, inactive=others >= needed and others > 0)
        group = _replace(group, member)
    return group


def _at_least_one_active(group: Group, decisions: list[Decision]) -> Group:
    if any(m.active for m in group.members):
        return group
    return _activate_spare(group, Reason.NO_USABLE_MEMBER, decisions)


def _activate_spare(group: Group, reason: Reason, decisions: list[Decision]) -> Group:
    spares = [m for m in group.members if m.functioning and m.inactive]
    if not spares:
        return group
    spare = next((m for m in spares if m.standby), spares[0])
    decisions.append(Decision(Kind.ACTIVATED, reason, group.name, interface=spare.name))
    return _replace(group, msgspec.structs.replace(spare, inactive=False))


def _group_state(
    before: Group, group: Group, now: float, decisions: list[Decision]
) -> tuple[Group, tuple[Decision, ...]]:
    usable = group.usable
    state = GroupState.DEGRADED
    if usable == 0:
        state = GroupState.FAILED
    elif usable == len(group.members):
        state = GroupState.OK
    if state is not before.state or not any(m.known for m in before.members):
        decisions.append(_group_decision(before, group, state))
        group = msgspec.structs.replace(group, state=state, since=now)
    return group, tuple(decisions)


def _group_decision(before: Group, group: Group, state: GroupState) -> Decision:
    detail: dict[str, str | int | float] = {"state": state, "previous": before.state}
    if state is GroupState.FAILED:
        return Decision(Kind.GROUP_STATE, Reason.NO_USABLE_MEMBER, group.name, detail=detail)
    if before.state is GroupState.FAILED and any(m.known for m in before.members):
        first = next(m.name for m in group.members if m.functioning)
        return Decision(
            Kind.GROUP_STATE, Reason.USABLE_MEMBER, group.name, interface=first, detail=detail
        )
    return Decision(Kind.GROUP_STATE, Reason.MEMBERS_CHANGED, group.name, detail=detail)


def _state_decision(group: Group, before: Member, after: Member, event: Event) -> Decision:
    detail: dict[str, str | int | float] = {"state": after.state, "previous": before.state}
    reason = REASONS[event]
    if event in WORKING and before.event is Event.ABSENT and before.known:
        reason = Reason.PRESENT
    elif before.state is OFFLINE:
        reason = Reason.OPERATOR
    return Decision(Kind.INTERFACE_STATE, reason, group.name, interface=after.name, detail=detail)


def _replace(group: Group, member: Member) -> Group:
    members = tuple(member if m.name == member.name else m for m in group.members)
    return msgspec.structs.replace(group, members=members)
