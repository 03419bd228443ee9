"""The steps of a plan as messages to the kernel, and which of its refusals do not matter."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from ipmp.kernel import codec, multipath, route_codec
from ipmp.kernel.chunks import Chunk
from ipmp.kernel.protocol import Failure, Prepared
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


class Encoded(Prepared):
    """Steps as messages."""

    possible: list[Step] = msgspec.field(default_factory=list)  # those whose member exists
    gone: list[Step] = msgspec.field(default_factory=list)
    messages: list[bytes] = msgspec.field(default_factory=list)  # of the possible ones
    chunks: list[Chunk] = msgspec.field(default_factory=list)  # of the messages, ready to be sent
    #: What the kernel will tell of IPv6 steps, by their place among the possible ones.
    ipv6_events: dict[int, AddressEvent] = msgspec.field(default_factory=dict)


def encode(steps: Sequence[Step], links: Mapping[str, Link]) -> Encoded:
    """The messages of steps; of further members of a step, those that do not exist are left out."""
    encoded = Encoded(steps)
    possible, made = encoded.possible, encoded.messages
    for step in steps:
        link = links.get(step.member)
        if link is None:
            encoded.gone.append(step)
            continue
        message = _ENCODERS[type(step)](step, link, links)
        if message[codec.FAMILY] == AF_INET6:
            event = _ipv6_event(step, link.ifindex)
            if event is not None:
                encoded.ipv6_events[len(made)] = event
        possible.append(step)
        made.append(message)
    return encoded


def _ipv6_event(step: Step, ifindex: int) -> AddressEvent | None:
    """The event that the kernel will tell of a step that is about an IPv6 address."""
    match step:
        case AddAddress(address=address):
            return codec.RTM_NEWADDR, ifindex, address.key
        case ShiftRoute(address=held):
            return codec.RTM_NEWADDR, ifindex, held.key
        case AddTestAddress(key=key):
            return codec.RTM_NEWADDR, ifindex, key
        case DeleteAddress(key=key):
            return codec.RTM_DELADDR, ifindex, key
    return None


def _add_address(step: AddAddress, link: Link, _: Mapping[str, Link]) -> bytes:
    return codec.add_address(step.address.spec, link.ifindex, step.label, step.proto)


def _delete_address(step: DeleteAddress, link: Link, _: Mapping[str, Link]) -> bytes:
    return codec.delete_address(step.key, link.ifindex, step.peer)


def _add_anchor(step: AddAnchor, link: Link, _: Mapping[str, Link]) -> bytes:
    spec = codec.declared_spec(anchor(link), IFA_F_NOPREFIXROUTE, SCOPE_LINK)
    return codec.add_address(spec, link.ifindex, "", OWNER)


def _add_test_address(step: AddTestAddress, link: Link, _: Mapping[str, Link]) -> bytes:
    return codec.add_address(_test_spec(step.key), link.ifindex, "", OWNER)


def _shift_route(step: ShiftRoute, link: Link, _: Mapping[str, Link]) -> bytes:
    return codec.shift_route(step.address, step.spec, link.ifindex, step.away)


def _replace_route(step: ReplaceRoute, link: Link, _: Mapping[str, Link]) -> bytes:
    if step.in_place:
        return route_codec.replace_route(step.route.route, link.ifindex, step.protocol)
    return route_codec.add_route(step.route.route, link.ifindex, step.protocol, step.beside)


def _delete_route(step: DeleteRoute, link: Link, _: Mapping[str, Link]) -> bytes:
    return route_codec.delete_route(step.route, link.ifindex)


def _make_spread(step: MakeSpread, _: Link, links: Mapping[str, Link]) -> bytes:
    indices = [links[name].ifindex for name in step.spreading.members if name in links]
    return multipath.make_spread(step.spreading, indices, in_place=step.in_place)


def _delete_spread(step: DeleteSpread, _: Link, __: Mapping[str, Link]) -> bytes:
    return multipath.delete_spread(step.route)


#: How the message of a step is made: from the step, the link of its member, and all links.
_ENCODERS: dict[type[Step], Callable[[Any, Link, Mapping[str, Link]], bytes]] = {
    AddAddress: _add_address,
    AddAnchor: _add_anchor,
    AddTestAddress: _add_test_address,
    DeleteAddress: _delete_address,
    ReplaceRoute: _replace_route,
    DeleteRoute: _delete_route,
    MakeSpread: _make_spread,
    DeleteSpread: _delete_spread,
    ShiftRoute: _shift_route,
}


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
