"""The steps of which a plan is made: each one change to the kernel, or one announcement."""

from __future__ import annotations

import msgspec

from ipmp.spread import Spreading
from ipmp.world import Address, AddressSpec, DataAddress, DataRoute, Route, SpreadRoute


class AddAddress(msgspec.Struct, frozen=True, gc=False):
    """Configure a copy of the address on a member."""

    address: DataAddress
    member: str
    label: str
    proto: int


class AddAnchor(msgspec.Struct, frozen=True, gc=False):
    """Keep an IPv4 address on a member that carries no other one."""

    member: str


class AddTestAddress(msgspec.Struct, frozen=True, gc=False):
    """Configure the address from which a member is probed; it never moves."""

    key: str
    member: str


class DeleteAddress(msgspec.Struct, frozen=True, gc=False):
    """Take the address away from a member."""

    key: str
    member: str
    peer: str = ""  # of a point-to-point address


class ReplaceRoute(msgspec.Struct, frozen=True, gc=False):
    """Let the route leave through a member, in place of wherever it leaves now.

    Not in place where that would hit another route: the kernel replaces the first of those that
    have the same key. Then it is added, and the old one deleted afterwards. IPv6 does that only
    with `beside`, which says that all others with this key are of the other kind: of those with and
    those without a gateway.
    """

    route: DataRoute
    member: str
    protocol: int
    in_place: bool = True
    beside: bool = False


class DeleteRoute(msgspec.Struct, frozen=True, gc=False):
    """Remove what a route that was not replaced in place has left on its old member."""

    route: Route
    member: str


class MakeSpread(msgspec.Struct, frozen=True, gc=False):
    """Let a route leave through several members, in place of what it is now.

    Not in place: an operator's route is added as `ReplaceRoute` does it, one of our own is put in
    front of those with the same key.
    """

    spreading: Spreading
    in_place: bool = True

    @property
    def member(self) -> str:
        """The first of its members."""
        return self.spreading.members[0]


class DeleteSpread(msgspec.Struct, frozen=True, gc=False):
    """Remove a route over several members, or one that was made for spreading."""

    route: SpreadRoute

    @property
    def member(self) -> str:
        """The first of its members that is known by name."""
        known = (name for name in self.route.members if not name.startswith("#"))
        return next(known, self.route.members[0])


class ShiftRoute(msgspec.Struct, frozen=True, gc=False):
    """Give the connected route of an address another metric (`away`), or its own one again.

    Both, one after the other, put the route behind those of other members (`plan.onlink`).
    """

    address: Address
    spec: AddressSpec
    member: str
    away: bool


class Announce(msgspec.Struct, frozen=True, gc=False):
    """Tell the link which member has the address; urgent ones are not paced."""

    address: DataAddress
    member: str
    urgent: bool


Step = (
    AddAddress
    | AddAnchor
    | AddTestAddress
    | DeleteAddress
    | ReplaceRoute
    | DeleteRoute
    | MakeSpread
    | DeleteSpread
    | ShiftRoute
    | Announce
)


def identity(step: Step) -> tuple[str, str]:
    """What a step does, in words, and to which member: how a refused one is remembered."""
    match step:
        case AddAddress(address=address, member=member):
            return f"add {address.key}", member
        case AddAnchor(member=member):
            return "add an anchor", member
        case AddTestAddress(key=key, member=member):
            return f"add the test address {key}", member
        case DeleteAddress(key=key, member=member):
            return f"delete {key}", member
        case ReplaceRoute(route=route, member=member):
            return f"replace {route.route.key}", member
        case DeleteRoute(route=leftover, member=member):
            return f"delete {leftover.key}", member
        case MakeSpread(spreading=spreading):
            return f"spread {spreading.route.key}", ", ".join(spreading.members)
        case DeleteSpread(route=spread):
            return f"delete {spread.key}", ", ".join(spread.members)
        case ShiftRoute(address=held, member=member):
            return f"shift the connected route of {held.key}", member
        case Announce(address=address, member=member):
            return f"announce {address.key}", member
