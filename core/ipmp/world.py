"""What the kernel has and what the daemon knows of it: links, addresses, routes as plain values.

Members are called by name everywhere above the `kernel` package; only that package knows indices.
An address is identified by its text with prefix length ("192.168.1.5/24"): the same address with
another prefix length is another entry for the kernel, too (linux-peers 1.1). Where that is not
enough, the peer of a point-to-point address is named as well ("10.7.0.1/32 peer 10.7.0.3").
"""

from __future__ import annotations

from functools import cached_property, lru_cache

import msgspec

#: IFA_PROTO and rtm_protocol of everything that we own; survives SIGKILL (linux-peers 1.9).
OWNER = 0x9D
#: rtm_protocol of routes that nobody but us has ever made: they serve to spread (`spread`).
MADE = 0x9E

AF_INET = 2
AF_INET6 = 10

#: Interface address flags (linux:include/uapi/linux/if_addr.h).
IFA_F_SECONDARY = 0x01
IFA_F_NODAD = 0x02
IFA_F_OPTIMISTIC = 0x04
IFA_F_DADFAILED = 0x08
IFA_F_DEPRECATED = 0x20
IFA_F_TENTATIVE = 0x40
IFA_F_PERMANENT = 0x80
IFA_F_NOPREFIXROUTE = 0x200

ETHERNET_BYTES = 6

SCOPE_UNIVERSE = 0
SCOPE_LINK = 253


class Link(msgspec.Struct, frozen=True, gc=False):
    """A network interface as RTM_GETLINK tells it."""

    name: str
    ifindex: int
    up: bool  # IFF_UP: administratively
    carrier: bool | None  # None when the driver does not report it
    hwaddr: str
    mtu: int
    type: int = 1  # ARPHRD_*: 1 is Ethernet
    losses: int = 0  # how often its carrier has gone, as the kernel counts
    ipv6: bool = True  # it may have IPv6 addresses
    router: bool = False  # it forwards IPv6: the Router flag of its advertisements follows
    speed: int = 0  # Mb/s; 0 when the driver does not tell
    renamed: str = ""  # its present name, when that is not the configured one any more

    @property
    def device(self) -> str:
        """The name by which the kernel knows it."""
        return self.renamed or self.name

    @property
    def ethernet(self) -> bytes | None:
        """Its address in Ethernet frames; None where it has none (tun, GRE, InfiniBand)."""
        return _ethernet(self.hwaddr)


@lru_cache
def _ethernet(hwaddr: str) -> bytes | None:
    packed = bytes.fromhex(hwaddr.replace(":", ""))
    return packed if len(packed) == ETHERNET_BYTES and any(packed) else None


class Address(msgspec.Struct, frozen=True, gc=False):
    """One address as found on one member."""

    key: str  # "192.168.1.5/24"
    family: int
    member: str
    flags: int
    scope: int
    proto: int
    label: str
    raw: bytes  # the netlink payload (ifaddrmsg and attributes)
    peer: str = ""  # of a point-to-point address
    shifted: bool = False  # its connected route is away (`plan.onlink`)

    @property
    def dynamic(self) -> bool:
        """It has a lifetime: DHCP or RA renews it, so it cannot be moved (linux-peers 1.2)."""
        return not self.flags & IFA_F_PERMANENT


class AddressSpec(msgspec.Struct, frozen=True, gc=False):
    """How an address is configured, wherever it sits: what must survive a move unchanged."""

    key: str
    family: int
    prefixlen: int
    scope: int
    flags: int  # only those that a copy carries
    attributes: bytes  # netlink attributes without label, flags, owner and cache info
    peer: str = ""  # of a point-to-point address; it is among the attributes, too
    metric: int = 0  # of its connected route, where it names one; among the attributes, too


class DataAddress(msgspec.Struct, frozen=True, gc=False):
    """An address that the group keeps alive on one of its members."""

    spec: AddressSpec
    group: str
    order: int  # position in its subnet: the primary stays primary (linux-peers 1.3)
    home: str | None = None
    adopted: bool = False
    proto: int = 0  # IFA_PROTO that it carries at home; an adopted one keeps its own
    label: str = ""  # label that it carries at home, IPv4
    seen: bytes = b""  # the netlink payload from which this was learnt

    @property
    def key(self) -> str:
        """The address with its prefix length; loops over thousands ask the spec itself."""
        return self.spec.key


class RouteKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """What makes a route *the same route* for RTM_NEWROUTE with NLM_F_REPLACE."""

    family: int
    table: int
    destination: str  # "default", "10.0.0.0/8" or "2001:db8::/32 from 2001:db8:1::/48"
    tos: int
    metric: int

    def __str__(self) -> str:
        table = "" if self.table == 254 else f" table {self.table}"
        metric = f" metric {self.metric}" if self.metric else ""
        family = "" if self.family == AF_INET else "IPv6 "
        return f"{family}route {self.destination}{table}{metric}"


RouteIdentity = tuple[RouteKey, str | None]  # the same, whichever member it leaves through
RoutePlace = tuple[RouteKey, bool]  # see `place_of`


