"""What to do next, as values: the planner and the steps that it yields. Pure."""

from ipmp.plan.planner import plan, retire
from ipmp.plan.progress import Progress
from ipmp.plan.spreading import gather
from ipmp.plan.steps import (
    AddAddress,
    AddAnchor,
    AddTestAddress,
    Announce,
    DeleteAddress,
    DeleteRoute,
    DeleteSpread,
    MakeSpread,
    ReplaceRoute,
    ShiftRoute,
    Step,
    identity,
)

__all__ = [
    "AddAddress",
    "AddAnchor",
    "AddTestAddress",
    "Announce",
    "DeleteAddress",
    "DeleteRoute",
    "DeleteSpread",
    "MakeSpread",
    "Progress",
    "ReplaceRoute",
    "ShiftRoute",
    "Step",
    "gather",
    "identity",
    "plan",
    "retire",
]
