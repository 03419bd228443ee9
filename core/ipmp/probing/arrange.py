"""From the configuration and what the kernel shows to the paths and candidates of a group. Pure.

`auto` asks by ICMP where the member has its test address, else by ARP and neighbour solicitation,
which need none (linux-peers 3.4). A family is probed when the group has something to protect or to
ask in it: a data address, a test address or a configured target. A member that is offline is not
probed, nor is one without what its method needs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ipmp.config import GroupConfig
from ipmp.model import Family
from ipmp.probing.values import Candidates, Inquiry, Method, Nearby, Path, Setup
from ipmp.world import (
    AF_INET,
    AF_INET6,
    IFA_F_DADFAILED,
    IFA_F_DEPRECATED,
    IFA_F_TENTATIVE,
    SCOPE_UNIVERSE,
    Address,
    Link,
    Snapshot,
    address_of,
    is_ipv4,
)

AF = {Family.IPV4: AF_INET, Family.IPV6: AF_INET6}
UNUSABLE = IFA_F_TENTATIVE | IFA_F_DADFAILED


def arrange(
    config: GroupConfig, snapshot: Snapshot, nearby: Nearby, offline: Collection[str]
) -> Setup:
    """What the engine of this group must be told now."""
    families = tuple(_families(config, snapshot))
    paths = (
        path
        for member in config.members
        if member in snapshot.links and member not in offline
        for family in families
        for path in _path(config, snapshot, member, family)
    )
    own = _own(config, snapshot) | nearby.own
    return Setup(
        config.failure_detection_time,
        tuple(paths),
        {family: _candidates(config, snapshot, nearby, family, own) for family in families},
    )


def inquire(config: GroupConfig, snapshot: Snapshot) -> Inquiry:
    """What the kernel must be asked before `arrange`."""
    if config.probe.method == "off":
        return Inquiry(frozenset(), frozenset())
    unknown = set()
    asked = set(config.probe.targets)
    for family in _families(config, snapshot):
        routers = set(_next_hops(snapshot, family))
        asked |= routers
        if not routers and not any(_is_of(family, t) for t in config.probe.targets):
            unknown.add(family)
    return Inquiry(frozenset(asked), frozenset(unknown))


def _families(config: GroupConfig, snapshot: Snapshot) -> Iterator[Family]:
    declared = [d.address for d in config.addresses]
    tests = list(config.probe.test_addresses.values())
    for family in Family:
        found = any(
            address.family == AF[family] and address.scope == SCOPE_UNIVERSE
            for held in snapshot.addresses.values()
            for address in held.values()
        )
        named = (*declared, *tests, *config.probe.targets)
        if found or any(_is_of(family, key) for key in named):
            yield family


def _path(config: GroupConfig, snapshot: Snapshot, member: str, family: Family) -> Iterator[Path]:
    method, link = config.probe.method, snapshot.links[member]
    test = _test_address(config, snapshot, member, family)
    link_local = _link_local(snapshot, member) if family is Family.IPV6 else None
    if method == "off":
        return
    if method != "arp" and test is not None:
        yield _made(link, family, Method.ICMP, test)
    elif method == "icmp" and link_local is not None:
        yield _made(link, family, Method.ICMP, link_local)
    elif method != "icmp" and link.ethernet and (family is Family.IPV4 or link_local is not None):
        yield _made(link, family, Method.ARP, link_local or "")


def _made(link: Link, family: Family, method: Method, source: str) -> Path:
    up = link.up and link.carrier is not False
    return Path(link.name, family, method, link.ifindex, link.hwaddr, source, up)


def _test_address(
    config: GroupConfig, snapshot: Snapshot, member: str, family: Family
) -> str | None:
    """The configured test address of the member, while the member has it."""
    key = config.probe.test_addresses.get(member)
    if key is None or not _is_of(family, key):
        return None
    found = snapshot.addresses.get(member, {}).get(key)
    return address_of(key) if found is not None and not found.flags & UNUSABLE else None


def _link_local(snapshot: Snapshot, member: str) -> str | None:
    """The member's link-local address, one that is not deprecated if there is one."""
    held = snapshot.addresses.get(member, {}).values()
    usable = [
        address
        for address in held
        if address.key.startswith("fe80:") and not address.flags & UNUSABLE
    ]
    usable.sort(key=_is_deprecated)
    return address_of(usable[0].key) if usable else None


def _is_deprecated(address: Address) -> bool:
    return bool(address.flags & IFA_F_DEPRECATED)


def _own(config: GroupConfig, snapshot: Snapshot) -> frozenset[str]:
    keys = {key for held in snapshot.addresses.values() for key in held}
    keys |= {d.address for d in config.addresses}
    keys |= set(config.probe.test_addresses.values())
    return frozenset(address_of(key) for key in keys)


def _candidates(
    config: GroupConfig, snapshot: Snapshot, nearby: Nearby, family: Family, own: frozenset[str]
) -> Candidates:
    routers = (*_next_hops(snapshot, family), *nearby.routers.get(family, ()))
    return Candidates(
        tuple(t for t in config.probe.targets if _is_of(family, t)),
        tuple(dict.fromkeys(routers)),
        nearby.neighbours.get(family, ()),
        own,
    )


def _next_hops(snapshot: Snapshot, family: Family) -> Iterator[str]:
    for _, gateway in (*snapshot.routes_by_identity, *snapshot.spread_by_identity):
        if gateway is not None and _is_of(family, gateway):
            yield gateway


def _is_of(family: Family, address: str) -> bool:
    return is_ipv4(address) is (family is Family.IPV4)
