"""From what is and what should be to the next steps. Pure; a generator, so that it can be paused.

`plan` yields batches of steps. Its caller carries each batch out and stops after a batch in which
the kernel refused a step, or when the world has changed; then it reads the kernel and plans again.
Nothing is ever rolled back, because every step leaves a state from which planning goes on.

Invariants, in the order in which the code keeps them (DESIGN 4):

  A  make before break: an address is deleted from a member only when its target has it, in the
     snapshot or by a step of this plan, and has announced it
  B  while the old member still works, the address is deleted there only when the member has gone
     quiet (`progress.quiet`): no packet in flight is lost; to a dead member nothing is in flight
  C  routes have moved to the target before an address leaves the old member: the kernel flushes
     IPv4 routes, silently, with the last address of a device
  D  additions keep the order, so the primary stays primary; deletions take secondaries first (a
     primary that goes first is O(n^2) or kills them, pyroute2-eval 2.3), and those front to back:
     the kernel looks an address up from the front of its list
  E  a member never loses its last IPv4 address: an anchor (a link-scope /32) stays behind,
     so ARP from it cannot borrow another member's address (linux-peers 1.7)
  F  a step that the kernel refused is not planned again while it is in `progress.refused`
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

import msgspec

from ipmp.placement import Placement, RoutePlacement, fits
from ipmp.world import (
    AF_INET,
    IFA_F_SECONDARY,
    OWNER,
    SCOPE_LINK,
    DataAddress,
    DataRoute,
    Route,
    RouteIdentity,
    Snapshot,
    address_of,
    is_ipv4,
)

#: Steps a batch: small enough that an urgent announcement is never far behind its addition.
BATCH = 256

#: Addresses looked at between two batches, when there is nothing to do for them.
BREATH = 256


class AddAddress(msgspec.Struct, frozen=True, gc=False):
    """Configure a copy of the address on a member."""

    address: DataAddress
    member: str
    label: str
    proto: int


class AddAnchor(msgspec.Struct, frozen=True, gc=False):
    """Keep an IPv4 address on a member that carries no other one."""

    member: str


class DeleteAddress(msgspec.Struct, frozen=True, gc=False):
    """Take the address away from a member."""

    key: str
    member: str
    peer: str = ""  # of a point-to-point address


class ReplaceRoute(msgspec.Struct, frozen=True, gc=False):
    """Let the route leave through a member, in place of wherever it leaves now."""

    route: DataRoute
    member: str
    protocol: int


class DeleteRoute(msgspec.Struct, frozen=True, gc=False):
    """Remove the leftover of a moved route from its old member (IPv6 keeps both)."""

    route: Route
    member: str


class Announce(msgspec.Struct, frozen=True, gc=False):
    """Tell the link which member has the address; urgent ones are not paced."""

    address: DataAddress
    member: str
    urgent: bool


Step = AddAddress | AddAnchor | DeleteAddress | ReplaceRoute | DeleteRoute | Announce


class Progress(msgspec.Struct):
    """What the kernel cannot tell: announcements made, members gone quiet, refusals to respect."""

    announced: Container[tuple[str, str]] = frozenset()  # (key, member)
    quiet: Container[str] = frozenset()  # members on which nothing unicast arrives any more
    dead: Container[str] = frozenset()  # members without a working link: nothing to wait for
    refused: Container[tuple[str, str]] = frozenset()  # what `identity` makes of a step


def identity(step: Step) -> tuple[str, str]:
    """What a step does, in words, and to which member: how a refused one is remembered."""
    match step:
        case AddAddress(address=address, member=member):
            return f"add {address.key}", member
        case AddAnchor(member=member):
            return "add an anchor", member
        case DeleteAddress(key=key, member=member):
            return f"delete {key}", member
        case ReplaceRoute(route=route, member=member):
            return f"replace {route.route.key}", member
        case DeleteRoute(route=leftover, member=member):
            return f"delete {leftover.key}", member
        case Announce(address=address, member=member):
            return f"announce {address.key}", member


def plan(
    placements: Sequence[Placement],
    routes: Sequence[RoutePlacement],
    snapshot: Snapshot,
    progress: Progress,
) -> Iterator[list[Step]]:
    """Yield batches of steps towards the placements; an empty batch only lets others run."""
    wanted = [(p.address, p.target) for p in placements if p.target is not None]
    present = {member: set(held) for member, held in snapshot.addresses.items()}
    pending = [r for r in routes if r.target is not None]
    found = snapshot.routes_by_identity()
    for additions, announcements in _additions(wanted, snapshot, progress, present):
        yield additions
        ready = [r for r in pending if _reachable(r, present)]
        pending = [r for r in pending if r not in ready]
        yield from _batches(_route_steps(ready, found, progress))
        yield announcements
    yield from _batches(_route_steps(pending, found, progress))
    doomed: dict[str, set[str]] = {}
    for index, (address, target) in enumerate(wanted):
        _doom(address.key, target, snapshot, progress, present, doomed)
        if index % BREATH == BREATH - 1:
            yield []
    yield from _batches(_anchors(doomed, present, progress))
    deletions = (*_deletions(doomed, snapshot), *_weigh_anchors(doomed, snapshot, present))
    yield from _batches(step for step in deletions if identity(step) not in progress.refused)


def _additions(
    wanted: Iterable[tuple[DataAddress, str]],
    snapshot: Snapshot,
    progress: Progress,
    present: dict[str, set[str]],
) -> Iterator[tuple[list[Step], list[Step]]]:
    """Pairs of batches: additions, and the announcements that follow them (invariant D)."""
    labels = {m: {a.label for a in held.values()} for m, held in snapshot.addresses.items()}
    numbers: dict[str, int] = {}
    additions: list[Step] = []
    announcements: list[Step] = []
    for index, (address, target) in enumerate(wanted):
        where = (address.key, target)
        on_target = present.setdefault(target, set())
        if address.key not in on_target and target in snapshot.links:
            label = _label(address, target, labels.setdefault(target, set()), numbers)
            proto = address.proto if target == address.home else OWNER
            addition = AddAddress(address, target, label, proto)
            if identity(addition) in progress.refused:
                continue
            additions.append(addition)
            announcements.append(_announce(address, target, snapshot, progress))
            on_target.add(address.key)
        elif address.key in on_target and where not in progress.announced:
            announcements.append(_announce(address, target, snapshot, progress))
        if len(announcements) >= BATCH or index % BREATH == BREATH - 1:
            yield additions, announcements
            additions, announcements = [], []
    yield additions, announcements


def _announce(
    address: DataAddress, target: str, snapshot: Snapshot, progress: Progress
) -> Announce:
    """Urgent unless another member that works still receives for the address."""
    holders = (m for m in snapshot.holders(address.key) if m != target)
    return Announce(address, target, urgent=all(m in progress.dead for m in holders))


def _label(address: DataAddress, target: str, taken: set[str], numbers: dict[str, int]) -> str:
    """A guest is labelled like a Solaris logical interface: ni1:1, ni1:2, ..."""
    if address.spec.family != AF_INET:
        return ""
    if target == address.home:
        return address.label
    number = numbers.get(target, 0) + 1
    while f"{target}:{number}" in taken:
        number += 1
    numbers[target] = number
    return f"{target}:{number}"


def _reachable(placement: RoutePlacement, present: Mapping[str, set[str]]) -> bool:
    """The route's source and an address that puts its gateway on-link are on the target already."""
    keys, source = present.get(placement.target or "", set()), placement.route.route.source
    if source and not any(address_of(key) == source for key in keys):
        return False
    return fits(placement.route, keys)


