"""Decisions become events: logged, numbered, kept in memory for followers, stored in the history.

Nothing here waits for a disk: the history has a writer of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import structlog

from ipmp.daemon.followers import Followers
from ipmp.decision import IN_BULK, Decision, Kind, Reason
from ipmp.history import History
from ipmp.model import Event, InterfaceState

RING = 1000  # events kept in memory

log: structlog.stdlib.BoundLogger = structlog.get_logger("mpathd")

_WARNINGS = {Kind.STAYS, Kind.FIGHTING, Kind.MISMATCH}
_ERRORS = {
    (Kind.INTERFACE_STATE, Reason.LINK_DOWN),
    (Kind.GROUP_STATE, Reason.NO_USABLE_MEMBER),
    (Kind.REFUSED, Reason.KERNEL_REFUSED),
    (Kind.REFUSED, Reason.NO_EFFECT),
    (Kind.CONFIG, Reason.RELOAD_FAILED),
}


class Journal:
    """The decisions of this daemon, newest last."""

    def __init__(self, history: History, wall: Callable[[], float]) -> None:
        self.history = history
        self._wall = wall
        self._last_id = history.last_id
        self._ring: deque[Event] = deque(maxlen=RING)
        self._followers = Followers[Event]()

    def emit(self, decisions: Iterable[Decision]) -> None:
        """Log and publish decisions."""
        for decision in decisions:
            self._last_id += 1
            event = Event(self._last_id, self._wall(), decision, decision.sentence())
            self._ring.append(event)
            self.history.append(event)
            self._followers.tell(event)
            _log(decision, event.sentence)

    def after(self, identifier: int) -> list[Event]:
        """Events still in memory that are newer than `identifier`."""
        return [event for event in self._ring if event.id > identifier]

    def about(self, name: str) -> list[Event]:
        """Events still in memory about an interface, address or group."""
        return [event for event in self._ring if name in _subjects(event.decision)]

    def follow(self) -> AbstractContextManager[asyncio.Queue[Event]]:
        """A queue that receives every event from now on."""
        return self._followers.follow()


def _subjects(decision: Decision) -> tuple[str, ...]:
    address = decision.address
    return *decision.interfaces, decision.group, address, address.partition("/")[0]


def _log(decision: Decision, sentence: str) -> None:
    """One line a decision; what may come in thousands only at debug level.

    The failure of an interface gets Solaris' line besides: scripts look for it.
    """
    fields = {
        key: value
        for key, value in (
            ("reason", str(decision.reason)),
            ("group", decision.group),
            ("interface", decision.interface),
            ("address", decision.address),
        )
        if value
    }
    if decision.kind in IN_BULK:
        log.debug(sentence, kind=str(decision.kind), **fields)
    elif (decision.kind, decision.reason) in _ERRORS:
        log.error(sentence, kind=str(decision.kind), **fields)
    elif decision.kind in _WARNINGS and decision.reason is not Reason.CALM:
        log.warning(sentence, kind=str(decision.kind), **fields)
    else:
        log.info(sentence, kind=str(decision.kind), **fields)
    failure = _failure(decision)
    if failure and failure not in sentence:
        log.error(failure)


def _failure(decision: Decision) -> str:
    """Solaris' line for an interface that has failed, whatever it failed of; "" for all else."""
    state, before = decision.detail.get("state"), decision.detail.get("previous")
    fails = decision.kind is Kind.INTERFACE_STATE and state == InterfaceState.FAILED != before
    if not fails:
        return ""
    return f"IP interface failure detected on {decision.interface} of group {decision.group}"
