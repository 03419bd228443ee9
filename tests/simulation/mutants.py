"""Bugs that a daemon like this might have, planted in the real code one at a time.

Each is one wrong function or number in place of a right one, as if somebody had forgotten the rule.
The simulator has to find every one of them; a rule whose bug it does not find is not tested by it.

`make mutants` looks for each from seed 0 on and prints what told of it; 1 when one is not found.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from math import inf
from typing import Any, cast
from unittest.mock import patch

import msgspec
from msgspec.structs import replace

from ipmp import homes
from ipmp.config import GroupConfig
from ipmp.daemon.groups import Groups
from ipmp.group import Group
from ipmp.kernel import codec
from ipmp.kernel.multipath import gathered
from ipmp.placement import Placement, place_addresses
from ipmp.plan import (
    AddAddress,
    AddAnchor,
    Announce,
    DeleteAddress,
    MakeSpread,
    ReplaceRoute,
    Step,
    plan,
)
from ipmp.world import Address, AddressSpec, DataAddress, Snapshot
from tests.simulation.soak import Outcome, live

Batches = Iterator[list[Step]]


class Mutant(msgspec.Struct, frozen=True):
    """A planted bug."""

    name: str
    where: str  # what is replaced in the real code
    by: object
    breaks: int  # the invariant of DESIGN 4 that tells of it
    seed: int  # from which on the fast test looks for it

    def planted(self) -> AbstractContextManager[object]:
        """Until it is left, the code has this bug."""
        return patch(self.where, self.by)

    def tells(self, outcome: Outcome) -> bool:
        """Whether this report is the one of its invariant."""
        return f": invariant {self.breaks} is broken" in outcome.report.partition("\n")[0]


MUTANTS: dict[str, Mutant] = {}


def mutant(
    where: str, *, breaks: int, seed: int
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Plant the decorated function there."""

    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        value(function.__name__.replace("_", "-"), where, function, breaks=breaks, seed=seed)
        return function

    return keep


def value(name: str, where: str, by: object, *, breaks: int, seed: int) -> None:
    """Plant another value there."""
    MUTANTS[name] = Mutant(name, where, by, breaks, seed)


# The plan -----------------------------------------------------------------------------------------

PLAN = "ipmp.daemon.executor.plan"


def _snapshot(arguments: Sequence[Any]) -> Snapshot:
    """What `plan` was given as its third argument."""
    return cast(Snapshot, arguments[2])


def _without(kind: type[Step], batches: Batches) -> Batches:
    for batch in batches:
        yield [step for step in batch if not isinstance(step, kind)]


@mutant(PLAN, breaks=1, seed=0)
def deletes_before_it_adds(*arguments: Any) -> Batches:
    """Break before make."""
    steps = [step for batch in plan(*arguments) for step in batch]
    added = {step.address.key for step in steps if isinstance(step, AddAddress)}
    present = _snapshot(arguments).addresses.items()
    yield [DeleteAddress(key, m) for m, held in present for key in held if key in added]
    yield steps


@mutant(PLAN, breaks=2, seed=1)
def announces_from_the_old_member(*arguments: Any) -> Batches:
    """Whoever had the address speaks for it; so the move never ends."""
    for batch in plan(*arguments):
        steps: list[Step] = []
        for step in batch:
            if isinstance(step, Announce):
                had = _snapshot(arguments).holders(step.address.key)
                step = replace(step, member=had[0]) if had else step
            steps.append(step)
        yield steps


class _Everything(Container[tuple[str, str]]):
    def __contains__(self, item: object) -> bool:
        return True


@mutant(PLAN, breaks=4, seed=25)
def deletes_before_it_announces(*arguments: Any) -> Batches:
    """The link is taken to know everything already."""
    placements, routes, snapshot, progress, *others = arguments
    told = replace(progress, announced=_Everything(), quiet=_Everything())
    return plan(placements, routes, snapshot, told, *others)


@mutant(PLAN, breaks=2, seed=0)
def leaves_old_copies_behind(*arguments: Any) -> Batches:
    """Nothing is ever deleted."""
    return _without(DeleteAddress, plan(*arguments))


@mutant(PLAN, breaks=3, seed=3)
def leaves_routes_behind(*arguments: Any) -> Batches:
    """They go with the last address of the old member."""
    return _without(ReplaceRoute, plan(*arguments))


@mutant(PLAN, breaks=3, seed=0)
def sets_no_anchor(*arguments: Any) -> Batches:
    """The last IPv4 address of a member is deleted."""
    return _without(AddAnchor, plan(*arguments))


@mutant(PLAN, breaks=3, seed=0)
def spreads_nothing(*arguments: Any) -> Batches:
    """`outbound = "spread"` is read and then forgotten."""
    return _without(MakeSpread, plan(*arguments))


