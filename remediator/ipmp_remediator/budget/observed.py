"""Notes of each pool whether the servers give clear answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ipmp.fleetlock.client import RefusedError, UnreachableError
from ipmp_remediator.budget.fleet import Server


class Observed:
    """A FleetLock server; `note` is told after each call whether the pool's answer was clear."""

    def __init__(self, server: Server, note: Callable[[str, bool], None]) -> None:
        self._server = server
        self._note = note

    async def take(self, group: str, client: str) -> None:
        """Take a slot."""
        await self._noted(group, self._server.take(group, client))

    async def give_back(self, group: str, client: str) -> None:
        """Give a slot back."""
        await self._noted(group, self._server.give_back(group, client))

    async def _noted(self, pool: str, call: Awaitable[None]) -> None:
        try:
            await call
        except RefusedError:  # no is an answer
            self._note(pool, True)
            raise
        except UnreachableError:
            self._note(pool, False)
            raise
        self._note(pool, True)
