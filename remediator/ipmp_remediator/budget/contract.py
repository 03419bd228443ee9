"""What a budget is to the one who drains."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Protocol

import msgspec


class Target(msgspec.Struct, frozen=True, order=True):
    """An interface that is to be drained, and its IPMP group."""

    group: str
    interface: str


class RefusedReason(StrEnum):
    """Why there is no slot: a closed list, so that it can be a metric label."""

    FULL = "budget_full"  # as many drains as allowed are under way
    UNREACHABLE = "budget_unreachable"  # nobody can say; then nothing is drained
    SETTLING = "budget_settling"  # an earlier request may still be on its way
    NOT_ALLOWED = "budget_not_allowed"  # the server does not serve us, or not this pool


class Granted(msgspec.Struct, frozen=True):
    """The target has its slots, until it gives them back."""


class Refused(msgspec.Struct, frozen=True):
    """The target must not be drained now; a later try may succeed."""

    reason: RefusedReason
    why: str  # one sentence

    @property
    def sentence(self) -> str:
        """Say it to people."""
        return f"no slot in the budget of drains: {self.why}"


class Budget(Protocol):
    """Slots for drains; every call may be repeated.

    The order is: all other rails, `take`, look at the interface once more, drain; and bring online,
    verify, `give_back`. Who took and did not drain after all gives back too.
    """

    async def start(self, drained: Collection[Target], known: Collection[Target]) -> None:
        """Begin: `drained` are the targets that hold slots, `known` all there could be."""

    async def take(self, target: Target) -> Granted | Refused:
        """Take what one drain needs. Fails closed: what is not clearly granted is refused."""

    def give_back(self, target: Target) -> None:
        """Give it back, once the target is online; never fails and never waits."""

    async def stop(self) -> None:
        """End; slots of drained interfaces stay held."""
