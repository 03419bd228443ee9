"""Who follows what happens: bounded queues, so that a slow reader harms only itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

LAG = 1000  # what a slow follower may lag behind before the oldest is dropped

T = TypeVar("T")


class Followers(Generic[T]):
    """The followers of one kind of thing."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[T]] = set()

    def __bool__(self) -> bool:
        return bool(self._queues)

    def tell(self, item: T) -> None:
        """Give it to every follower."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(item)

    @contextmanager
    def follow(self) -> Iterator[asyncio.Queue[T]]:
        """A queue that receives everything from now on."""
        queue: asyncio.Queue[T] = asyncio.Queue(LAG)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)
