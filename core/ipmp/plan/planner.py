"""From what is and what should be to the next steps. Pure; a generator, so that it can be paused.

`plan` yields batches of steps. Its caller carries each batch out and stops after a batch in which
the kernel refused a step, or when the world has changed; then it reads the kernel and plans again.
Nothing is ever rolled back, because every step leaves a state from which planning goes on.

Invariants, in the order in which the code keeps them (DESIGN 4):

  A  make before break: an address is deleted from a member only when its target has it, in the
     snapshot or by a step of this plan
  B  while the old member still works, the address is deleted there only when its target has
     announced it and the old member has gone quiet (`progress.quiet`): no packet in flight is lost;
     to a dead member nothing is in flight
  C  routes have moved to the target, or have left the old member where they are spread, before an
     address leaves it: the kernel flushes IPv4 routes, silently, with the last address of a device
  D  additions keep the order, so the primary stays primary; deletions take secondaries first (a
     primary that goes first is O(n^2) or kills them, pyroute2-eval 2.3), and those front to back:
     the kernel looks an address up from the front of its list
  E  a member never loses its last IPv4 address: an anchor (a link-scope /32) stays behind,
     so ARP from it cannot borrow another member's address (linux-peers 1.7)
  F  a step that the kernel refused is not planned again while it is in `progress.refused`
  G  an address that returns home is followed at once by the shifts that put the connected routes of
     its network in order again (`onlink`)

A batch depends on the success of those before it, not on knowing of it: the caller may ask for the
next one while the kernel is still busy with the last, and drops it when that one is refused.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

from ipmp.placement import Placement, Reach, RoutePlacement
from ipmp.plan.arrivals import Arrivals, Wanted
from ipmp.plan.progress import Progress, but, is_refused
from ipmp.plan.spreading import due, spread_steps, sweep
from ipmp.plan.steps import (
    AddAddress,
    AddAnchor,
    AddTestAddress,
    Announce,
    DeleteAddress,
    DeleteRoute,
    DeleteSpread,
    ReplaceRoute,
    Step,
)
from ipmp.spread import Spread, Spreading
from ipmp.world import (
    AF_INET,
    IFA_F_SECONDARY,
    OWNER,
    SCOPE_LINK,
    Address,
    DataAddress,
    RoutePlace,
    Snapshot,
    is_ipv4,
    place_of,
)

#: Addresses looked at, and changes made, at a stretch: few enough that the loop is never held for
#: long and that an urgent announcement is not far behind its addition.
STRETCH = 256
FIRST_STRETCH = 64


def plan(
    placements: Sequence[Placement],
    routes: Sequence[RoutePlacement],
    snapshot: Snapshot,
    progress: Progress,
    tests: Mapping[str, str] | None = None,
    spread: Spread | None = None,
) -> Iterator[list[Step]]:
    """Yield batches of steps towards the placements; an empty batch only lets others run.

    `tests` are the members' test addresses.
    """
    wanted = [(p.address, p.target) for p in placements if p.target is not None]
    present = snapshot.present()
    pending = [r for r in routes if r.target is not None]
    spread = spread or Spread()
    waiting: Iterable[Spreading] = spread.spreadings
    watched = present if pending or waiting else {}
    reach = defaultdict(Reach, {member: Reach(held) for member, held in watched.items()})
    arrivals = Arrivals(wanted, snapshot, progress, present)
    crowd = Counter(map(place_of, snapshot.identities))
    doomed: dict[str, set[str]] = {}
    changes = list(_test_addresses(tests or {}, snapshot, progress))
    for stretch in _stretches(wanted):
        additions, announcements = arrivals.of(stretch)
        changes += additions
        for step in changes if pending or waiting else ():
            match step:
                case AddAddress(address=address, member=member):
                    reach[member].add(address.spec.key)
                case AddTestAddress(key=key, member=member):
                    reach[member].add(key)
        ready, pending = _ready(pending, reach)
        over, waiting = due(waiting, reach)
        moves = chain(spread_steps(over, snapshot), _route_steps(ready, snapshot, crowd))
        yield from _batches(chain(changes, but(progress, moves)), announcements)
        changes = []
        _doom(stretch, snapshot, progress, present, doomed)
    # The kernel adds the way to an IPv6 peer a little after its address.
    late = _route_steps(pending, snapshot, crowd)
    moves = chain(spread_steps(waiting, snapshot), late, sweep(spread))
    before = chain(but(progress, moves), _anchors(doomed, present, progress))
    yield from _batches(chain(changes, before))
    deletions = chain(_deletions(doomed, snapshot), _weigh_anchors(doomed, snapshot, present))
    yield from _batches(but(progress, deletions))


def _test_addresses(
    tests: Mapping[str, str], snapshot: Snapshot, progress: Progress
) -> Iterator[Step]:
    for member, key in tests.items():
        step = AddTestAddress(key, member)
        if key not in snapshot.addresses.get(member, {key}) and not is_refused(step, progress):
            yield step


def _stretches(wanted: Sequence[Wanted]) -> Iterator[Sequence[Wanted]]:
    """Cut the list; the first stretch is short, so that the kernel gets to work early.

    IPv4 addresses come first: none of them should wait for what IPv6 ones wait for.
    """
    ipv4 = [pair for pair in wanted if pair[0].spec.family == AF_INET]
    ipv6 = [pair for pair in wanted if pair[0].spec.family != AF_INET]
    for family in filter(None, (ipv4, ipv6)):
        yield family[:FIRST_STRETCH]
        for start in range(FIRST_STRETCH, len(family), STRETCH):
            yield family[start : start + STRETCH]


def retire(keys: Container[str], snapshot: Snapshot) -> Iterator[list[Step]]:
    """Batches that take addresses away from every member, for good (invariants D and E)."""
    present = {member: set(held) for member, held in snapshot.addresses.items()}
    doomed = {member: {key for key in held if key in keys} for member, held in present.items()}
    yield list(_anchors(doomed, present, Progress()))
    yield list(_deletions(doomed, snapshot))


def _ready(
    routes: Iterable[RoutePlacement], reach: Mapping[str, Reach]
) -> tuple[list[RoutePlacement], list[RoutePlacement]]:
    """Routes whose target has their source, and their gateway on-link, already; and the others."""
    ready: list[RoutePlacement] = []
    pending: list[RoutePlacement] = []
    for placement in routes:
        source, on = placement.route.route.source, reach.get(placement.target or "", Reach())
        fits = (not source or source in on.addresses) and on.carries(placement.route)
        (ready if fits else pending).append(placement)
    return ready, pending


def _route_steps(
    routes: Iterable[RoutePlacement], snapshot: Snapshot, crowd: Counter[RoutePlace]
) -> Iterator[Step]:
    """`crowd` counts the routes in each place of the kernel; it is kept up to date."""
    found, spread = snapshot.routes_by_identity, snapshot.spread_by_identity
    there = snapshot.identities
    for placement in routes:
        route, target = placement.route, placement.target
        assert target is not None
        where = found.get(route.identity, {})
        protocol = route.route.protocol if target == route.home else OWNER
        current = where.get(target)
        others = [DeleteRoute(r, m) for m, r in where.items() if m != target]
        if current is None or (current.protocol, current.source) != (protocol, route.route.source):
            # The kernel replaces the first copy; was that another one, the target would have two.
            yield from others if current is not None else ()
            place, is_there = place_of(route.identity), route.identity in there
            alike, unlike = crowd[place], crowd[place[0], not place[1]]
            in_place, beside = is_there and alike == 1, unlike > 0 and alike == 0
            yield ReplaceRoute(route, target, protocol, in_place, beside)
            crowd[place] += not is_there
        else:
            yield from others
            left = spread.get(route.identity, ())
            yield from (DeleteSpread(r) for r in left if r.protocol == OWNER)


def _doom(
    wanted: Iterable[tuple[DataAddress, str]],
    snapshot: Snapshot,
    progress: Progress,
    present: Mapping[str, set[str]],
    doomed: dict[str, set[str]],
) -> None:
    """Note the members from which these addresses may go now (invariants A and B)."""
    targets = {a.spec.key: t for a, t in wanted if a.spec.key in present.get(t, ())}
    for member, held in snapshot.addresses.items():
        dead = member in progress.dead
        if not dead and member not in progress.quiet:
            continue
        for key in targets.keys() & held.keys():
            target = targets[key]
            told = key in snapshot.addresses[target] and (key, target) in progress.announced
            if target != member and (dead or told):
                doomed.setdefault(member, set()).add(key)


def _anchors(
    doomed: dict[str, set[str]], present: Mapping[str, set[str]], progress: Progress
) -> Iterator[Step]:
    """Anchors for members about to lose their last IPv4 address; one without keeps what it has."""
    for member, keys in list(doomed.items()):
        if any(map(is_ipv4, keys)) and not any(map(is_ipv4, present[member] - keys)):
            if is_refused(AddAnchor(member), progress):
                del doomed[member]
            else:
                yield AddAnchor(member)


def _deletions(doomed: Mapping[str, set[str]], snapshot: Snapshot) -> Iterator[Step]:
    """Deletions in the order of invariant D."""
    for member, keys in doomed.items():
        primary: list[Address] = []
        for key, address in snapshot.addresses[member].items():
            if key not in keys:
                continue
            if address.flags & IFA_F_SECONDARY:
                yield DeleteAddress(key, member, address.peer)
            else:
                primary.append(address)
        for address in reversed(primary):
            yield DeleteAddress(address.key, member, address.peer)


def _weigh_anchors(
    doomed: Mapping[str, set[str]], snapshot: Snapshot, present: Mapping[str, set[str]]
) -> Iterator[Step]:
    """An anchor goes when the member carries another IPv4 address again."""
    for member, held in snapshot.addresses.items():
        anchors = {a.key for a in held.values() if a.proto == OWNER and a.scope == SCOPE_LINK}
        staying = present[member] - anchors - doomed.get(member, set())
        if any(is_ipv4(key) for key in staying):
            yield from (DeleteAddress(key, member) for key in anchors if is_ipv4(key))


def _batches(changes: Iterable[Step], told: Sequence[Announce] = ()) -> Iterator[list[Step]]:
    """Full batches and what is left, then what is told of them all; one when there is nothing."""
    remaining = iter(changes)
    batch = list(islice(remaining, STRETCH))
    while following := list(islice(remaining, STRETCH)):
        yield batch
        batch = following
    yield [*batch, *told]
