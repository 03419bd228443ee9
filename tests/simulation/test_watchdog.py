"""A pass that does not get on is what the watchdog is for; one that takes long is not."""

from __future__ import annotations

import asyncio
import errno

import pytest

from ipmp.world import Link, Snapshot
from tests.simulation.test_found import A, B, host, plan
from tests.simulation.world import World

PATIENCE = 12.0  # seconds, longer than from one full reading to the next


def stuck(world: World, seconds: float) -> list[str]:
    assert world.life is not None
    assert world.life.daemon is not None
    return world.life.daemon.stuck(seconds)


async def never_answered(links: dict[str, Link]) -> Snapshot:
    await asyncio.Event().wait()
    raise AssertionError


async def always_refused(links: dict[str, Link]) -> Snapshot:
    raise OSError(errno.ENOBUFS, "No buffer space available")


@pytest.mark.parametrize("reading", [never_answered, always_refused])
def test_a_reading_that_never_succeeds(monkeypatch: pytest.MonkeyPatch, reading: object) -> None:
    with host(plan("n00", "n01"), {"n00": [A], "n01": [B]}) as world:
        world.run(PATIENCE)
        assert stuck(world, 1.0) == []
        assert world.life is not None
        with monkeypatch.context() as patch:
            patch.setattr(world.life.connection, "snapshot", reading)
            world.run(2 * PATIENCE)
            (said,) = stuck(world, PATIENCE)
            assert said.startswith("group ipmp0 has not got on for ")


def test_a_reading_that_succeeds_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with host(plan("n00", "n01"), {"n00": [A], "n01": [B]}) as world:
        assert world.life is not None
        with monkeypatch.context() as patch:
            patch.setattr(world.life.connection, "snapshot", always_refused)
            world.run(PATIENCE)
            assert stuck(world, 1.0)
        world.run(PATIENCE)
        assert stuck(world, 1.0) == []
