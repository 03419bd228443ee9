"""What a budget is to the one who drains."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import msgspec

from ipmp_remediator.decision import Reason


class Target(msgspec.Struct, frozen=True, order=True):
    """An interface that is to be drained, and its IPMP group."""

    group: str
    interface: str


class Granted(msgspec.Struct, frozen=True):
    """The target has its slots, until it gives them back."""


class Refused(msgspec.Struct, frozen=True):
    """The target must not be drained now; a later try may succeed."""

    reason: Reason  # one of the `BUDGET_*`
    why: str


class Budget(Protocol):
    """Slots for drains; every call may be repeated.

    The order is: all other rails, `take`, look at everything once more, drain; and bring online,
    verify, and `keep` no more than what is drained.
    """

    async def start(self, drained: Collection[Target], known: Collection[Target]) -> None:
        """Begin: `drained` are the targets that hold slots, `known` all there could be."""

    async def take(self, target: Target) -> Granted | Refused:
        """Take what one drain needs. Fails closed: what is not clearly granted is refused."""

    def keep(self, targets: Collection[Target]) -> None:
        """Give back what all others hold; never fails and never waits."""

    async def stop(self) -> None:
        """End; slots of drained interfaces stay held."""
