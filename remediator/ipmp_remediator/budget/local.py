"""The budget of a host by itself: at most so many drains at a time, with no server."""

from __future__ import annotations

from collections.abc import Collection

from ipmp_remediator.budget.contract import Granted, Refused, RefusedReason, Target


class LocalBudget:
    """Slots of this host alone; what is drained is theirs, so nothing else must be remembered."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._held: set[Target] = set()

    async def start(self, drained: Collection[Target], known: Collection[Target]) -> None:
        """Begin with the slots of what is drained."""
        self._held = set(drained)

    async def take(self, target: Target) -> Granted | Refused:
        """Take a slot."""
        if target not in self._held and len(self._held) >= self._slots:
            return Refused(
                RefusedReason.FULL, f"{len(self._held)} drains of this host are under way"
            )
        self._held.add(target)
        return Granted()

    def give_back(self, target: Target) -> None:
        """Give the slot back."""
        self._held.discard(target)

    async def stop(self) -> None:
        """Nothing is to be ended."""
