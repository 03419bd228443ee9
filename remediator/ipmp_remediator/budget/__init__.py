"""How many drains may be at a time: of this host by itself, or of the whole fleet by FleetLock.

A drain needs a slot, bringing online never does. `Budget` is all that the rest of the remediator
knows of it.
"""

from ipmp_remediator.budget.contract import Budget, Granted, Refused, RefusedReason, Target
from ipmp_remediator.budget.fleet import FleetBudget, Pace
from ipmp_remediator.budget.local import LocalBudget

__all__ = [
    "Budget",
    "FleetBudget",
    "Granted",
    "LocalBudget",
    "Pace",
    "Refused",
    "RefusedReason",
    "Target",
]
