"""Through which members a route should leave at once: `outbound = "spread"`. Pure.

Solaris sends through all active members, whichever has the address (ipmp-semantics 5.2). Here the
group's routes become multipath routes with one nexthop a member, and the kernel chooses by flow. A
nexthop whose member loses its carrier is passed over by the kernel itself, so this goes on while
the daemon hangs or is dead (linux-peers 1.5).

IPv4
    A member takes part where the kernel asks by ARP in the name of an address of the network in
    question: a data address that is placed there, or a test address. An anchor does not do: a
    router that checks its reverse path, or answers only within its subnet, leaves such a question
    unanswered, and a share of all flows would go nowhere. With no address at all the kernel would
    ask in the name of another member's and turn its peers to the wrong one (linux-peers 1.7).
    What is on-link leaves through a route of our own (MADE) in front of the kernel's connected
    ones. They stay behind it, so there is always a way when it is deleted.
    With the interface of a member that vanishes (not its carrier) the kernel drops every IPv4 route
    that leaves through it among others; the daemon puts them back some milliseconds later.
    A route without a source gets the one that the kernel takes at home; else it would take one of
    each nexthop's member, its test address for example.

IPv6
    The kernel refuses nexthops without a gateway, so only routes with one are spread; neighbours
    are asked from the link-local address, which every member has. What is on-link leaves through
    the member that has the address. A MADE route of last resort on every active member takes over
    when that one is dead; the kernel also wants it to believe in a gateway of that network.

Left as they are: routes that share their key, since the kernel would replace the wrong one, and
those that fewer than two members can carry. `placement` has the rules for these.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import msgspec

from ipmp.config import GroupConfig
from ipmp.group import Group
from ipmp.homes import Homes
from ipmp.placement import Network, RoutePlacement, network, place_routes
from ipmp.world import (
    AF_INET,
    AF_INET6,
    IFA_F_NOPREFIXROUTE,
    MADE,
    OWNER,
    SCOPE_LINK,
    DataAddress,
    DataRoute,
    Route,
    RouteIdentity,
    RouteKey,
    Snapshot,
    SpreadRoute,
    address_of,
    is_ipv4,
)

TABLE_MAIN = 254

#: Metric of the routes of last resort, the first member's; behind all that others would choose.
LAST_RESORT = 100_000


class Spreading(msgspec.Struct, frozen=True, gc=False):
    """A route that should leave through several members, or one that is made for that."""

    route: Route  # as it is at home; without payload when it is made
    members: tuple[str, ...]
    source: str | None = None
    needs: tuple[tuple[str, str], ...] = ()  # (member, address) that must be there first

    @property
    def identity(self) -> RouteIdentity:
        """Key and gateway."""
        return self.route.identity

    @property
    def made(self) -> bool:
        """Whether it is nobody else's."""
        return self.route.protocol == MADE

    def is_so(self, found: SpreadRoute) -> bool:
        """Whether a route in the kernel is this one, over these members."""
        owner = MADE if self.made else OWNER
        return (found.identity, found.protocol, found.source, set(found.members)) == (
            self.identity,
            owner,
            self.source,
            set(self.members),
        )


