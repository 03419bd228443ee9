"""What led to the present, from the stored history: it outlives the daemon, whose memory does not.

The work is bounded: a few events of each question, of a history that is itself bounded, and not
longer than an operator would wait. A disk that does not answer in time leaves what is in memory.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from ipmp.daemon.journal import Journal
from ipmp.decision import IN_BULK, Decision, Kind, Reason
from ipmp.history import Query
from ipmp.model import Event

RECENT = 10
PATIENCE = 2.0  # seconds; clients wait 5
CAVEAT = (
    "The stored history did not answer in time; what follows happened since mpathd was started."
)

#: What befalls an interface, so that its addresses leave it or come back to it.
_CAUSES = (Kind.INTERFACE_STATE, Kind.OFFLINE, Kind.ONLINE)
_LEFT = {
    Reason.LINK_DOWN,
    Reason.PROBES_LOST,
    Reason.DUPLICATE_HWADDR,
    Reason.ABSENT,
    Reason.REQUESTED,
}
_LOOK_BACK = 5  # a cause may be followed by its echo, and each restart adds one


class Past(NamedTuple):
    """Events in order, and what is to be said about their being complete, if anything."""

    events: list[Event]
    caveat: str = ""


class Recall:
    """Finds the events that explain something; the moves of each address only for an address."""

    def __init__(self, journal: Journal, patience: float = PATIENCE) -> None:
        self._journal = journal
        self._patience = patience

    async def group(self, name: str) -> Past:
        """The last events of a group."""
        return await self._last(name, Query(RECENT, group=name, without=IN_BULK))

    async def interface(self, name: str) -> Past:
        """The last events of an interface, moves from and to it among them."""
        return await self._last(name, Query(RECENT, interface=name, without=IN_BULK))

    async def address(self, key: str) -> Past:
        """The last events of an address, its last move, and what caused that."""
        try:
            async with asyncio.timeout(self._patience):
                return Past(await self._of_address(key))
        except TimeoutError:
            return Past(self._journal.about(key)[-RECENT:], CAVEAT)

    async def _last(self, name: str, query: Query) -> Past:
        try:
            async with asyncio.timeout(self._patience):
                return Past(await self._journal.history.select(query))
        except TimeoutError:
            told = [e for e in self._journal.about(name) if e.decision.kind not in query.without]
            return Past(told[-RECENT:], CAVEAT)

    async def _of_address(self, key: str) -> list[Event]:
        history = self._journal.history
        events = await history.select(Query(RECENT, address=key))
        moves = await history.select(Query(1, address=key, kinds=(Kind.ADDRESS_MOVED,)))
        for move in moves:
            interface = _struck(move.decision)
            if interface:
                before = Query(_LOOK_BACK, interface=interface, kinds=_CAUSES, before=move.id)
                causes = [e for e in await history.select(before) if not _echoes(e.decision)]
                events += causes[-1:]
        return sorted({event.id: event for event in events + moves}.values(), key=lambda e: e.id)


def _struck(move: Decision) -> str:
    """The interface of which something made the address move; "" if it is none's fault."""
    if move.reason is Reason.FAILBACK:
        return str(move.detail.get("target", ""))
    return str(move.detail.get("source", "")) if move.reason in _LEFT else ""


def _echoes(event: Decision) -> bool:
    """Whether it only says that what somebody asked for is so; who asked, another one says."""
    return event.kind is Kind.INTERFACE_STATE and event.reason is Reason.REQUESTED