def _route_steps(
    routes: Iterable[RoutePlacement],
    found: Mapping[RouteIdentity, Mapping[str, Route]],
    progress: Progress,
) -> Iterator[Step]:
    for placement in routes:
        route, target = placement.route, placement.target
        assert target is not None
        where = found.get(route.identity, {})
        protocol = route.route.protocol if target == route.home else OWNER
        current = where.get(target)
        steps: list[Step] = []
        if current is None or current.protocol != protocol:
            steps.append(ReplaceRoute(route, target, protocol))
        else:
            steps += (DeleteRoute(r, m) for m, r in where.items() if m != target)
        yield from (step for step in steps if identity(step) not in progress.refused)


def _doom(
    key: str,
    target: str,
    snapshot: Snapshot,
    progress: Progress,
    present: Mapping[str, set[str]],
    doomed: dict[str, set[str]],
) -> None:
    """Note the members from which the address may go now (invariants A and B)."""
    where = (key, target)
    if key not in present.get(target, ()) or where not in progress.announced:
        return
    for member in snapshot.holders(key):
        if member != target and (member in progress.dead or member in progress.quiet):
            doomed.setdefault(member, set()).add(key)


def _anchors(
    doomed: dict[str, set[str]], present: Mapping[str, set[str]], progress: Progress
) -> Iterator[Step]:
    """Anchors for members about to lose their last IPv4 address; one without keeps what it has."""
    for member, keys in list(doomed.items()):
        if any(map(is_ipv4, keys)) and not any(map(is_ipv4, present[member] - keys)):
            if identity(AddAnchor(member)) in progress.refused:
                del doomed[member]
            else:
                yield AddAnchor(member)


def _deletions(doomed: Mapping[str, set[str]], snapshot: Snapshot) -> Iterator[Step]:
    """Deletions in the order of invariant D."""
    for member, keys in doomed.items():
        held = [a for key, a in snapshot.addresses[member].items() if key in keys]
        secondary = [a for a in held if a.flags & IFA_F_SECONDARY]
        primary = [a for a in held if not a.flags & IFA_F_SECONDARY]
        for address in (*secondary, *reversed(primary)):
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


def _batches(steps: Iterable[Step]) -> Iterator[list[Step]]:
    batch: list[Step] = []
    for step in steps:
        batch.append(step)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
