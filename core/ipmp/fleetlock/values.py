"""The messages of FleetLock v1, and of what `ipmp_fleetlock` adds to it.

FleetLock is a counting semaphore with owners, and both of its calls are idempotent:
`POST /v1/pre-reboot` takes a slot, `POST /v1/steady-state` gives it back. Every request carries the
header `fleet-lock-protocol: true` (coreos/zincati, docs/development/fleetlock/protocol.md).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

HEADER = "fleet-lock-protocol"
TAKE_PATH = "/v1/pre-reboot"
GIVE_BACK_PATH = "/v1/steady-state"
GROUPS_PATH = "/v1/groups"
RELEASE_PATH = "/v1/release"

Group = Annotated[str, msgspec.Meta(pattern=r"\A[a-zA-Z0-9.-]{1,128}\Z")]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class ClientParams(msgspec.Struct, frozen=True):
    """Who asks, and for a slot of which group."""

    id: Id
    group: Group


class LockRequest(msgspec.Struct, frozen=True):
    """The body of both calls."""

    client_params: ClientParams


class ErrorKind(StrEnum):
    """What `kind` of an error can be: a closed list, so that it can be a metric label."""

    FULL = "failed_lock_semaphore_full"
    UNKNOWN_GROUP = "unknown_group"
    NOT_A_HOLDER = "not_a_holder"
    INVALID_REQUEST = "invalid_request"
    NOT_ALLOWED = "not_allowed"
    STORE_UNAVAILABLE = "store_unavailable"
    INTERNAL = "internal"


class ErrorReply(msgspec.Struct, frozen=True):
    """The body of every answer that is not 200; other servers have kinds of their own."""

    kind: str = ""
    value: str = ""


class Holder(msgspec.Struct, frozen=True):
    """Who has a slot, and since when (Unix seconds)."""

    id: str
    since: float


class GroupStatus(msgspec.Struct, frozen=True):
    """A group as `GET /v1/groups` tells it; ages are seconds by the server's clock."""

    group: str
    slots: int
    holders: tuple[Holder, ...]
    now: float

    def age(self, holder: Holder) -> float:
        """Return for how long a slot is held."""
        return max(0.0, self.now - holder.since)


class ReleaseRequest(msgspec.Struct, frozen=True):
    """An operator takes a slot from a holder that will not give it back itself."""

    id: Id
    group: Group
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
