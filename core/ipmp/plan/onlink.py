"""Which member's connected route of a network is used: the kernel takes the one made first. Pure.

Two members with an address of one network have two connected routes of the same metric. All that is
on-link leaves through the first one, whatever its source, and new connections get that member's
address (linux-peers 1.1, 1.6). The route goes with the address and comes back with it, behind those
of the others: after a failback the wrong member would be the first for good.

So the routes of one network are kept in the order of their addresses, that is of the members that
are their homes, and those of guests come last. When an address brings its route back, the routes
that belong behind it are shifted: away to another metric, and back, which puts them at the end. The
kernel does that by way of the address, the new route before the old one goes; nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from ipmp.placement import Network, network
from ipmp.plan.steps import ShiftRoute
from ipmp.world import (
    IFA_F_NOPREFIXROUTE,
    IFA_F_SECONDARY,
    Address,
    AddressSpec,
    DataAddress,
    Snapshot,
)


class OnLink:
    """The connected routes of one plan."""

    def __init__(self, wanted: Iterable[tuple[DataAddress, str]], snapshot: Snapshot) -> None:
        self._wanted = wanted
        self._snapshot = snapshot
        self._specs: dict[str, AddressSpec] = {}
        self._ranks: dict[tuple[str, str], float] = {}  # by key and member, of what stays there
        self._routes: dict[Network, dict[str, list[Address]]] = {}  # by network and member
        self._read = False

    def interrupted(self, address: DataAddress, member: str) -> Sequence[ShiftRoute]:
        """The way back of a route that was left away: by a refusal, or by a crash."""
        found = self._snapshot.addresses[member].get(address.spec.key)
        if found is None or not found.shifted:
            return ()
        return (ShiftRoute(found, address.spec, member, away=False),)

    def returned(self, address: DataAddress, home: str) -> Sequence[ShiftRoute]:
        """What follows, in order, when this address is given back to its home."""
        spec = address.spec
        if spec.flags & IFA_F_NOPREFIXROUTE:
            return ()
        self._read_once()
        where = network(spec.key, spec.peer)
        routes = self._routes.get(where)
        if routes is not None and home in routes:
            return ()  # it has the route, and will not lose its place
        routes = self._routes.setdefault(where, {})
        places = (self._place(other, held) for other, held in routes.items())
        behind = [place for place in places if place is not None and place[0] > address.order]
        routes[home] = []
        return [
            ShiftRoute(found, self._specs[found.key], other, away)
            for _, other, found in sorted(behind, key=lambda place: place[:2])
            for away in (True, False)
        ]

    def _place(self, member: str, held: Iterable[Address]) -> tuple[float, str, Address] | None:
        """Rank of a member's route and an address to shift it by; None when none of ours stays."""
        staying = [a for a in held if (a.key, member) in self._ranks]
        if not staying:
            return None
        first = min(staying, key=lambda a: self._ranks[a.key, member])
        return self._ranks[first.key, member], member, first

    def _read_once(self) -> None:
        if self._read:
            return
        self._read = True
        for member, held in self._snapshot.addresses.items():
            for one in held.values():
                if not one.flags & (IFA_F_SECONDARY | IFA_F_NOPREFIXROUTE):
                    routes = self._routes.setdefault(network(one.key, one.peer), {})
                    routes.setdefault(member, []).append(one)
        first = {
            one.key for routes in self._routes.values() for held in routes.values() for one in held
        }
        for address, target in self._wanted:
            key = address.spec.key
            if key in first:
                self._specs[key] = address.spec
                self._ranks[key, target] = address.order if target == address.home else inf