class Spread(msgspec.Struct, frozen=True):
    """What should be spread, what was made and is not wanted any more, and who is left out."""

    spreadings: tuple[Spreading, ...] = ()
    obsolete: tuple[SpreadRoute, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()  # (member, network) without an address to ask from


def place_egress(
    config: GroupConfig,
    group: Group,
    homes: Homes,
    targets: Mapping[str, str],
    snapshot: Snapshot,
) -> tuple[list[RoutePlacement], Spread]:
    """Return where the group's routes should leave: through one member each, or spread.

    `targets` says where each address (by key) will be.
    """
    wanted: tuple[Spreading, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    if config.outbound == "spread":
        ways = _Ways(config, group, homes, targets, snapshot)
        shared = Counter(route.route.key for route in homes.routes)
        wanted = (*ways.made(shared), *ways.over(r for r in homes.routes if shared[_key(r)] == 1))
        left_out = tuple(ways.left_out())
    identities = {spreading.identity for spreading in wanted}
    rest = (route for route in homes.routes if route.identity not in identities)
    unwanted = [r for r in snapshot.spread if r.protocol == MADE and r.identity not in identities]
    failed = not any(member.active for member in group.members)  # then nothing is moved
    return (
        list(place_routes(group, rest, targets, snapshot)),
        Spread(wanted, () if failed else tuple(unwanted), left_out),
    )


def _key(route: DataRoute) -> RouteKey:
    return route.route.key


class _Ways:
    """What each active member can carry once all addresses are where they should be."""

    def __init__(
        self,
        config: GroupConfig,
        group: Group,
        homes: Homes,
        targets: Mapping[str, str],
        snapshot: Snapshot,
    ) -> None:
        self._names = [member.name for member in group.members]
        active = {member.name for member in group.members if member.active}
        self._active = [name for name in self._names if name in active]
        data = sorted(homes.addresses.values(), key=lambda address: address.order)
        placed = [address for address in data if address.key in targets]
        self._ipv4 = [address for address in placed if is_ipv4(address.key)]
        self._networks: dict[Network, list[DataAddress]] = {}
        for address in placed:
            where = network(address.key)
            if where.host_bits and not address.spec.peer:
                self._networks.setdefault(where, []).append(address)
        self._sizes = sorted({where.host_bits for where in self._networks})
        self._senders = {
            name: _Senders(_held(name, config, placed, targets, snapshot)) for name in self._active
        }
        self._link_local = {
            name: key
            for name in self._active
            for key in snapshot.addresses.get(name, ())
            if key.startswith("fe80:")
        }

    def made(self, taken: Mapping[RouteKey, int]) -> Iterator[Spreading]:
        """The routes that are needed besides; none where an operator has one with that key."""
        for where, addresses in self._networks.items():
            first = addresses[0]
            connected = [a for a in addresses if not a.spec.flags & IFA_F_NOPREFIXROUTE]
            if not connected:
                continue
            if where[0]:
                metric = min(address.spec.metric for address in connected)
                found = [self._made(where, metric, self._able(where), address_of(first.key))]
            else:
                found = [
                    self._made(where, LAST_RESORT + self._names.index(name), [(name, key)])
                    for name, key in self._link_local.items()
                ]
            yield from (s for s in found if s.members and s.route.key not in taken)

    def over(self, routes: Iterable[DataRoute]) -> Iterator[Spreading]:
        """The routes that at least two members can carry."""
        for route in routes:
            able = self._carriers(route.route)
            if len(able) > 1:
                members = tuple(name for name, _ in able)
                yield Spreading(route.route, members, self._source(route), tuple(able))

    def left_out(self) -> Iterator[tuple[str, str]]:
        """Members that have no address to ask from, with the networks concerned."""
        for where in self._networks:
            if where[0]:
                able = {name for name, _ in self._able(where)}
                yield from ((name, _text(where)) for name in self._active if name not in able)

    def _carriers(self, route: Route) -> list[tuple[str, str]]:
        gateway, ipv4 = route.gateway, route.key.family == AF_INET
        where = self._containing(gateway) if gateway is not None else None
        if ipv4 and where is not None:
            return self._able(where)
        if ipv4 and (gateway is None or route.onlink):
            senders = ((name, senders.first) for name, senders in self._senders.items())
            return [(name, address_of(key)) for name, key in senders if key is not None]
        if not ipv4 and gateway is not None and (gateway.startswith("fe80:") or where is not None):
            return [(name, address_of(key)) for name, key in self._link_local.items()]
        return []

    def _able(self, where: Network) -> list[tuple[str, str]]:
        """Members that ask for neighbours in the name of an address of this IPv4 network."""
        senders = ((name, senders.towards(where)) for name, senders in self._senders.items())
        return [(name, address_of(key)) for name, key in senders if key is not None]

    def _containing(self, gateway: str) -> Network | None:
        number, ipv4 = int(ipaddress.ip_address(gateway)), is_ipv4(gateway)
        candidates = (Network(ipv4, number >> bits, bits) for bits in self._sizes)
        return next((where for where in candidates if where in self._networks), None)

    def _source(self, route: DataRoute) -> str | None:
        """What the kernel would take at home, for it takes one of each nexthop's member else."""
        if route.route.source is not None or route.route.key.family != AF_INET:
            return route.route.source
        where = self._containing(route.route.gateway) if route.route.gateway else None
        near = self._networks[where] if where is not None else self._ipv4
        at_home = (address for address in near if address.home == route.home)
        first = next(chain(at_home, near), None)
        return address_of(first.key) if first is not None else None

    def _made(
        self,
        where: Network,
        metric: int,
        able: Sequence[tuple[str, str]],
        source: str | None = None,
    ) -> Spreading:
        members = tuple(name for name, _ in able)
        family = AF_INET if where.ipv4 else AF_INET6
        key = RouteKey(family, TABLE_MAIN, _text(where), 0, metric)
        home = members[0] if members else ""
        route = Route(key, home, MADE, None, source, onlink=False, raw=b"")
        return Spreading(route, members, source, tuple((m, address_of(a)) for m, a in able))


class _Senders:
    """The IPv4 addresses of one member, as the kernel chooses among them to ask by ARP.

    linux:net/ipv4/devinet.c inet_select_addr: one whose prefix covers the target, else the first.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self.first: str | None = None
        self._covering: dict[Network, str] = {}
        for key in keys:
            self.first = self.first or key
            self._covering.setdefault(network(key), key)

    def towards(self, where: Network) -> str | None:
        """The one used in this network, if it belongs there."""
        if where in self._covering:
            return self._covering[where]
        if self.first is None:
            return None
        number = int(ipaddress.ip_address(address_of(self.first)))
        return self.first if number >> where.host_bits == where.prefix else None


def _held(
    name: str,
    config: GroupConfig,
    data: Sequence[DataAddress],
    targets: Mapping[str, str],
    snapshot: Snapshot,
) -> Iterator[str]:
    """The IPv4 addresses that a member will have, without its anchor, in the kernel's order."""
    found = snapshot.addresses.get(name, {})
    test = config.probe.test_addresses.get(name)
    for key, address in found.items():
        if is_ipv4(key) and address.scope < SCOPE_LINK and targets.get(key, name) == name:
            yield key
    if test is not None and is_ipv4(test) and test not in found:
        yield test
    for one in data:
        if is_ipv4(one.key) and targets.get(one.key) == name and one.key not in found:
            yield one.key


def _text(where: Network) -> str:
    ipv4, prefix, host_bits = where
    number, length = prefix << host_bits, (32 if ipv4 else 128) - host_bits
    family = ipaddress.IPv4Network if ipv4 else ipaddress.IPv6Network
    return str(family((number, length)))
