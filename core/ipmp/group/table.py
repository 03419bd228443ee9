"""The state table of a member, as data: (state, event) -> new state : action.

Terms, as in in.mpathd (ipmp-semantics 2.8, 2.9):

  functioning  its state is ok, or unknown: no carrier is reported, or there is nobody to probe
  inactive     functioning, kept back by policy: a spare, or repaired with FAILBACK=no
  active       functioning and not inactive: may carry data addresses and egress
  usable       functioning; an inactive member counts, an offline one never does
  normal       not configured as standby

Each pass the daemon observes every member (`observe`) and feeds one event a member into `step`
(`machine`). What the actions mean:

  keep      nothing follows
  lose      an active member stopped: activate exactly one inactive member, a standby one first
  return    the member works again: FAILBACK and the number of active members say if it is active
  online    it is not kept offline any more: active even with FAILBACK=no; a standby one is not
            needed any more when enough normal ones are active
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from ipmp.decision import Reason
from ipmp.model import InterfaceState

OK, FAILED = InterfaceState.OK, InterfaceState.FAILED
OFFLINE, UNKNOWN = InterfaceState.OFFLINE, InterfaceState.UNKNOWN


class Event(StrEnum):
    """What was observed of one member in this pass."""

    LINK_UP = "link-up"
    LINK_UNKNOWN = "link-unknown"
    NO_TARGETS = "no-targets"
    PROVING = "proving"
    DELAYED = "delayed"
    FLAPPING = "flapping"
    LINK_DOWN = "link-down"
    ADMIN_DOWN = "admin-down"
    ABSENT = "absent"
    PROBES_LOST = "probes-lost"
    GROUP_LOST = "group-lost"
    OFFLINE = "offline"
    DUPLICATE = "duplicate-hwaddr"


MEANING = {
    Event.LINK_UP: "its link is up, and its probes, if there are any, are not all lost",
    Event.LINK_UNKNOWN: "it is up, its driver reports no carrier, and it is not probed",
    Event.NO_TARGETS: "its link is up, and it should be probed, but there is nobody to probe",
    Event.PROVING: "its link is up; ten answers in a row will show that it works again",
    Event.DELAYED: "its link is up, but not yet for as long as `up_delay` says",
    Event.FLAPPING: "its link came up more than twice in a minute",
    Event.LINK_DOWN: "it has no carrier",
    Event.ADMIN_DOWN: "somebody has set it down",
    Event.ABSENT: "the kernel has no such interface",
    Event.PROBES_LOST: "five probes in a row were lost, and another member proves that it is alone",
    Event.GROUP_LOST: "five probes in a row were lost, and nobody proves that the targets live",
    Event.OFFLINE: "an operator or the remediator has taken it offline",
    Event.DUPLICATE: "another member that is not offline has its hardware address",
}

WORKING = (Event.LINK_UP, Event.LINK_UNKNOWN, Event.NO_TARGETS)
WAITING = (Event.PROVING, Event.DELAYED, Event.FLAPPING)
BROKEN = (Event.LINK_DOWN, Event.ADMIN_DOWN, Event.ABSENT)
LOST = (*BROKEN, Event.PROBES_LOST)

REASONS = {
    Event.LINK_UP: Reason.LINK_UP,
    Event.LINK_UNKNOWN: Reason.LINK_UP,
    Event.NO_TARGETS: Reason.NO_TARGETS,
    Event.PROVING: Reason.PROVING,
    Event.DELAYED: Reason.UP_DELAY,
    Event.FLAPPING: Reason.FLAPPING,
    Event.LINK_DOWN: Reason.LINK_DOWN,
    Event.ADMIN_DOWN: Reason.ADMIN_DOWN,
    Event.ABSENT: Reason.ABSENT,
    Event.PROBES_LOST: Reason.PROBES_LOST,
    Event.GROUP_LOST: Reason.TARGETS_DEAD,
    Event.OFFLINE: Reason.REQUESTED,
    Event.DUPLICATE: Reason.DUPLICATE_HWADDR,
}


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


def _rows() -> Iterator[tuple[InterfaceState, Event, InterfaceState, Action]]:
    for event in WORKING:
        works = OK if event is Event.LINK_UP else UNKNOWN
        yield OK, event, works, Action.KEEP
        yield UNKNOWN, event, works, Action.KEEP
        yield FAILED, event, works, Action.RETURN
        yield OFFLINE, event, works, Action.ONLINE
    for event in WAITING:
        yield OK, event, OK, Action.KEEP
        yield UNKNOWN, event, UNKNOWN, Action.KEEP
        yield FAILED, event, FAILED, Action.KEEP
        yield OFFLINE, event, FAILED, Action.KEEP
    for event in LOST:
        yield OK, event, FAILED, Action.LOSE
        yield UNKNOWN, event, FAILED, Action.LOSE
        yield FAILED, event, FAILED, Action.KEEP
        yield OFFLINE, event, FAILED, Action.KEEP
    for state in InterfaceState:
        yield state, Event.GROUP_LOST, FAILED, Action.KEEP
    for event in (Event.OFFLINE, Event.DUPLICATE):
        yield OK, event, OFFLINE, Action.LOSE
        yield UNKNOWN, event, OFFLINE, Action.LOSE
        yield FAILED, event, OFFLINE, Action.KEEP
        yield OFFLINE, event, OFFLINE, Action.KEEP


#: event x state -> new state : action. A member that is offline only sees OFFLINE, so whatever its
#: link does meanwhile is judged when it is brought online.
TABLE = {(state, event): Row(new, action) for state, event, new, action in _rows()}

#: How the quirks of the original are decided here (ipmp-semantics 2.14).
QUIRKS = {
    "Q1": "every functioning member vouches for the group, also one that has no probe targets",
    "Q2": "a link that returns where there is nobody to probe counts as repaired, to `unknown`",
    "Q3": "interface events come before the group event, on failure and on repair alike",
    "Q4": "members that had failed for their probes stay failed over a restart of the daemon",
    "Q5": "stopping the daemon changes nothing; a spare stays as it was over a restart",
    "Q6": "nothing is ever taken down or brought up by `if_mpadm`, so nothing must be remembered",
    "Q7": "members, groups and addresses are listed in configured order",
    "Q8": "all members of a group share one list of targets a family",
    "Q9": "an address has a home to which it returns",
    "Q10": "multicast discovery backs off while nobody answers",
    "Q11": "probe ids are random, and sockets are bound to the device",
    "Q12": "FAILBACK and the failure detection time are settings of a group",
    "Q13": "a duration needs its unit",
    "Q14": "only functioning members vouch for the group",
    "Q15": "what happens to the cable of an offline member activates nobody",
    "Q16": "a reload re-evaluates: with failback back on, a repaired member is active again",
    "Q17": "the only member that works is never inactive",
    "Q18": "a dead target stays dead for a minute from its death",
}
