"""What follows from the events of a pass: new states, spares, refusals. Pure.

The table is `table`'s; quirks that are decided otherwise than in in.mpathd are listed there.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ipmp.decision import Decision, Kind, Reason
from ipmp.group.table import (
    FAILED,
    OFFLINE,
    OK,
    REASONS,
    TABLE,
    UNKNOWN,
    WORKING,
    Action,
    Event,
    Row,
)
from ipmp.model import GroupState, InterfaceState


class Member(msgspec.Struct, frozen=True):
    """What the state machine remembers of one member."""

    name: str
    standby: bool = False
    state: InterfaceState = UNKNOWN
    inactive: bool = False
    known: bool = False  # it has been observed at least once
    event: Event = Event.ABSENT  # the last observation
    cause: Event = Event.ABSENT  # the one with which it failed, while it is failed
    since: float = 0.0  # Unix time of the last state change

    @property
    def functioning(self) -> bool:
        """It can carry traffic."""
        return self.known and self.state in (OK, UNKNOWN)

    @property
    def active(self) -> bool:
        """It can carry traffic and policy lets it."""
        return self.functioning and not self.inactive

    @property
    def lost_probes(self) -> bool:
        """It has failed for its probes alone, and not with all others of the group."""
        return self.state is FAILED and self.cause is Event.PROBES_LOST

    def lost_before(self) -> Member:
        """The member as a new daemon takes it over that had lost its probes."""
        cause = Event.PROBES_LOST
        return msgspec.structs.replace(self, state=FAILED, event=cause, cause=cause)


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


def adapt(group: Group, fresh: Group) -> Group:
    """The group after a change of its configuration; members that stay keep their state.

    Who is kept back is decided anew: with FAILBACK on, only spares are (Q16), and one that became a
    standby member is a spare unless a normal one is missing. A spare that served for one that is
    kept back no more can rest.
    """
    known = {m.name: m for m in group.members}
    members = []
    for new in fresh.members:
        old = known.get(new.name, new)
        kept_back = old.inactive and (new.standby or not fresh.failback)
        members.append(msgspec.structs.replace(old, standby=new.standby, inactive=kept_back))
    adapted = msgspec.structs.replace(
        fresh, members=tuple(members), state=group.state, since=group.since
    )
    for member in members:
        if member.standby and member.known and not known[member.name].standby:
            adapted = _join(adapted, member.name)
        if known.get(member.name, member).inactive and not (member.inactive or member.standby):
            adapted = _retire_spare(adapted, member.name)
    return adapted


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
        cause=event if row.new is FAILED and member.state is not FAILED else member.cause,
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
    elif event in WORKING and before.event is Event.DUPLICATE:
        reason = Reason.UNIQUE_HWADDR
    elif before.state is OFFLINE:
        reason = Reason.REQUESTED
    elif event in WORKING and before.state is FAILED:
        reason = Reason.REPAIRED
    return Decision(Kind.INTERFACE_STATE, reason, group.name, interface=after.name, detail=detail)


def _replace(group: Group, member: Member) -> Group:
    members = tuple(member if m.name == member.name else m for m in group.members)
    return msgspec.structs.replace(group, members=members)
