"""What operators and programs may ask for: offline, online, hold, release, and the refusals.

A decision is taken without waiting (nothing can change under it), stored, and then carried out by
the group's runner; the answer is given when the runner has settled or a limit has passed.
Who asked for it decides: what a person did by hand outranks the remediator (DESIGN 4, invariant 6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec.structs import replace

from ipmp.daemon.drain import LIMIT_SECONDS, Verdict
from ipmp.daemon.runner import Runner
from ipmp.daemon.staying import what_stays
from ipmp.decision import Decision, Kind, Reason, Refusal
from ipmp.group import refusal
from ipmp.intent import Intent
from ipmp.model import (
    HoldIntent,
    OfflineIntent,
    OperationRequest,
    OperationResult,
)

AUTOMATION = "remediator"  # actors whose name begins so are programs, not people

#: Longest wait for an operation, besides the time that paced announcements take.
SETTLE_SECONDS = LIMIT_SECONDS + 8.0
LOOK_SECONDS = 0.1  # at what waits to be tried again


class Desk(Protocol):
    """What operations need of the daemon."""

    intent: Intent

    @property
    def runners(self) -> Mapping[str, Runner]:
        """The groups by name."""

    def wall(self) -> float:
        """Unix time."""

    def save_intent(self) -> None:
        """Write the intent, durably."""

    def journal_emit(self, decision: Decision) -> None:
        """Log and publish a decision."""

    def exists(self, interface: str) -> bool:
        """Whether this host has such an interface."""


async def operate(
    desk: Desk, operation: str, interface: str, request: OperationRequest, actor: str
) -> OperationResult:
    """Carry out one operation; raises Refusal, in which case nothing has changed."""
    runner = _runner(desk, interface)
    handler: Callable[[_Call], OperationResult] = {
        "offline": _offline,
        "online": _online,
        "hold": _hold,
        "release": _release,
    }[operation]
    if operation in ("offline", "online"):
        for decision in runner.members.observe():
            desk.journal_emit(decision)
    call = _Call(desk, runner, interface, request, actor)
    result = handler(call)
    if operation == "offline":
        warning = asyncio.create_task(_warnings(call))
        result = await _carried_out(call, result)
        return replace(result, warnings=(*await warning, *result.warnings))
    return await _carried_out(call, result)


async def _carried_out(call: _Call, result: OperationResult) -> OperationResult:
    if call.request.dry_run or result.operation in (Kind.HOLD, Kind.RELEASE):
        return result
    began = call.runner.context.monotonic()
    call.runner.wake()
    result = await _settled(call.runner, result, began)
    # What the kernel has refused since is still where it was, and is tried again.
    waiting = tuple(d.sentence() for d in call.runner.executor.setbacks.after(began))
    return replace(result, verified=result.verified and not waiting, warnings=waiting)


async def _warnings(call: _Call) -> tuple[str, ...]:
    """What will not follow the addresses; the history is told before they have left."""
    link = call.runner.snapshot.links.get(call.interface)
    decisions = await what_stays(call.runner.config.name, link)
    if not call.request.dry_run:
        for decision in decisions:
            call.desk.journal_emit(decision)
    return tuple(decision.sentence() for decision in decisions)


class _Call:
    """One operation with all that it needs."""

    def __init__(
        self, desk: Desk, runner: Runner, interface: str, request: OperationRequest, actor: str
    ) -> None:
        self.desk = desk
        self.runner = runner
        self.interface = interface
        self.request = request
        self.actor = actor
        self.automatic = actor.startswith(AUTOMATION)

    def refuse(self, reason: Reason, **detail: str) -> Refusal:
        group = self.runner.members.group.name
        facts: dict[str, str | int | float] = {**detail}
        decision = Decision(
            Kind.REFUSED, reason, group, interface=self.interface, actor=self.actor, detail=facts
        )
        return self.refused(decision)

    def refused(self, decision: Decision) -> Refusal:
        self.desk.journal_emit(decision)
        return Refusal(decision)

    def done(self, kind: Kind, moved: tuple[str, ...] = ()) -> OperationResult:
        """Store and publish what was decided, unless it is only a rehearsal."""
        why = f"({self.request.reason})" if self.request.reason else ""
        decision = Decision(
            kind,
            Reason.REMEDIATION if self.automatic else Reason.OPERATOR,
            self.runner.members.group.name,
            interface=self.interface,
            actor=self.actor,
            detail={"why": why},
        )
        if not self.request.dry_run:
            self.desk.save_intent()
            self.desk.journal_emit(decision)
        return OperationResult(
            interface=self.interface,
            operation=str(kind),
            changed=not self.request.dry_run,
            dry_run=self.request.dry_run,
            moved=moved,
            sentence=decision.sentence(),
        )


def _offline(call: _Call) -> OperationResult:
    desk, name = call.desk, call.interface
    if name in desk.intent.offline:
        raise call.refuse(Reason.ALREADY_OFFLINE)
    _respect_hold(call)
    refused = refusal(call.runner.members.group, name)
    if refused is not None:
        raise call.refused(refused)
    held = call.runner.snapshot.addresses.get(name, {})
    moved = tuple(key for key in held if key in call.runner.homes.addresses)
    if not call.request.dry_run:
        desk.intent.offline[name] = OfflineIntent(
            reason=call.request.reason,
            actor=call.actor,
            since=desk.wall(),
            request_id=call.request.request_id,
        )
    return call.done(Kind.OFFLINE, moved)


def _online(call: _Call) -> OperationResult:
    desk, name = call.desk, call.interface
    intent, twin = desk.intent.offline.get(name), call.runner.members.twin(name)
    if intent is None and twin is None:
        raise call.refuse(Reason.NOT_OFFLINE)
    if intent is None or twin is not None:
        raise call.refuse(Reason.DUPLICATE_HWADDR, name=str(twin))
    _respect_hold(call)
    if call.automatic and not intent.actor.startswith(AUTOMATION):
        raise call.refuse(Reason.HELD, name=intent.actor, why="who took it offline")
    moved = tuple(
        key for key, address in call.runner.homes.addresses.items() if address.home == name
    )
    if not call.request.dry_run:
        del desk.intent.offline[name]
    return call.done(Kind.ONLINE, moved if call.runner.config.failback else ())


def _respect_hold(call: _Call) -> None:
    hold = call.desk.intent.holds.get(call.interface)
    if call.automatic and hold is not None:
        raise call.refuse(Reason.HELD, name=hold.actor, why=f"({hold.reason})")


def _hold(call: _Call) -> OperationResult:
    if not call.request.reason:
        raise call.refuse(Reason.INVALID, why="a hold needs a reason")
    if not call.request.dry_run:
        call.desk.intent.holds[call.interface] = HoldIntent(
            call.request.reason, call.actor, call.desk.wall()
        )
    return call.done(Kind.HOLD)


def _release(call: _Call) -> OperationResult:
    if call.automatic or call.interface not in call.desk.intent.holds:
        raise call.refuse(Reason.INVALID, why="it is not held, or not by you to release")
    if not call.request.dry_run:
        del call.desk.intent.holds[call.interface]
    return call.done(Kind.RELEASE)


def _runner(desk: Desk, interface: str) -> Runner:
    for runner in desk.runners.values():
        if interface in runner.config.members:
            return runner
    # The name of a group is that of its IPMP interface, which is no member (ipmp-semantics 1.1).
    known = interface in desk.runners or desk.exists(interface)
    reason = Reason.NOT_IN_GROUP if known else Reason.UNKNOWN_INTERFACE
    raise Refusal(Decision(Kind.REFUSED, reason, interface=interface))


async def _at_rest(runner: Runner, began: float) -> None:
    """Wait until nothing is under way, and nothing of it waits to be tried again."""
    await runner.settled()
    while runner.executor.setbacks.after(began):
        await asyncio.sleep(LOOK_SECONDS)
        await runner.settled()


async def _settled(runner: Runner, result: OperationResult, began: float) -> OperationResult:
    """Wait for the runner and say whether the interface is quiet, or the addresses are home."""
    paced = len(result.moved) / runner.config.announce.rate
    try:
        async with asyncio.timeout(SETTLE_SECONDS + paced):
            await _at_rest(runner, began)
    except TimeoutError:
        return replace(result, verified=False)
    if result.operation == Kind.OFFLINE:
        quiet = runner.drains.verdict(result.interface) is not Verdict.STILL_RECEIVING
        left = any(k in runner.snapshot.addresses.get(result.interface, {}) for k in result.moved)
        return replace(result, verified=quiet and not left)
    members = runner.members.group.members  # a reload may have taken it out meanwhile
    works = any(m.name == result.interface and m.functioning for m in members)
    return replace(result, verified=works)
