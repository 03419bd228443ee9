"""The slots of this host's drains: derived from what is remembered, so nothing else is.

A slot belongs to what is drained, to a drain that the daemon was asked for, or to the one that is
planned next; every other one is given back. Taking may take seconds, in which an alert may be
resolved or a pause begin: so a slot is taken, everything is looked at and planned anew, and the
drain begins only if it is planned again.
"""

from __future__ import annotations

from collections.abc import Iterable

from ipmp_remediator.budget.contract import Budget, Refused, Target
from ipmp_remediator.decision import Action
from ipmp_remediator.state import Memory, Operation


class Slots:
    """What stands between the plan and the budget; without a budget every drain may begin."""

    def __init__(self, budget: Budget | None) -> None:
        self._budget = budget
        self._taken: Target | None = None  # for a drain that has not begun

    async def start(self, memory: Memory, allowed: Iterable[tuple[str, str]]) -> None:
        """Begin with the slots of what is drained; `allowed` are all drains there could be."""
        if self._budget:
            await self._budget.start(_drained(memory), [Target(*pair) for pair in allowed])

    async def stop(self) -> None:
        """End; what is drained keeps its slots."""
        if self._budget:
            await self._budget.stop()

    def settle(self, memory: Memory) -> None:
        """Give back what nobody needs any more."""
        if self._budget:
            self._budget.keep(_drained(memory) | ({self._taken} if self._taken else set()))

    def planned(self, operation: Operation | None) -> None:
        """This is planned next: a slot that was taken for something else is not needed."""
        if operation is None or _target(operation) != self._taken:
            self._taken = None

    def suffice(self, operation: Operation) -> bool:
        """Tell whether it may begin now."""
        drain = operation.action is Action.DRAIN
        return self._budget is None or not drain or _target(operation) == self._taken

    async def take(self, operation: Operation) -> Refused | None:
        """Take what a drain needs, or return why there is none; afterwards plan anew."""
        assert self._budget is not None
        answer = await self._budget.take(_target(operation))
        if isinstance(answer, Refused):
            return answer
        self._taken = _target(operation)
        return None


def _target(operation: Operation) -> Target:
    return Target(operation.group, operation.interface)


def _drained(memory: Memory) -> set[Target]:
    asked = {_target(o) for o in memory.operations if o.action is Action.DRAIN}
    return {Target(d.group, d.interface) for d in memory.drains} | asked
