"""Kernels that refuse, or agree and do nothing: the rest goes on, and it is told."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from ipmp.decision import Reason
from ipmp.kernel.protocol import Failure
from ipmp.model import OperationRequest, OperationResult
from ipmp.plan import DeleteAddress, ReplaceRoute, Step
from tests.simulation import routes
from tests.simulation.payloads import route_payload
from tests.simulation.scenario import STATIC
from tests.simulation.test_found import ROUTE, A, B, at_step, carrier, holders, host, plan
from tests.simulation.world import World


def without_effect(world: World, monkeypatch: pytest.MonkeyPatch, wanted: Step) -> list[float]:
    """The kernel takes this step and does nothing; returns when it was told."""
    assert world.life is not None
    connection, told = world.life.connection, list[float]()
    send = connection._send

    def do_nothing(step: Step, message: bytes) -> Iterator[Failure]:
        if step == wanted:
            told.append(world.clock.now)
            return iter(())
        return send(step, message)

    monkeypatch.setattr(connection, "_send", do_nothing)
    return told


def reasons(world: World, reason: Reason) -> int:
    assert world.life is not None
    assert world.life.daemon is not None
    return sum(e.decision.reason is reason for e in world.life.daemon.journal.after(0))


def routed(world: World) -> int:
    """Put a route on n00 and return its index."""
    index = world.kernel.names["n00"].ifindex
    raw = route_payload(ROUTE, index, gateway="192.0.2.1", protocol=STATIC)
    routes.new(world.kernel, raw, 0)
    world.settle()
    return index


def leaves(world: World) -> int:
    """The index of the interface through which the route leaves."""
    (entry,) = world.kernel.tables[ROUTE]
    return entry.ifindex


def test_a_step_that_changes_nothing_does_not_keep_the_group_busy_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with host(plan("n00", "n01"), {"n00": [A], "n01": [B]}) as world:
        carrier(world, "n00", False)
        world.settle()
        with monkeypatch.context() as patched:
            told = without_effect(world, patched, DeleteAddress(A, "n01"))  # a copy of ours
            carrier(world, "n00", True)
            world.run(1.0)
            assert 3 < len(told) < 20, "it tried, and gave it a rest"
            told.clear()
            world.run(60.0)
            assert 10 <= len(told) <= 13, "once in 5 s"
            assert reasons(world, Reason.NO_EFFECT) == 1
            assert "n00" in holders(world, A), "the rest went on"
        world.settle()
        assert holders(world, A) == ["n00"]


def drained(world: World, seconds: float) -> OperationResult | None:
    """What the drain of n00 is answered within so many seconds."""
    assert world.life is not None
    daemon, answers = world.life.daemon, list[OperationResult]()
    assert daemon is not None
    operate = daemon.operate

    async def recorded(
        operation: str, interface: str, request: OperationRequest, actor: str
    ) -> OperationResult:
        answers.append(await operate(operation, interface, request, actor))
        return answers[-1]

    with patch.object(daemon, "operate", recorded):
        world.operate("offline", "n00", "root")
        world.run(seconds)
    return answers[0] if answers else None


@pytest.mark.parametrize("refusals", [1, 1000])
def test_a_drain_waits_for_a_route_that_was_refused_and_else_says_so(
    monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    with host(plan("n00", "n01"), {"n00": [A], "n01": [B]}) as world:
        index, left = routed(world), refusals

        def refuses(step: Step) -> bool:
            nonlocal left
            left -= isinstance(step, ReplaceRoute)
            return isinstance(step, ReplaceRoute) and left >= 0

        at_step(world, monkeypatch, refuses)
        answer = drained(world, 30.0)
        assert answer is not None
        moved = leaves(world) != index
        assert answer.verified == moved == (refusals == 1)
        assert bool(answer.warnings) == (refusals > 1)
        assert all("the kernel refused to replace" in warning for warning in answer.warnings)
        monkeypatch.undo()
        world.settle()
        assert leaves(world) != index
