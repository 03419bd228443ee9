"""Ask the daemon for one operation, and store what came of it."""

from __future__ import annotations

import time

import msgspec

from ipmp.model import OperationRequest, OperationResult, ProblemCode, Status
from ipmp_remediator.budget import Slots
from ipmp_remediator.daemon_client import (
    DaemonClient,
    DaemonError,
    DaemonUnreachableError,
    OperationRefusedError,
)
from ipmp_remediator.decision import Action, Decision, Kind, Reason
from ipmp_remediator.journal import Journal
from ipmp_remediator.metrics import Metrics
from ipmp_remediator.planner import refused
from ipmp_remediator.state import Change, Drain, Episode, Memory, Operation
from ipmp_remediator.store import Store
from ipmp_remediator.verify import verify

ACTOR = "remediator"
_BACKOFF_FIRST, _BACKOFF_MOST = 0.5, 30.0
_SLOT_MOST = 120.0  # ten thousand hosts that wait for slots ask less than a hundred times a second

# What a refusal of the daemon is called here.
_REFUSALS = {
    ProblemCode.MINIMUM_REDUNDANCY: Reason.MIN_USABLE,
    ProblemCode.UNKNOWN_INTERFACE: Reason.UNKNOWN_OBJECT,
    ProblemCode.NOT_IN_GROUP: Reason.NOT_IN_GROUP,
    ProblemCode.DUPLICATE_HWADDR: Reason.DUPLICATE_HWADDR,
    ProblemCode.HELD: Reason.HELD,
    ProblemCode.BUSY: Reason.BUSY,
}
_CHANGED_MEANWHILE = (ProblemCode.ALREADY_OFFLINE, ProblemCode.NOT_OFFLINE)


class _Rest(msgspec.Struct, frozen=True):
    """Why an interface is not asked about for a while."""

    decision: Decision
    tries: int
    end: float  # monotonic


