"""The steps of a plan as messages to the kernel, and which of its refusals do not matter."""

from __future__ import annotations

import errno
import socket
from collections.abc import Container

from ipmp.kernel import codec
from ipmp.kernel.protocol import Failure
from ipmp.plan import (
    AddAddress,
    AddAnchor,
    AddTestAddress,
    DeleteAddress,
    DeleteRoute,
    ReplaceRoute,
    ShiftRoute,
    Step,
)
from ipmp.world import AF_INET6, IFA_F_NOPREFIXROUTE, OWNER, SCOPE_LINK, Link, is_ipv4

AddressEvent = tuple[int, int, str]  # message type, interface index, address

#: Outcomes that leave the kernel as the step wanted it.
ALREADY_SO = {
    AddAddress: {errno.EEXIST},
    AddAnchor: {errno.EEXIST},
    AddTestAddress: {errno.EEXIST},
    DeleteAddress: {errno.EADDRNOTAVAIL, errno.ENODEV},
    DeleteRoute: {errno.ESRCH, errno.ENODEV},
    ReplaceRoute: set[int](),
    ShiftRoute: set[int](),
}


def encode(step: Step, link: Link) -> tuple[bytes, AddressEvent | None]:
    """The message of a step, and the IPv6 address event that the kernel will tell of it."""
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
            spec = codec.declared_spec(key, IFA_F_NOPREFIXROUTE)
            return codec.add_address(spec, index, "", OWNER), event
        case DeleteAddress(key=key, peer=peer):
            if not is_ipv4(key):
                event = (codec.RTM_DELADDR, index, key)
            return codec.delete_address(key, index, peer), event
        case ReplaceRoute(route=route, protocol=protocol, in_place=True):
            return codec.replace_route(route.route, index, protocol), None
        case ReplaceRoute(route=route, protocol=protocol):
            return codec.add_route(route.route, index, protocol), None
        case ShiftRoute(address=held, away=away):
            if held.family == AF_INET6:
                event = (codec.RTM_NEWADDR, index, held.key)
            return codec.shift_route(held, index, away), event
        case DeleteRoute(route=route):
            return codec.delete_route(route, index), None
        case _:
            raise TypeError(f"not a kernel step: {step}")


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