@mutant(PLAN, breaks=3, seed=0)
def takes_nobody_out_of_what_is_spread(*arguments: Any) -> Batches:
    """Members join a route, and stay in it when they fail."""
    known = _snapshot(arguments).spread_by_identity
    for batch in plan(*arguments):
        yield [
            s for s in batch if not (isinstance(s, MakeSpread) and s.spreading.identity in known)
        ]


# Where things belong ------------------------------------------------------------------------------

PLACES = "ipmp.daemon.runner.place_addresses"


@mutant(PLACES, breaks=6, seed=5)
def fails_back_although_that_is_off(group: Group, *others: Any) -> Iterator[Placement]:
    """FAILBACK=no is not heeded."""
    return place_addresses(replace(group, failback=True), *others)


@mutant(PLACES, breaks=7, seed=0)
def moves_in_a_failed_group(
    group: Group, addresses: Sequence[DataAddress], snapshot: Snapshot, *others: Any
) -> Iterator[Placement]:
    """When nobody works, the last member is as good as any."""
    for placement in place_addresses(group, addresses, snapshot, *others):
        last = [m.name for m in group.members if m.name in snapshot.links][-1:]
        yield placement if placement.target or not last else replace(placement, target=last[0])


@mutant("ipmp.homes._adoptable", breaks=8, seed=0)
def adopts_leased_addresses(address: Address, config: GroupConfig, tests: Container[str]) -> bool:
    """Those that a DHCP client renews."""
    return config.adopt and address.scope == 0 and address.key not in tests


@mutant("ipmp.daemon.groups.Groups.save_homes", breaks=2, seed=0)
def forgets_homes_in_a_crash(self: object) -> None:
    """Where everything belongs is only in memory."""


_add = Groups._add


@mutant("ipmp.daemon.groups.Groups._add", breaks=1, seed=57)
def takes_a_crash_for_a_clean_stop(groups: Groups, config: GroupConfig, clean: bool) -> None:
    """What is missing at the start was taken away on purpose."""
    _add(groups, config, clean=True)


# What was asked for -------------------------------------------------------------------------------


@mutant("ipmp.daemon.operations.refusal", breaks=5, seed=27)
def takes_the_last_usable_member_offline(group: Group, name: str) -> None:
    """Without asking who is left."""


@mutant("ipmp.daemon.operations._respect_hold", breaks=6, seed=46)
def ignores_holds(call: object) -> None:
    """Automation does as it likes."""


@mutant("ipmp.daemon.daemon.Daemon.save_intent", breaks=6, seed=0)
def stores_no_intent(self: object) -> None:
    """Who is offline is only in memory."""


value("takes-programs-for-people", "ipmp.daemon.operations.AUTOMATION", "nobody", breaks=6, seed=1)

# What the kernel is told --------------------------------------------------------------------------


def _bare_spec(address: Address) -> AddressSpec:
    """Without the broadcast address, and all else."""
    return codec.declared_spec(address.key)


BARE = homes.Codec(_bare_spec, codec.declared_spec, gathered)
value("loses-the-broadcast-address", "ipmp.daemon.daemon.Daemon.codec", BARE, breaks=3, seed=0)
value("lets-the-kernel-look-for-duplicates", "ipmp.kernel.codec.IFA_F_NODAD", 0, breaks=1, seed=0)
value(
    "moves-routes-of-routing-daemons",
    "ipmp.kernel.route_codec.OTHER_OWNERS",
    frozenset({2}),
    breaks=8,
    seed=0,
)
value("never-reads-again", "ipmp.daemon.runner.RECONCILE_SECONDS", inf, breaks=2, seed=43)
value("tries-nothing-again", "ipmp.daemon.setbacks.RETRY_SECONDS", inf, breaks=2, seed=41)


# Finding them -------------------------------------------------------------------------------------

SEEDS = 200  # in which each has to be found


def hunt(mutant: Mutant, seeds: Iterable[int]) -> Outcome | None:
    """The first of the seeds whose report is that of the mutant's invariant."""
    with mutant.planted():
        return next(filter(mutant.tells, map(live, seeds)), None)


def main() -> int:
    """Look for every mutant; 1 when one is not found."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"for each ({SEEDS})")
    seeds = range(parser.parse_args().seeds)
    missed = 0
    for name, planted in MUTANTS.items():
        found = hunt(planted, seeds)
        if found is None:
            missed += 1
            print(f"{name}: not found in {len(seeds)} seeds")
        else:
            print(f"{name}: {found.report.partition(chr(10))[0]}")
    print(f"{len(MUTANTS) - missed} of {len(MUTANTS)} planted bugs were found")
    return missed > 0


if __name__ == "__main__":
    sys.exit(main())