class Operations:
    """Carries out what was planned; interfaces whose operation was refused rest for a while."""

    def __init__(
        self,
        store: Store,
        daemon: DaemonClient,
        metrics: Metrics,
        journal: Journal,
        slots: Slots,
    ) -> None:
        self._slots = slots
        self._store = store
        self._daemon = daemon
        self._metrics = metrics
        self._journal = journal
        self._rests: dict[str, _Rest] = {}  # by interface

    def resting(self, memory: Memory) -> dict[str, Decision]:
        """Return the interfaces that are not asked about right now, and why.

        A rest ends with the alert that it was for: another one is another question.
        """
        wanted = memory.wanted()
        self._rests = {i: r for i, r in self._rests.items() if r.decision.fingerprint in wanted}
        return {i: r.decision for i, r in self._rests.items() if r.end > time.monotonic()}

    async def carry_out(
        self, operation: Operation, about: Episode | Drain, status: Status, *, dry_run: bool
    ) -> None:
        """Store that the daemon is about to be asked, ask it, and store its answer.

        A drain that has no slot of the budget yet takes one, and is carried out when it is planned
        once more.
        """
        if dry_run:
            await self._rehearse(operation, about)
        elif not self._slots.suffice(operation):
            await self._take_slot(operation, about)
        elif await self._store.begin(operation):
            await self._ask(operation, about, status)

    async def _take_slot(self, operation: Operation, about: Episode | Drain) -> None:
        if refusal := await self._slots.take(operation):
            decision = operation.decide(Kind.REFUSED, refusal.reason, why=refusal.why)
            await self._record(about, decision)
            self._rest(decision, _SLOT_MOST)

    async def resume(self, operation: Operation, status: Status, *, dry_run: bool) -> bool:
        """Take up an operation whose answer is not known; tell whether anything was done."""
        rest = self._rests.get(operation.interface)
        if rest and rest.end > time.monotonic():
            return False
        interface = status.interface(operation.interface)
        offline = interface.offline if interface else None
        drain = operation.action is Action.DRAIN
        if drain and offline and offline.request_id == operation.request_id:
            await self._found_done(operation, Kind.DRAINED)
        elif not drain and interface and offline is None:
            await self._found_done(operation, Kind.UNDRAINED)
        elif dry_run:
            self._rest(operation.decide(Kind.REFUSED, Reason.DRY_RUN))
            return False
        else:
            await self._ask(operation, None, status)
        return True

    async def _ask(
        self, operation: Operation, about: Episode | Drain | None, before: Status
    ) -> None:
        request = OperationRequest(
            reason=_reason(operation), request_id=operation.request_id, actor=ACTOR
        )
        try:
            with self._metrics.in_progress.track_inprogress():
                result = await self._daemon.operate(operation.action, operation.interface, request)
        except DaemonUnreachableError as error:  # it has heard nothing
            decision = operation.decide(Kind.WAITING, Reason.DAEMON_UNREACHABLE, why=str(error))
            await self._refuse(operation, about, decision)
        except DaemonError as error:  # only its state will tell what it has done
            decision = operation.decide(Kind.WAITING, Reason.DAEMON_ERROR, why=str(error))
            await self._record(about, decision)
            self._rest(decision)
        except OperationRefusedError as refusal:
            await self._refused(operation, about, refusal)
        else:
            await self._finish(operation, result, before)

    async def _finish(self, operation: Operation, result: OperationResult, before: Status) -> None:
        try:
            after = await self._daemon.status()
        except (DaemonUnreachableError, DaemonError):
            after = None
        decisions, undo = verify(operation, result, before, after)
        await self._store.finish(operation, decisions, undo, time.time())
        self._rests.pop(operation.interface, None)
        for decision in decisions:
            self._journal.tell(decision)

    async def _found_done(self, operation: Operation, kind: Kind) -> None:
        decision = operation.decide(kind, why="found done after an interruption")
        await self._store.finish(operation, [decision], None, time.time())
        self._journal.tell(decision)

    async def _refused(
        self,
        operation: Operation,
        about: Episode | Drain | None,
        refusal: OperationRefusedError,
    ) -> None:
        if refusal.code in _CHANGED_MEANWHILE:  # somebody came between our look and our question
            await self._store.refuse(operation, (), time.time())
        elif reason := _REFUSALS.get(refusal.code):
            decision = operation.decide(Kind.REFUSED, reason, why=refusal.detail)
            await self._refuse(operation, about, decision)
        else:
            decision = operation.decide(Kind.FAILED, Reason.INVALID, why=refusal.detail)
            await self._store.fail(operation, decision, time.time())
            self._rest(decision)
            self._journal.tell(decision)

    async def _rehearse(self, operation: Operation, about: Episode | Drain) -> None:
        """Dry run: the daemon is asked what it would do, and that is recorded once."""
        request = OperationRequest(reason=_reason(operation), dry_run=True, actor=ACTOR)
        try:
            result = await self._daemon.operate(operation.action, operation.interface, request)
            decision = operation.decide(Kind.REFUSED, Reason.DRY_RUN, why=result.sentence)
        except OperationRefusedError as refusal:
            reason = _REFUSALS.get(refusal.code, Reason.INVALID)
            decision = operation.decide(Kind.REFUSED, reason, why=refusal.detail)
        except (DaemonUnreachableError, DaemonError) as error:
            reason = Reason.DAEMON_ERROR
            decision = operation.decide(Kind.WAITING, reason, why=str(error))
        await self._record(about, decision)
        self._rest(decision)

    async def _refuse(
        self, operation: Operation, about: Episode | Drain | None, decision: Decision
    ) -> None:
        change = refused(about, decision) if about else Change(decision)
        recorded = await self._store.refuse(operation, [change] if change else (), time.time())
        self._rest(decision)
        for told in recorded:
            self._journal.tell(told)

    async def _record(self, about: Episode | Drain | None, decision: Decision) -> None:
        change = refused(about, decision) if about else None
        for told in await self._store.apply([change] if change else (), time.time()):
            self._journal.tell(told)

    def _rest(self, decision: Decision, most: float = _BACKOFF_MOST) -> None:
        before = self._rests.get(decision.interface)
        tries = before.tries if before else 0
        delay = min(most, _BACKOFF_FIRST * 2.0**tries)
        self._rests[decision.interface] = _Rest(
            decision, min(tries + 1, 10), time.monotonic() + delay
        )


def _reason(operation: Operation) -> str:
    """Say why in one line that the daemon accepts, whatever the alert is called."""
    name = "".join(c if c.isprintable() else "?" for c in operation.alertname[:200])
    return f"alert {name} ({operation.fingerprint}): {operation.reason}"
