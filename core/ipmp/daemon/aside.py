"""Runs pure functions aside when they have much to do, so that the loop goes on meanwhile.

Probes, carrier polls and announcements must not wait for the planning of ten thousand addresses. A
thread helps although Python runs one at a time: it gives way after the switch interval.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

#: From so many addresses on a function is worth a thread (which costs about 0.1 ms).
MANY = 2000

#: Seconds after which a thread that computes gives way to the loop.
SWITCH_SECONDS = 0.0001

P = ParamSpec("P")
T = TypeVar("T")

sys.setswitchinterval(SWITCH_SECONDS)


async def aside(size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a pure function here, or in a thread when `size` says that it will take a while."""
    if size < MANY:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)
