"""What the API asks of the daemon."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from typing import Protocol

from ipmp.history import History
from ipmp.model import Event, OperationRequest, OperationResult, ProbeReport, Status


class Controller(Protocol):
    """The daemon as the API sees it."""

    history: History

    def status(self) -> Status:
        """Return a snapshot; the same object as long as nothing has changed."""

    def events_after(self, id: int) -> list[Event]:
        """Return the events after number `id`, of the last ones that are kept in memory."""

    def subscribe(self) -> AbstractContextManager[asyncio.Queue[Event]]:
        """Open a bounded queue of all events from now on, numbered without a gap.

        What does not fit is lost, which a reader sees by the gap.
        """

    def probes(self) -> AbstractContextManager[asyncio.Queue[ProbeReport]]:
        """Open a bounded queue of all probes that are answered or lost from now on."""

    async def operate(
        self, operation: str, subject: str, request: OperationRequest, actor: str
    ) -> OperationResult:
        """Carry out offline, online, hold or release of an interface, or forget an address.

        Raises `ipmp.decision.Refusal`.
        """

    async def pause(self, request: OperationRequest, actor: str) -> None:
        """Pause remediation on this host."""

    async def resume(self, request: OperationRequest, actor: str) -> None:
        """Let remediation act again."""

    async def reload(self, actor: str) -> int:
        """Read the configuration again and return its generation; raises ConfigError."""

    async def explain(self, name: str) -> list[str] | None:
        """Return sentences about a group, interface or address; None when nothing has the name."""
