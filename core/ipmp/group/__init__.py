"""The group state machine: what is observed, the table, and what follows. Pure."""

from ipmp.group.machine import Group, Member, adapt, refusal, step
from ipmp.group.observe import Facts, Sight, look, observe
from ipmp.group.table import BROKEN, TABLE, WAITING, WORKING, Action, Event, Row

__all__ = [
    "BROKEN",
    "TABLE",
    "WAITING",
    "WORKING",
    "Action",
    "Event",
    "Facts",
    "Group",
    "Member",
    "Row",
    "Sight",
    "adapt",
    "look",
    "observe",
    "refusal",
    "step",
]
