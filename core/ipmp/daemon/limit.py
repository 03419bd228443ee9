"""Holds back addresses that have moved too often lately and could go home without need.

What an operator asked for is not held back, and an address whose member fails moves at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ipmp.daemon.members import Members
from ipmp.daemon.moves import MOVE_LIMIT, Books
from ipmp.decision import Decision, Kind, Reason
from ipmp.model import MoveReason
from ipmp.placement import Placement
from ipmp.world import DataAddress


class MoveLimit:
    """The limit on the moves of each address of one group."""

    def __init__(self, books: Books, members: Members) -> None:
        self.due: float | None = None  # when the first address that is held back may move
        self._books = books
        self._members = members
        self._told: set[str] = set()

    def restless(self, addresses: Mapping[str, DataAddress], now: float) -> set[str]:
        """Which of these addresses, by key, should stay where they work."""
        keys = self._books.restless(now)
        return {key for key in keys if key in addresses and not self._asked_for(addresses[key])}

    def held_back(self, placements: Iterable[Placement], now: float) -> list[Decision]:
        """Say once of each address that it is held back."""
        limit = Reason.MOVE_LIMIT  # asking an enumeration a thousand times takes its time
        held = [p for p in placements if p.reason is limit]
        self.due = min((self._books.calm_at(p.address.key) for p in held), default=None)
        fresh = [p for p in held if p.address.key not in self._told]
        self._told = {p.address.key for p in held}
        return [self._decision(p, now) for p in fresh]

    def _asked_for(self, address: DataAddress) -> bool:
        home = address.home
        return home is not None and self._members.reason(None, home) is MoveReason.OFFLINE

    def _decision(self, placement: Placement, now: float) -> Decision:
        address = placement.address
        wait = round(self._books.calm_at(address.key) - now)
        detail: dict[str, str | int | float] = {"count": MOVE_LIMIT, "seconds": wait}
        return Decision(
            Kind.REFUSED,
            Reason.MOVE_LIMIT,
            address.group,
            interface=placement.target or "",
            address=address.key,
            detail=detail,
        )