def place_of(identity: RouteIdentity) -> RoutePlace:
    """What a route takes that replaces another one, and which kind it is: IPv6 with a gateway?

    IPv6 has at most one of that kind in one place (else it makes one multipath route of them), and
    replaces it rather by its own kind.
    """
    key, gateway = identity
    return key, key.family != AF_INET and gateway is not None


class Route(msgspec.Struct, frozen=True, gc=False):
    """One unicast route out of one member; `raw` is sent back patched, so nothing is lost."""

    key: RouteKey
    member: str
    protocol: int
    gateway: str | None
    source: str | None  # RTA_PREFSRC
    onlink: bool  # its gateway need not be covered by an address
    raw: bytes  # the netlink payload (rtmsg and attributes)

    @property
    def identity(self) -> RouteIdentity:
        """Key and gateway."""
        return self.key, self.gateway


class DataRoute(msgspec.Struct, frozen=True, gc=False):
    """A route that follows the group's usable members; `route` is how it looks at home."""

    route: Route
    group: str

    @property
    def home(self) -> str:
        """The member on which it was found."""
        return self.route.member

    @property
    def identity(self) -> RouteIdentity:
        """Key and gateway."""
        return self.route.identity


class SpreadRoute(msgspec.Struct, frozen=True, gc=False):
    """A route as we have spread it over members (OWNER), or as we have made it for that (MADE)."""

    key: RouteKey
    members: tuple[str, ...]  # one for each nexthop
    protocol: int
    gateway: str | None
    source: str | None
    raw: bytes  # the netlink payload (rtmsg and attributes)

    @property
    def identity(self) -> RouteIdentity:
        """Key and gateway."""
        return self.key, self.gateway


class Snapshot(msgspec.Struct, dict=True):
    """One reading of the kernel, limited to the members of the groups; not changed once made."""

    links: dict[str, Link]
    addresses: dict[str, dict[str, Address]]  # member -> key -> address, in the kernel's order
    routes: dict[str, list[Route]]  # member -> managed routes, see kernel.codec
    spread: list[SpreadRoute] = []

    @property
    def size(self) -> int:
        """How much there is to look at."""
        return sum(map(len, (*self.addresses.values(), *self.routes.values())))

    def holders(self, key: str) -> list[str]:
        """Members that have the address `key` now."""
        return [member for member, held in self.addresses.items() if key in held]

    def present(self) -> dict[str, set[str]]:
        """Which member has what.

        A copy that duplicate detection stops, because another member has the address already, is as
        good as none (linux-peers 1.2).
        """
        present = {member: set(held) for member, held in self.addresses.items()}
        for member, held in self.addresses.items():
            for other, keys in present.items():
                for key in held.keys() & keys if other != member else ():
                    if held[key].flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED):
                        present[member].discard(key)
        return present

    def peers(self) -> dict[str, str]:
        """Peers of the point-to-point addresses among those that are held, by key."""
        held = (address for found in self.addresses.values() for address in found.values())
        return {address.key: address.peer for address in held if address.peer}

    @cached_property
    def routes_by_identity(self) -> dict[RouteIdentity, dict[str, Route]]:
        """Where each route is: member -> route, by identity."""
        found: dict[RouteIdentity, dict[str, Route]] = {}
        for member, routes in self.routes.items():
            for route in routes:
                found.setdefault(route.identity, {})[member] = route
        return found

    @cached_property
    def spread_by_identity(self) -> dict[RouteIdentity, list[SpreadRoute]]:
        """What is spread, by identity."""
        found: dict[RouteIdentity, list[SpreadRoute]] = {}
        for route in self.spread:
            found.setdefault(route.identity, []).append(route)
        return found

    @cached_property
    def identities(self) -> set[RouteIdentity]:
        """The routes that follow the group and are there, spread or not."""
        spread = {route.identity for route in self.spread if route.protocol == OWNER}
        return spread | self.routes_by_identity.keys()


def address_of(key: str) -> str:
    """The address without its prefix length."""
    return key.partition("/")[0]


def prefix_of(key: str) -> int:
    """The prefix length of an address key."""
    return int(key.partition("/")[2].partition(" ")[0])


def with_peer(address: Address) -> Address:
    """The address under a key that names its peer, too."""
    plain = address.key.partition(" ")[0]
    return msgspec.structs.replace(address, key=f"{plain} peer {address.peer}")


def enter(addresses: dict[str, dict[str, Address]], address: Address) -> None:
    """Add an address to those found so far, by member and key.

    IPv4 allows several addresses that differ only in their peer: the first one found has the plain
    key, until `homes.claim` knows better.
    """
    held = addresses[address.member]
    if not address.peer and address.key not in held:  # of thousands, all but a few
        held[address.key] = address
        return
    found = (others[address.key] for others in addresses.values() if address.key in others)
    twin = any(other.peer != address.peer for other in found)
    if twin and address.family == AF_INET:
        if address.peer:
            address = with_peer(address)
        elif address.key in held:
            other = with_peer(held[address.key])
            held[other.key] = other
    held[address.key] = address


def is_ipv4(key: str) -> bool:
    """Whether an address key is an IPv4 one."""
    return ":" not in key
