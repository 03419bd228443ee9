"""The steps of a plan as messages to the kernel, and which of its refusals do not matter."""

from __future__ import annotations

import errno
import socket
from collections.abc import Container, Mapping

from msgspec.structs import replace

from ipmp.kernel import codec, multipath
from ipmp.kernel.protocol import Failure
from ipmp.plan import (
    AddAddress,
    AddAnchor,
    AddTestAddress,
    DeleteAddress,
    DeleteRoute,
    DeleteSpread,
    MakeSpread,
    ReplaceRoute,
    ShiftRoute,
    Step,
)
from ipmp.world import (
    AF_INET6,
    IFA_F_NOPREFIXROUTE,
    OWNER,
    SCOPE_LINK,
    AddressSpec,
    Link,
    is_ipv4,
)

AddressEvent = tuple[int, int, str]  # message type, interface index, address

#: Outcomes that leave the kernel as the step wanted it.
ALREADY_SO = {
    AddAddress: {errno.EEXIST},
    AddAnchor: {errno.EEXIST},
    AddTestAddress: {errno.EEXIST},
    DeleteAddress: {errno.EADDRNOTAVAIL, errno.ENODEV},
    DeleteRoute: {errno.ESRCH, errno.ENODEV},
    ReplaceRoute: set[int](),
    MakeSpread: set[int](),
    DeleteSpread: {errno.ESRCH, errno.ENODEV},
    ShiftRoute: set[int](),
}


def encode(step: Step, links: Mapping[str, Link]) -> tuple[bytes, AddressEvent | None]:
    """The message of a step, and the IPv6 address event that the kernel will tell of it.

    Its member must be among the links. Of further ones, those that are not are left out.
    """
    link = links[step.member]
    index, event = link.ifindex, None
    match step:
        case AddAddress(address=address, label=label, proto=proto):
            if address.spec.family == AF_INET6:
                event = (codec.RTM_NEWADDR, index, address.key)
            return codec.add_address(address.spec, index, label, proto), event
        case AddAnchor():
            spec = codec.declared_spec(anchor(link), IFA_F_NOPREFIXROUTE, SCOPE_LINK)
            return codec.add_address(spec, index, "", OWNER), None
        case AddTestAddress(key=key):
            if not is_ipv4(key):
                event = (codec.RTM_NEWADDR, index, key)
            return codec.add_address(_test_spec(key), index, "", OWNER), event
        case DeleteAddress(key=key, peer=peer):
            if not is_ipv4(key):
                event = (codec.RTM_DELADDR, index, key)
            return codec.delete_address(key, index, peer), event
        case ReplaceRoute(route=route, protocol=protocol, in_place=True):
            return codec.replace_route(route.route, index, protocol), None
        case ReplaceRoute(route=route, protocol=protocol, beside=beside):
            return codec.add_route(route.route, index, protocol, beside), None
        case ShiftRoute(address=held, spec=spec, away=away):
            if held.family == AF_INET6:
                event = (codec.RTM_NEWADDR, index, held.key)
            return codec.shift_route(held, spec, index, away), event
        case DeleteRoute(route=route):
            return codec.delete_route(route, index), None
        case MakeSpread(spreading=spreading, in_place=in_place):
            indices = [links[name].ifindex for name in spreading.members if name in links]
            return multipath.make_spread(spreading, indices, in_place=in_place), None
        case DeleteSpread(route=spread):
            return multipath.delete_spread(spread), None
        case _:
            raise TypeError(f"not a kernel step: {step}")


def _test_spec(key: str) -> AddressSpec:
    """An IPv6 one is deprecated: else it would be the source of what leaves through its member."""
    spec = codec.declared_spec(key, IFA_F_NOPREFIXROUTE)
    return spec if is_ipv4(key) else replace(spec, attributes=spec.attributes + codec.DEPRECATED)


def anchor(link: Link) -> str:
    """The link-scope address that stays on a member without any other IPv4 address.

    From 169.254.1.0 - 169.254.254.255 (RFC 3927), derived from the MAC, so it is stable; from the
    interface index where there is no MAC (tun, GRE).
    """
    source = link.ethernet or link.ifindex.to_bytes(4, "big")
    high, low = source[-2:]
    return f"{socket.inet_ntoa(bytes((169, 254, 1 + high % 254, low)))}/32"


def is_doubtful(refusal: Failure) -> bool:
    """EEXIST of IPv6 does not tell with which prefix length the address is there."""
    return refusal.errno == errno.EEXIST and not is_ipv4(_added(refusal.step))


def is_already_so(refusal: Failure, held: Container[tuple[str, str]]) -> bool:
    """Whether the kernel is as the step wanted it, although it refused.

    `held` has the addresses (key, member) of which it is doubtful otherwise.
    """
    if is_doubtful(refusal):
        return (_added(refusal.step), refusal.step.member) in held
    return refusal.errno in ALREADY_SO[type(refusal.step)]


def _added(step: Step) -> str:
    """The address that a step adds; "" when it adds none."""
    match step:
        case AddAddress(address=address):
            return address.key
        case AddTestAddress(key=key):
            return key
    return ""
