"""Which member should carry which address, and through which member routes should leave. Pure.

Rules for an address, first match wins (ipmp-semantics 1.3, 5.1):

  1. no member is active            -> it stays where it is (a group failure moves nothing)
  2. its home is active, and either failback is on or nothing better holds it now -> home; but an
     address that has moved too often lately (`restless`) stays where it works
  3. an active member holds it      -> it stays there; but without a home, and with failback, it is
                                       levelled: it moves when that member has two more addresses
                                       than the emptiest one
  4. otherwise                      -> the active member with the fewest addresses, first in order

An IPv6 address goes only where IPv6 is not disabled.

What rules 2 and 3 decide is counted before anything is levelled or placed by rule 4, so that one
pass comes to rest: placing again what has been placed changes nothing.

Rules for a route: it leaves through its home under the same conditions, but only where its gateway
is on-link by an address placed there: a route through a member without an address of that subnet
would be refused by the kernel or break ARP (linux-peers 1.7).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import msgspec

from ipmp.decision import Reason
from ipmp.group import Group
from ipmp.world import (
    AF_INET,
    AF_INET6,
    DataAddress,
    DataRoute,
    Route,
    Snapshot,
    address_of,
    is_ipv4,
    prefix_of,
)


class Network(NamedTuple):
    """What an address puts on-link."""

    ipv4: bool
    prefix: int
    host_bits: int  # how many


class Placement(msgspec.Struct, frozen=True, gc=False):
    """Where an address should be; target None means: leave it alone."""

    address: DataAddress
    target: str | None
    reason: Reason


class RoutePlacement(msgspec.Struct, frozen=True, gc=False):
    """Through which member a route should leave; target None means: leave it alone."""

    route: DataRoute
    target: str | None


def place_addresses(
    group: Group,
    addresses: Sequence[DataAddress],
    snapshot: Snapshot,
    seats: Mapping[str, str],
    restless: Container[str] = (),
) -> Iterator[Placement]:
    """Yield the placement of each address, in order. Lazy, so that a caller may pause.

    Of several members that hold an address it is the one of `seats` that counts as its holder.
    """
    present = snapshot.present()
    held = {m.name: present.get(m.name, set()) for m in group.members if m.active}
    if not held:
        yield from (Placement(address, None, Reason.NO_USABLE_MEMBER) for address in addresses)
        return
    holders: dict[str, str] = {}
    for name in reversed(held):
        holders |= dict.fromkeys(held[name], name)
    holders |= {key: seat for key, seat in seats.items() if key in held.get(seat, ())}
    ipv6 = [name for name in held if name in snapshot.links and snapshot.links[name].ipv6]
    fit: dict[int, Sequence[str]] = {AF_INET: list(held), AF_INET6: ipv6}
    failback = group.failback
    settled = [
        _settle(
            address, holders.get(address.spec.key), fit[address.spec.family], failback, restless
        )
        for address in addresses
    ]
    load = dict.fromkeys(held, 0)
    for where, _ in settled:
        if where is not None:
            load[where] += 1
    for address, (where, reason) in zip(addresses, settled, strict=True):
        able = fit[address.spec.family]
        if not able:
            reason = Reason.NO_USABLE_MEMBER
        elif where is None or (failback and address.home is None):
            emptiest = min(able, key=load.__getitem__)
            if where is None or load[where] > load[emptiest] + 1:
                load[emptiest] += 1
                if where is not None:
                    load[where] -= 1
                where, reason = emptiest, _USABLE_MEMBER
        yield Placement(address, where, reason)


#: Reasons of most addresses: asking an enumeration takes longer than the rest of the decision.
_USABLE_MEMBER, _FAILBACK = Reason.USABLE_MEMBER, Reason.FAILBACK


def _settle(
    address: DataAddress,
    holder: str | None,
    active: Container[str],
    failback: bool,
    restless: Container[str],
) -> tuple[str | None, Reason]:
    """Rules 2 and 3 without levelling: its place whatever becomes of the others."""
    home = address.home
    if home not in active:
        return holder, _USABLE_MEMBER
    if holder is None or holder == home:
        return home, _FAILBACK
    if not failback:
        return holder, Reason.FAILBACK_DISABLED
    if address.spec.key in restless:
        return holder, Reason.MOVE_LIMIT
    return home, _FAILBACK


def place_routes(
    group: Group,
    routes: Iterable[DataRoute],
    targets: Mapping[str, str],
    snapshot: Snapshot,
) -> Iterator[RoutePlacement]:
    """Yield the placement of each route; `targets` says where each address (by key) will be."""
    active = [m.name for m in group.members if m.active]
    peers = snapshot.peers()
    reach = {name: _reach(name, targets, peers, snapshot) for name in active}
    found = snapshot.routes_by_identity
    for route in routes:
        fit = [name for name in active if reach[name].carries(route)]
        where = found.get(route.identity, {})
        yield RoutePlacement(route, _route_target(group, route, fit, where, reach))


def _route_target(
    group: Group,
    route: DataRoute,
    fit: Sequence[str],
    where: Mapping[str, Route],
    reach: Mapping[str, Reach],
) -> str | None:
    if not fit:
        return None
    holder = next((m for m in where if m != route.home), route.home if where else None)
    if route.home in fit and (group.failback or holder not in fit):
        return route.home
    if holder in fit:
        return holder
    with_source = (name for name in fit if route.route.source in reach[name].addresses)
    return next(with_source, fit[0])


def _reach(
    name: str, targets: Mapping[str, str], peers: Mapping[str, str], snapshot: Snapshot
) -> Reach:
    """Of the addresses that will be on a member: those placed there and those that never move."""
    placed = (key for key, target in targets.items() if target == name)
    fixed = (key for key in snapshot.addresses.get(name, {}) if key not in targets)
    return Reach(chain(placed, fixed), peers)


class Reach:
    """What the addresses of a member put within reach: sources, and networks that are on-link."""

    def __init__(self, keys: Iterable[str] = (), peers: Mapping[str, str] | None = None) -> None:
        self._peers = peers or {}
        found = [_reached(key, self._peers.get(key, "")) for key in keys]
        self.addresses = {address for address, _ in found}
        networks = {network for _, network in found}
        self._networks = {ipv4: {n for n in networks if n.ipv4 is ipv4} for ipv4 in (True, False)}

    def add(self, key: str) -> None:
        """The member has, or will have, this address."""
        address, network = _reached(key, self._peers.get(key, ""))
        self.addresses.add(address)
        self._networks[network.ipv4].add(network)

    def carries(self, route: DataRoute) -> bool:
        """Whether a member with these addresses can carry a route.

        It needs an address of the route's family (IPv6 makes do with the link-local one), and one
        that puts the gateway on-link unless that is link-local or flagged `onlink`.
        """
        gateway, ipv4 = route.route.gateway, route.route.key.family == AF_INET
        networks = self._networks[ipv4]
        if gateway is None or route.route.onlink or gateway.startswith("fe80:"):
            return not ipv4 or bool(networks)
        number = int(ipaddress.ip_address(gateway))
        return any(number >> host_bits == prefix for _, prefix, host_bits in networks)


def network(key: str, peer: str = "") -> Network:
    """The network of an address, or of its peer, which is then what is on-link."""
    return _reached(key, peer)[1]


@lru_cache(maxsize=65536)
def _reached(key: str, peer: str) -> tuple[str, Network]:
    """An address, and its `network`."""
    address, ipv4 = address_of(key), is_ipv4(key)
    number = ipaddress.IPv4Address if ipv4 else ipaddress.IPv6Address
    host_bits = (32 if ipv4 else 128) - prefix_of(key)
    return address, Network(ipv4, int(number(peer or address)) >> host_bits, host_bits)
