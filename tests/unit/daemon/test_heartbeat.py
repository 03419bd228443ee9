"""The heartbeat: it goes on until cancelled, tells how long the loop stood still, fails aloud."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from ipmp.daemon.heartbeat import SECONDS, Heartbeat
from tests.support.wait import eventually_async


async def test_it_beats_and_notes_how_long_the_loop_stood_still() -> None:
    beats: list[float] = []
    heartbeat = Heartbeat(time.monotonic, lambda: beats.append(time.monotonic()))
    task = asyncio.create_task(heartbeat.run())
    await eventually_async(lambda: len(beats) >= 2)
    time.sleep(3 * SECONDS)  # the loop stands still
    await eventually_async(lambda: heartbeat.lag > SECONDS)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    count = len(beats)
    await asyncio.sleep(2 * SECONDS)  # in which it would beat again
    assert len(beats) == count


async def test_the_lag_is_that_of_the_last_minute() -> None:
    now = 1000.0
    heartbeat = Heartbeat(lambda: now, lambda: None)
    heartbeat._due = now - 3.0
    heartbeat._tick()
    assert heartbeat.lag == 3.0
    for _ in range(61):
        now += 1.0
        heartbeat._due = now
        heartbeat._tick()
    assert heartbeat.lag == 0.0


async def test_what_a_beat_raises_ends_it() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(Heartbeat(time.monotonic, broken).run(), 5)
