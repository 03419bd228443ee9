"""Values of a small world: links, addresses, routes and groups, for tests of what is pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ipmp.group import Event, Group, Member
from ipmp.homes import Codec
from ipmp.kernel.codec import declared_spec
from ipmp.model import InterfaceState
from ipmp.world import (
    AF_INET,
    AF_INET6,
    IFA_F_PERMANENT,
    OWNER,
    Address,
    AddressSpec,
    DataAddress,
    Link,
    Route,
    RouteKey,
    Snapshot,
    SpreadRoute,
    is_ipv4,
)

MEMBERS = ("a", "b", "c")


def family_of(key: str) -> int:
    return AF_INET if is_ipv4(key) else AF_INET6


def link(name: str, *, up: bool = True, carrier: bool | None = True) -> Link:
    return Link(name, 1 + MEMBERS.index(name), up, carrier, f"02:00:00:00:00:0{name}", 1500)


def address(
    key: str,
    member: str,
    *,
    flags: int = IFA_F_PERMANENT,
    scope: int = 0,
    proto: int = 0,
    label: str = "",
    more: str = "",
) -> Address:
    """As found on a member; `more` stands for attributes that only its payload shows."""
    label = label or member
    raw = f"{key} {member} {flags} {scope} {proto} {label} {more}".encode()
    return Address(key, family_of(key), member, flags, scope, proto, label, raw)


def data_address(key: str, order: int = 0, home: str | None = None) -> DataAddress:
    return DataAddress(declared_spec(key), "g", order, home)


def route(
    destination: str,
    member: str,
    gateway: str | None = None,
    *,
    source: str | None = None,
    metric: int = 0,
    protocol: int = 3,
    onlink: bool = False,
    family: int = AF_INET,
    more: str = "",
) -> Route:
    """As found on a member; `more` stands for attributes that only its payload shows."""
    key = RouteKey(family, 254, destination, 0, metric)
    raw = f"{key} {member} {gateway} {source} {protocol} {onlink} {more}".encode()
    return Route(key, member, protocol, gateway, source, onlink, raw)


def spread(
    home: Route, members: str, *, protocol: int = OWNER, source: str | None = None
) -> SpreadRoute:
    """As found, spread over members."""
    return SpreadRoute(home.key, tuple(members), protocol, home.gateway, source, home.raw)


def snapshot(
    held: Mapping[str, Iterable[str | Address]],
    routes: Iterable[Route] = (),
    links: Iterable[Link | str] = MEMBERS,
    spread: Iterable[SpreadRoute] = (),
) -> Snapshot:
    """What the kernel has, in its order: addresses by member (keys are plain ones), and routes."""
    present = [one if isinstance(one, Link) else link(one) for one in links]
    found: dict[str, dict[str, Address]] = {one.name: {} for one in present}
    for member, addresses in held.items():
        for one in addresses:
            whole = one if isinstance(one, Address) else address(one, member)
            found[member][whole.key] = whole
    return Snapshot(
        {one.name: one for one in present},
        found,
        {one.name: [r for r in routes if r.member == one.name] for one in present},
        list(spread),
    )


def group(active: Collection[str] = MEMBERS, *, failback: bool = True) -> Group:
    """The members in the order of their names; those that are not active have failed."""
    members = tuple(
        Member(
            name,
            state=InterfaceState.OK if name in active else InterfaceState.FAILED,
            known=True,
            event=Event.LINK_UP if name in active else Event.LINK_DOWN,
        )
        for name in MEMBERS
    )
    return Group("g", members, failback)


def _spec_of(found: Address) -> AddressSpec:
    prefixlen = int(found.key.rpartition("/")[2])
    return AddressSpec(found.key, found.family, prefixlen, found.scope, found.flags, found.raw)


def _gathered(found: SpreadRoute, member: str) -> Route:
    key, gateway, source = found.key, found.gateway, found.source
    return Route(key, member, found.protocol, gateway, source, onlink=False, raw=found.raw)


CODEC = Codec(_spec_of, declared_spec, _gathered)
