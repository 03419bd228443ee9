"""The slots of one group: who holds them, and what a request makes of that. Pure.

The number of slots is no part of it: the configuration says it, so that it can be changed while
slots are held. When it falls below the number of holders nobody loses a slot; nobody gets one.
There is no expiry: an interface stays drained when its remediator dies, and so does its slot.
"""

from __future__ import annotations

import msgspec

from ipmp.fleetlock.values import Holder


class DamagedError(Exception):
    """What is stored is no semaphore; the message says why."""


class Semaphore(msgspec.Struct, frozen=True):
    """The holders of a group's slots, the longest first."""

    holders: tuple[Holder, ...] = ()

    def holds(self, client: str) -> bool:
        """Tell whether the client has a slot."""
        return any(holder.id == client for holder in self.holders)

    def with_holder(self, client: str, now: float) -> Semaphore:
        """Return it with one more holder."""
        return Semaphore((*self.holders, Holder(id=client, since=now)))

    def without(self, client: str) -> Semaphore:
        """Return it without this holder."""
        return Semaphore(tuple(holder for holder in self.holders if holder.id != client))


def take(semaphore: Semaphore, client: str, slots: int, now: float) -> Semaphore | None:
    """Return the semaphore after the client has taken a slot, None when all are taken."""
    if semaphore.holds(client):
        return semaphore
    if len(semaphore.holders) >= slots:
        return None
    return semaphore.with_holder(client, now)


def encode(semaphore: Semaphore) -> bytes:
    """Return what is stored."""
    return msgspec.json.encode(semaphore)


def decode(value: bytes) -> Semaphore:
    """Read what is stored; raise DamagedError."""
    try:
        return msgspec.json.decode(value, type=Semaphore)
    except msgspec.DecodeError as error:
        raise DamagedError(str(error)) from error
