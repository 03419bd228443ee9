"""Which member has a copy of which address: what is new, what others have made, what must go."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from ipmp.announce import Announcer
from ipmp.config import GroupConfig
from ipmp.daemon.drain import Drains
from ipmp.daemon.moves import Books
from ipmp.decision import Decision, Kind, Reason
from ipmp.fighting import Identity
from ipmp.homes import dynamic_addresses
from ipmp.placement import Placement
from ipmp.plan import DeleteAddress, identity
from ipmp.world import OWNER, Snapshot


def note(
    snapshot: Snapshot,
    data: Container[str],
    books: Books,
    announcer: Announcer,
    drains: Drains,
    *,
    first: bool,
    clean: bool,
) -> list[Decision]:
    """Book data addresses that were not booked yet; returns the copies that others have made.

    At the first look the link knows where they are when the last daemon ended cleanly; one that was
    killed may have died before it announced. Later the link knows of what others have put there,
    and not of a copy of ours. Whoever made a second copy may have announced it, so the holder
    speaks again (linux-peers 2.4: after a duplicate was removed). A copy that was removed and is
    there again is a new one, however soon.
    """
    intruders = []
    held_by = snapshot.addresses
    books.left = {(key, m) for key, m in books.left if key in held_by.get(m, ())}
    for member, held in held_by.items():
        for key, address in held.items():
            if key not in data:
                continue
            place = books.places.get(key)
            if place is None:
                books.seen(key, member)
                if clean if first else address.proto != OWNER:
                    announcer.assume(key, member)
            elif place.member != member and (key, member) not in books.left:
                books.left.add((key, member))
                announcer.withdraw([(key, place.member)])
                drains.anew(member)
                if address.proto != OWNER and key in held_by.get(place.member, ()):
                    intruders.append(books.intruder(key, member))
    return intruders


def leaving(
    placements: Iterable[Placement],
    snapshot: Snapshot,
    dead: Container[str],
    held: Container[Identity] = (),
) -> dict[str, dict[str, str]]:
    """Copies on working members of addresses that their target has: member -> key -> target.

    Without those whose deletion is held back, because another program would put them there again.
    """
    found: dict[str, dict[str, str]] = {}
    present = snapshot.addresses
    for placement in placements:
        key, target = placement.address.spec.key, placement.target
        if target is None or key not in present.get(target, ()):
            continue
        for member in snapshot.holders(key):
            held_back = held and identity(DeleteAddress(key, member)) in held
            if member != target and member not in dead and not held_back:
                found.setdefault(member, {})[key] = target
    return found


def stay(config: GroupConfig, snapshot: Snapshot, told: set[str]) -> Iterator[Decision]:
    """Say once of each leased or autoconfigured address that it does not move."""
    for address in dynamic_addresses(config, snapshot):
        if address.key not in told:
            told.add(address.key)
            yield Decision(
                Kind.REFUSED,
                Reason.DYNAMIC_ADDRESS,
                config.name,
                interface=address.member,
                address=address.key,
            )
