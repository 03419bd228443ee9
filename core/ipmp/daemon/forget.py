"""`ipmp forget`: an operator retires an address that was adopted, while the daemon runs.

Removing it by hand does not do: a data address that somebody removes is put back.
"""

from __future__ import annotations

from msgspec.structs import replace

from ipmp.daemon.operations import Desk
from ipmp.daemon.runner import Runner
from ipmp.decision import Decision, Kind, Reason, Refusal
from ipmp.model import OperationRequest, OperationResult
from ipmp.world import DataAddress, address_of


async def forget(desk: Desk, name: str, request: OperationRequest, actor: str) -> OperationResult:
    """Let a group give an address up; raises Refusal, in which case nothing has changed."""
    try:
        runner, address = _find(desk, name)
    except Refusal as refusal:
        desk.journal_emit(replace(refusal.decision, actor=actor))
        raise
    holder = next(iter(runner.snapshot.holders(address.key)), "")
    decision = Decision(
        Kind.ADDRESS_RETIRED,
        Reason.OPERATOR,
        runner.config.name,
        interface=holder,
        address=address.key,
        actor=actor,
        detail={
            "value": f" and removed from {holder}" if holder else "",
            "why": f"({request.reason})" if request.reason else "",
        },
    )
    result = OperationResult(
        interface=holder,
        operation="forget",
        changed=not request.dry_run,
        dry_run=request.dry_run,
        sentence=decision.sentence(),
    )
    if request.dry_run:
        return result
    runner.retirement.ask({address.key: decision})
    runner.wake()
    return replace(result, verified=await runner.retirement.finished())


def _find(desk: Desk, name: str) -> tuple[Runner, DataAddress]:
    """The adopted address that is meant, with or without prefix length, and whose it is."""
    found = [
        (runner, address)
        for runner in desk.runners.values()
        for address in runner.homes.addresses.values()
        if name in (address.key, address_of(address.key))
    ]
    if len(found) > 1:
        keys = ", ".join(address.key for _, address in found)
        raise _refusal(Reason.INVALID, name, why=f"it is not unique, say which of {keys}")
    if not found:
        raise _refusal(Reason.UNKNOWN_ADDRESS, name)
    runner, address = found[0]
    if not address.adopted:
        raise _refusal(Reason.DECLARED, address.key, runner.config.name)
    return runner, address


def _refusal(reason: Reason, address: str, group: str = "", why: str = "") -> Refusal:
    return Refusal(Decision(Kind.REFUSED, reason, group, address=address, detail={"why": why}))
