"""What the daemon asks of a kernel. `linux.LinuxKernel` is the real one; tests may put another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from ipmp.plan import Step
from ipmp.probing import Inquiry, Nearby, Path, Probe, Reply
from ipmp.world import Link, RouteKey, Snapshot


class Failure(msgspec.Struct, frozen=True):
    """A step that the kernel refused."""

    step: Step
    errno: int
    text: str


class Changes(msgspec.Struct):
    """What others changed on the members since the last call."""

    links: set[str] = msgspec.field(default_factory=set)
    addresses: set[tuple[str, str]] = msgspec.field(default_factory=set)  # (member, key)
    removed_routes: set[RouteKey] = msgspec.field(default_factory=set)  # or replaced
    routes: bool = False
    overrun: bool = False


class Prepared(msgspec.Struct):
    """Steps that are ready to be carried out; a kernel keeps with them what it needs for that."""

    steps: Sequence[Step]


class Course(msgspec.Struct):
    """Batches of which each needs those before it, and which may be handed over ahead."""

    over: bool = False  # no further one is begun: a step was refused, or nobody wants it any more


class PassedOver(Exception):
    """Nothing of a batch has been done, because its course is over."""


class QuietCounter(Protocol):
    """Counts unicast packets that still arrive for addresses that left a member."""

    def arrived(self) -> int:
        """Packets since the last call."""

    def close(self) -> None:
        """Stop counting."""


class ProbeSockets(Protocol):
    """Carries the probes of one group."""

    def sync(self, paths: Iterable[Path]) -> list[tuple[Path, OSError]]:
        """Open what is missing and close what is gone; the paths that could not be opened."""

    def listen(self, heard: frozenset[str]) -> None:
        """Also take in what these silent targets say of their own."""

    def send(self, probe: Probe) -> OSError | None:
        """Send one probe; the error if the kernel refused it."""

    def read(self) -> list[Reply]:
        """Every reply that waits."""

    def close(self) -> None:
        """Close all sockets."""


class Kernel(Protocol):
    """Addresses, routes and links of one network namespace."""

    def watch(self, members: Iterable[str], callback: Callable[[Changes], None]) -> None:
        """Call back when something else than ourselves changes one of these members."""

    def links(self, members: Iterable[str]) -> dict[str, Link]:
        """Read the links now, bypassing the kernel's delayed carrier events."""

    async def snapshot(self, links: dict[str, Link]) -> Snapshot:
        """Read addresses and routes of these links; yields to the loop while it reads."""

    async def nearby(self, links: dict[str, Link], inquiry: Inquiry) -> Nearby:
        """Who else is on these links, to be probed; yields to the loop while it reads."""

    def probe_sockets(self, readable: Callable[[], None]) -> ProbeSockets:
        """Sockets for the probes of one group; `readable` is called when replies wait."""

    def prepare(self, steps: Sequence[Step]) -> Prepared:
        """Make steps (announcements excluded) ready, maybe while others are carried out."""

    async def apply(self, prepared: Prepared, course: Course | None = None) -> list[Failure]:
        """Carry out steps in order and return those refused.

        Batches are carried out in the order in which they are handed over, each after the one
        before. A refusal ends the course: of its further batches nothing is done (`PassedOver`).
        """

    def announce(self, key: str, member: str) -> None:
        """Send one announcement from a member; raises OSError, EOPNOTSUPP when it never can."""

    def count_unicast(self, member: str, keys: Iterable[str]) -> QuietCounter:
        """Start to count what still arrives on a member for these addresses; raises OSError."""

    def close(self) -> None:
        """Release all sockets."""
