"""Waiting in tests: poll with a deadline, never sleep and then assert."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def patience(seconds: float) -> float:
    """Return `seconds` times TIMEOUT_MULTIPLIER (environment), for slow machines."""
    return seconds * float(os.environ.get("TIMEOUT_MULTIPLIER", "1"))


def eventually(condition: Callable[[], T], timeout: float = 5.0, interval: float = 0.01) -> T:
    """Call `condition` until it returns something true, and return that.

    It may also say "not yet" by an AssertionError; after `timeout` seconds the last one is raised.
    """
    deadline = time.monotonic() + patience(timeout)
    while True:
        try:
            found = condition()
            if found:
                return found
            failure = AssertionError(f"still {found!r} after {patience(timeout):g} s")
        except AssertionError as not_yet:
            failure = not_yet
        if time.monotonic() > deadline:
            raise failure
        time.sleep(interval)


async def eventually_async(
    condition: Callable[[], bool], timeout: float = 5.0, interval: float = 0.005
) -> None:
    """Let the loop run until `condition` is true."""
    async with asyncio.timeout(patience(timeout)):
        while not condition():
            await asyncio.sleep(interval)
