"""How many drains may be at a time in the whole fleet, by FleetLock.

A drain needs a slot, bringing online never does. `Budget` is all that the rest of the remediator
knows of it. Without a fleet the limits of the policy file are the budget (`limits.drained_host`).
"""

from ipmp_remediator.budget.contract import Budget, Granted, Refused, Target
from ipmp_remediator.budget.fleet import FleetBudget, Pace
from ipmp_remediator.budget.observed import Observed
from ipmp_remediator.budget.slots import Slots

__all__ = [
    "Budget",
    "FleetBudget",
    "Granted",
    "Observed",
    "Pace",
    "Refused",
    "Slots",
    "Target",
]
