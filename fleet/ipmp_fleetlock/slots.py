"""Take, give back and release slots: each one compare-and-swap of the group's key in etcd.

What was last seen of a group is remembered, so that one transaction is enough: it writes if etcd
still has what was seen, and otherwise answers with what it has, to try again on. Nothing is ever
answered from memory alone. Any number of servers may do this at once.

Taking a slot always writes, also for who holds one already: the new revision makes a give-back of
that client fail that was sent earlier and is still on its way, for example to an etcd that hung.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable
from enum import Enum, auto

from ipmp_fleetlock.etcd import EtcdClient, Stored, StoreError
from ipmp_fleetlock.semaphore import DamagedError, Semaphore, decode, encode, take

DEADLINE = 5.0  # seconds for one request, all tries together
_PAUSE = 0.05  # the most that is waited after another server was faster

# From what is stored to what shall be; None: nothing is to be written.
_Change = Callable[[Semaphore], Semaphore | None]


class Outcome(Enum):
    """What became of a request."""

    DONE = auto()
    FULL = auto()
    NOT_A_HOLDER = auto()


class Slots:
    """The slots of all groups, in etcd."""

    def __init__(self, etcd: EtcdClient, prefix: str) -> None:
        self._etcd = etcd
        self._prefix = prefix
        self._seen: dict[str, Stored] = {}
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def take(self, group: str, client: str, slots: int) -> Outcome:
        """Take a slot for the client, who may have it already; raise StoreError."""
        written = await self._change(group, lambda s: take(s, client, slots, time.time()))
        return Outcome.DONE if written else Outcome.FULL

    async def give_back(self, group: str, client: str) -> Outcome:
        """Give the client's slot back; raise StoreError."""
        written = await self._change(
            group, lambda s: s.without(client) if s.holds(client) else None
        )
        return Outcome.DONE if written else Outcome.NOT_A_HOLDER

    async def groups(self) -> dict[str, Semaphore]:
        """Return every group that has been used; raise StoreError."""
        found = {}
        for group, value in (await self._etcd.all(self._prefix)).items():
            found[group] = self._read(group, value)
        return found

    async def _change(self, group: str, change: _Change) -> bool:
        """Carry a change out; tell whether anything was to be written."""
        try:
            async with asyncio.timeout(DEADLINE), self._turns[group]:
                return await self._swap(group, change)
        except TimeoutError as error:
            raise StoreError(f"group {group} could not be changed in {DEADLINE:g} s") from error

    async def _swap(self, group: str, change: _Change) -> bool:
        key = self._prefix + group
        seen = self._seen.get(group, Stored())
        while True:
            wanted = change(self._read(group, seen.value))
            value = None if wanted is None else encode(wanted)
            same, seen = await self._etcd.swap(key, seen, value)
            self._seen[group] = seen
            if same:
                return wanted is not None
            await asyncio.sleep(random.uniform(0, _PAUSE))  # noqa: S311 (jitter)

    def _read(self, group: str, value: bytes) -> Semaphore:
        if not value:
            return Semaphore()
        try:
            return decode(value)
        except DamagedError as error:
            raise StoreError(
                f"{self._prefix}{group} in etcd is damaged ({error}); put it right with etcdctl"
            ) from error
