"""Bugs that a daemon like this might have, planted in the real code one at a time.

Each is one wrong function or number in place of a right one, as if somebody had forgotten the rule.
The simulator has to find every one of them; a rule whose bug it does not find is not tested by it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from math import inf
from typing import Any
from unittest.mock import patch

import msgspec
from msgspec.structs import replace

from ipmp import homes
from ipmp.config import GroupConfig
from ipmp.group import Group
from ipmp.kernel import codec
from ipmp.placement import Placement, RoutePlacement, place_addresses
from ipmp.plan import (
    AddAddress,
    AddAnchor,
    Announce,
    DeleteAddress,
    Progress,
    ReplaceRoute,
    Step,
    plan,
)
from ipmp.world import Address, AddressSpec, DataAddress, Snapshot

Batches = Iterator[list[Step]]


class Mutant(msgspec.Struct, frozen=True):
    """A planted bug."""

    name: str
    breaks: frozenset[int]  # invariants of DESIGN 4, any of which tells of it
    where: str  # what is replaced in the real code
    by: object

    def planted(self) -> AbstractContextManager[object]:
        """Until it is left, the code has this bug."""
        return patch(self.where, self.by)


MUTANTS: dict[str, Mutant] = {}


def mutant(where: str, *breaks: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Plant the decorated function there."""

    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        name = function.__name__.replace("_", "-")
        MUTANTS[name] = Mutant(name, frozenset(breaks), where, function)
        return function

    return keep


def number(name: str, where: str, by: object, *breaks: int) -> None:
    """Plant another value there."""
    MUTANTS[name] = Mutant(name, frozenset(breaks), where, by)


# The plan -----------------------------------------------------------------------------------------

PLAN = "ipmp.daemon.executor.plan"


def _without(kind: type[Step], batches: Batches) -> Batches:
    for batch in batches:
        yield [step for step in batch if not isinstance(step, kind)]


@mutant(PLAN, 1)
def deletes_before_it_adds(
    placements: Sequence[Placement],
    routes: Sequence[RoutePlacement],
    snapshot: Snapshot,
    progress: Progress,
    tests: Mapping[str, str] | None = None,
) -> Batches:
    """Break before make."""
    steps = [s for b in plan(placements, routes, snapshot, progress, tests) for s in b]
    added = {s.address.key for s in steps if isinstance(s, AddAddress)}
    yield [
        DeleteAddress(k, m) for m, held in snapshot.addresses.items() for k in held if k in added
    ]
    yield steps


@mutant(PLAN, 4)
def announces_from_the_old_member(
    placements: Sequence[Placement],
    routes: Sequence[RoutePlacement],
    snapshot: Snapshot,
    progress: Progress,
    tests: Mapping[str, str] | None = None,
) -> Batches:
    """Whoever had the address speaks for it."""
    for batch in plan(placements, routes, snapshot, progress, tests):
        steps: list[Step] = []
        for step in batch:
            if isinstance(step, Announce) and (had := snapshot.holders(step.address.key)):
                step = replace(step, member=had[0])
            steps.append(step)
        yield steps


class _Everything(Container[tuple[str, str]]):
    def __contains__(self, item: object) -> bool:
        return True


@mutant(PLAN, 4)
def deletes_before_it_announces(
    placements: Sequence[Placement],
    routes: Sequence[RoutePlacement],
    snapshot: Snapshot,
    progress: Progress,
    tests: Mapping[str, str] | None = None,
) -> Batches:
    """The link is taken to know everything already."""
    told = replace(progress, announced=_Everything(), quiet=_Everything())
    return plan(placements, routes, snapshot, told, tests)


@mutant(PLAN, 2)
def leaves_old_copies_behind(*arguments: Any) -> Batches:
    """Nothing is ever deleted."""
    return _without(DeleteAddress, plan(*arguments))


@mutant(PLAN, 3)
def leaves_routes_behind(*arguments: Any) -> Batches:
    """They go with the last address of the old member."""
    return _without(ReplaceRoute, plan(*arguments))


@mutant(PLAN, 3)
def sets_no_anchor(*arguments: Any) -> Batches:
    """The last IPv4 address of a member is deleted."""
    return _without(AddAnchor, plan(*arguments))


# Where things belong ------------------------------------------------------------------------------

PLACES = "ipmp.daemon.runner.place_addresses"


@mutant(PLACES, 6)
def fails_back_although_that_is_off(
    group: Group,
    addresses: Sequence[DataAddress],
    snapshot: Snapshot,
    seats: Mapping[str, str],
    restless: Container[str] = (),
) -> Iterator[Placement]:
    """FAILBACK=no is not heeded."""
    group = replace(group, failback=True)
    return place_addresses(group, addresses, snapshot, seats, restless)


@mutant(PLACES, 7)
def moves_in_a_failed_group(
    group: Group,
    addresses: Sequence[DataAddress],
    snapshot: Snapshot,
    seats: Mapping[str, str],
    restless: Container[str] = (),
) -> Iterator[Placement]:
    """When nobody works, the last member is as good as any."""
    for placement in place_addresses(group, addresses, snapshot, seats, restless):
        last = [m.name for m in group.members if m.name in snapshot.links][-1:]
        yield placement if placement.target or not last else replace(placement, target=last[0])


@mutant("ipmp.homes._adoptable", 8)
def adopts_leased_addresses(address: Address, config: GroupConfig, tests: Container[str]) -> bool:
    """Those that a DHCP client renews."""
    return config.adopt and address.scope == 0 and address.key not in tests


@mutant("ipmp.daemon.groups.Groups.save_homes", 1, 2, 3)
def forgets_homes_in_a_crash(self: object) -> None:
    """Where everything belongs is only in memory."""


@mutant("ipmp.daemon.runner.forget_missing", 1, 2, 3)
def forgets_what_has_no_place_at_the_start(
    known: homes.Homes, config: GroupConfig, snapshot: Snapshot
) -> homes.Homes:
    """Whether or not the member that had it is there."""
    kept = {k: a for k, a in known.addresses.items() if not a.adopted or snapshot.holders(k)}
    return replace(known, addresses=kept)


# What was asked for -------------------------------------------------------------------------------


@mutant("ipmp.daemon.operations.refusal", 5)
def takes_the_last_usable_member_offline(group: Group, name: str) -> None:
    """Without asking who is left."""


@mutant("ipmp.daemon.operations._respect_hold", 6)
def ignores_holds(call: object) -> None:
    """Automation does as it likes."""


@mutant("ipmp.daemon.daemon.Daemon.save_intent", 6)
def stores_no_intent(self: object) -> None:
    """Who is offline is only in memory."""


number("takes-programs-for-people", "ipmp.daemon.operations.AUTOMATION", "nobody", 6)

# What the kernel is told --------------------------------------------------------------------------


def _bare_spec(address: Address) -> AddressSpec:
    """Without the broadcast address, and all else."""
    return codec.declared_spec(address.key)


BARE = homes.Codec(_bare_spec, codec.declared_spec)
number("loses-the-broadcast-address", "ipmp.daemon.daemon.Daemon.codec", BARE, 3)
number("lets-the-kernel-look-for-duplicates", "ipmp.kernel.codec.IFA_F_NODAD", 0, 1)
number("moves-routes-of-routing-daemons", "ipmp.kernel.codec.OTHER_OWNERS", frozenset({2}), 8)
number("never-reads-again", "ipmp.daemon.runner.RECONCILE_SECONDS", inf, 1, 2, 3)
number("tries-nothing-again", "ipmp.daemon.executor.REFUSED_SECONDS", inf, 1, 2, 3)
