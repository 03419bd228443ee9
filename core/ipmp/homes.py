"""What belongs to a group and where it is at home: data addresses and the routes that follow. Pure.

The kernel knows where things are, not where they belong. `Homes` is that knowledge; it is derived
from the configuration and from what is found on members, and kept in a file by `intent` because a
restart in the middle of a move could not find it out again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

import msgspec

from ipmp.config import GroupConfig
from ipmp.decision import Decision, Kind, Reason
from ipmp.world import (
    AF_INET6,
    OWNER,
    SCOPE_UNIVERSE,
    Address,
    AddressSpec,
    DataAddress,
    DataRoute,
    Route,
    RouteIdentity,
    RouteKey,
    Snapshot,
    SpreadRoute,
    address_of,
    is_ipv4,
    place_of,
    with_peer,
)


class Homes(msgspec.Struct, frozen=True):
    """Data addresses by key, in order, and the routes that follow the group."""

    addresses: dict[str, DataAddress] = {}
    routes: tuple[DataRoute, ...] = ()

    @property
    def size(self) -> int:
        """How much there is to keep in place."""
        return len(self.addresses) + len(self.routes)


class Codec(msgspec.Struct, frozen=True):
    """How specs are made; handed in, so that this module needs no kernel."""

    found: Callable[[Address], AddressSpec]
    declared: Callable[[str], AddressSpec]
    gathered: Callable[[SpreadRoute, str], Route]  # as it leaves through one member alone


def remember(
    homes: Homes,
    config: GroupConfig,
    snapshot: Snapshot,
    codec: Codec,
    removed: Collection[RouteKey] = (),
    leaving: Collection[RouteIdentity] = (),
) -> tuple[Homes, tuple[Decision, ...]]:
    """Learn from a snapshot; returns the same object when there was nothing to learn.

    `removed` are routes that others have removed, `leaving` those on their way out of the group.
    """
    decisions: list[Decision] = []
    addresses = _learn_addresses(homes, config, snapshot, codec, decisions)
    sources = {address_of(key) for key in addresses}
    known = {r.identity: r for r in homes.routes}
    _learn_spread(known, config, snapshot, codec, leaving, sources)
    routes = _learn_routes(known, homes, config, snapshot, removed, sources, decisions)
    if addresses == homes.addresses and routes == homes.routes:
        return homes, tuple(decisions)
    return Homes(addresses, routes), tuple(decisions)


def forget_missing(homes: Homes, config: GroupConfig, snapshot: Snapshot) -> Homes:
    """After a clean stop: what was found and is nowhere now was taken away on purpose.

    Only while every member exists and is up, otherwise it may have gone with the one that had it.
    """
    links = snapshot.links
    if not all(member in links and links[member].up for member in config.members):
        return homes
    addresses = {
        key: address
        for key, address in homes.addresses.items()
        if not address.adopted or snapshot.holders(key)
    }
    found = snapshot.identities
    return Homes(addresses, tuple(r for r in homes.routes if r.identity in found))


def claim(homes: Homes, snapshot: Snapshot) -> Snapshot:
    """Call addresses that differ only in their peer as they are called in the homes.

    The kernel tells them in the order of each member, and one of them may be on another member.
    """
    if not snapshot.peers():
        return snapshot
    known = homes.addresses
    addresses: dict[str, dict[str, Address]] = {}
    for member, held in snapshot.addresses.items():
        addresses[member] = {}
        for address in held.values():
            plain = address.key.partition(" ")[0]
            owner, named = known.get(plain), with_peer(address)
            if address.peer and named.key in known:
                address = named
            elif owner is not None and owner.spec.peer == address.peer:
                address = msgspec.structs.replace(address, key=plain)
            elif owner is not None and address.peer and is_ipv4(plain):
                address = named
            addresses[member][address.key] = address
    return msgspec.structs.replace(snapshot, addresses=addresses)


def without(homes: Homes, gone: Iterable[DataAddress], members: Collection[str]) -> Homes:
    """Drop what was retired, and what is at home on an interface that left the group.

    Routes that have a retired address as their source go with it: the kernel removes them, too.
    """
    dropped = {address.key for address in gone}
    addresses = {
        key: address
        for key, address in homes.addresses.items()
        if key not in dropped and (address.home is None or address.home in members)
    }
    sources = set(map(address_of, dropped)) - set(map(address_of, addresses))
    routes = tuple(
        route
        for route in homes.routes
        if route.home in members and route.route.source not in sources
    )
    return Homes(addresses, routes)


def retired(homes: Homes, config: GroupConfig) -> Iterator[DataAddress]:
    """Declared addresses that are no longer in the configuration."""
    declared = {d.address for d in config.addresses}
    for address in homes.addresses.values():
        if not address.adopted and address.key not in declared:
            yield address


def dynamic_addresses(config: GroupConfig, snapshot: Snapshot) -> Iterator[Address]:
    """Global addresses on members that somebody renews, so they stay there (linux-peers 1.10)."""
    declared = {d.address for d in config.addresses}
    for held in snapshot.addresses.values():
        for address in held.values():
            if address.scope == SCOPE_UNIVERSE and address.dynamic and address.key not in declared:
                yield address


def _learn_addresses(
    homes: Homes,
    config: GroupConfig,
    snapshot: Snapshot,
    codec: Codec,
    decisions: list[Decision],
) -> dict[str, DataAddress]:
    declared = {d.address: d for d in config.addresses}
    tests = set(config.probe.test_addresses.values())
    known = dict(homes.addresses)
    order = max((a.order for a in known.values()), default=-1) + 1
    for held in snapshot.addresses.values():
        for address in held.values():
            old = known.get(address.key)
            if old is not None:
                if old.seen != address.raw:  # of thousands, all but a few are as they were
                    known[address.key] = _refreshed(old, address, codec)
            elif address.key in declared or _adoptable(address, config, tests):
                known[address.key] = _found(address, config, order, codec, address.key in declared)
                order += 1
                decisions.append(_adopted(known[address.key], address.member))
    for key, declaration in declared.items():
        old = known.get(key)
        if old is None:
            spec = codec.declared(key)
            known[key] = DataAddress(spec, config.name, order, declaration.home, False, OWNER)
            order += 1
        elif declaration.home is not None and old.home != declaration.home:
            known[key] = msgspec.structs.replace(old, home=declaration.home, label="")
    return known


def _adoptable(address: Address, config: GroupConfig, tests: Collection[str]) -> bool:
    return (
        config.adopt
        and address.scope == SCOPE_UNIVERSE
        and not address.dynamic
        and address.key not in tests
    )


def _found(
    address: Address, config: GroupConfig, order: int, codec: Codec, declared: bool
) -> DataAddress:
    """An address seen for the first time is at home where it is, unless it is a copy of ours."""
    home = None if address.proto == OWNER and not declared else address.member
    for declaration in config.addresses:
        if declaration.address == address.key and declaration.home is not None:
            home = declaration.home
    label = address.label if address.label != address.member else ""
    return DataAddress(
        spec=codec.found(address),
        group=config.name,
        order=order,
        home=home,
        adopted=not declared,
        proto=address.proto,
        label=label,
        seen=address.raw,
    )


def _refreshed(old: DataAddress, seen: Address, codec: Codec) -> DataAddress:
    """Somebody may have changed metric, broadcast or label of an address at home: keep that."""
    if seen.member != old.home or seen.proto == OWNER or seen.shifted:
        return old
    return msgspec.structs.replace(
        old,
        spec=codec.found(seen),
        label=seen.label if seen.label != seen.member else "",
        proto=seen.proto,
        seen=seen.raw,
    )


def _adopted(address: DataAddress, member: str) -> Decision:
    reason = Reason.FOUND if address.adopted else Reason.DECLARED
    return Decision(
        Kind.ADDRESS_ADOPTED, reason, address.group, interface=member, address=address.key
    )


def _learn_spread(
    known: dict[RouteIdentity, DataRoute],
    config: GroupConfig,
    snapshot: Snapshot,
    codec: Codec,
    leaving: Collection[RouteIdentity],
    sources: Collection[str],
) -> None:
    """What is spread and has no home (it left the group, or was forgotten) gets one.

    One that has lost its source for good (IPv6) is known without it from now on.
    """
    for spread in snapshot.spread:
        if spread.protocol != OWNER or spread.identity in leaving:
            continue
        old = known.get(spread.identity)
        if old is None:
            home = next((m for m in spread.members if m in config.members), None)
            if home is not None:
                known[spread.identity] = DataRoute(codec.gathered(spread, home), config.name)
        elif spread.source is None and old.route.source not in (None, *sources):
            found = codec.gathered(spread, old.home)
            if found.key.family == AF_INET6:
                known[spread.identity] = _without_source(old, found)


def _learn_routes(
    known: dict[RouteIdentity, DataRoute],
    homes: Homes,
    config: GroupConfig,
    snapshot: Snapshot,
    removed: Collection[RouteKey],
    sources: Collection[str],
    decisions: list[Decision],
) -> tuple[DataRoute, ...]:
    found = [route for held in snapshot.routes.values() for route in held]
    present = snapshot.identities
    fresh = present - {route.identity for route in homes.routes}
    for route in found:
        old = known.get(route.identity)
        if old is None:
            known[route.identity] = DataRoute(route, config.name)
        elif route.source is None and old.route.source is not None:
            if old.route.source not in sources:
                known[route.identity] = _without_source(old, route)
        elif route.protocol != OWNER and route != old.route and old.route not in found:
            known[route.identity] = DataRoute(route, config.name)
    _drop_replaced(known, present, fresh)
    for identity, gone in list(known.items()):
        if identity[0] in removed and identity not in present:
            del known[identity]
            decisions.append(_route_forgotten(gone))
    return tuple(known.values())


def _drop_replaced(
    known: dict[RouteIdentity, DataRoute],
    present: Collection[RouteIdentity],
    fresh: Collection[RouteIdentity],
) -> None:
    """A route is gone because a fresh one took over its place in the kernel: `ip route replace`.

    One that has been beside it before has not, unless it had taken over while the kernel was read.
    """
    taken = set(map(place_of, fresh))
    taken |= {place for place in map(place_of, present) if place[1]}
    for identity in list(known):
        if identity not in present and place_of(identity) in taken:
            del known[identity]


def _without_source(old: DataRoute, found: Route) -> DataRoute:
    """The kernel takes its source from an IPv6 route when the address is nowhere (linux-peers 1.5).

    When that is a data address it comes back, and the source with it; else it is gone for good.
    """
    route = msgspec.structs.replace(found, member=old.home, protocol=old.route.protocol)
    return DataRoute(route, old.group)


def _route_forgotten(route: DataRoute) -> Decision:
    detail: dict[str, str | int | float] = {"value": str(route.route.key)}
    return Decision(
        Kind.ROUTE_FORGOTTEN,
        Reason.FOREIGN_CHANGE,
        route.group,
        interface=route.home,
        detail=detail,
    )
