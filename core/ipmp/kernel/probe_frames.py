"""The packets of probes and of their answers: ICMP echo, ARP probe, neighbour solicitation.

An ARP probe has the sender address 0.0.0.0 (RFC 5227): a Linux target answers it and makes no entry
(linux-peers 3.4). A solicitation comes from the member's own link-local address, which no target
takes for a rival of its own address (RFC 4862 5.4.3). Both ask the whole link, or one station.
"""

from __future__ import annotations

import socket
import struct
from functools import lru_cache

import msgspec

from ipmp.kernel.frames import BROADCAST, ETH_P_ARP, ETH_P_IPV6, ICMPV6, checksum

ECHO_REQUEST, ECHO_REPLY = 8, 0
ECHO_REQUEST6, ECHO_REPLY6 = 128, 129
NS_TYPE, NA_TYPE = 135, 136
NA_SOLICITED = 0x40
SOURCE_LINK_LAYER, TARGET_LINK_LAYER = 1, 2
ARP_REQUEST, ARP_REPLY = 1, 2
HOP_LIMIT = 255  # of neighbour discovery: it has not crossed a router (RFC 4861 7.1)

ARP = struct.Struct("!HHBBH6s4s6s4s")
ECHO = struct.Struct("!BBHHH8s")
ETHERNET = 14
ARP_BYTES = ETHERNET + ARP.size
IPV6_HEAD = struct.Struct("!IHBB16s16s")
ND_BODY = ETHERNET + IPV6_HEAD.size
NA_BYTES = ND_BODY + 24  # without options
FRAME_BYTES = 128  # of a received frame; enough for an NA with its options

_SOLICITED_NODE = bytes.fromhex("ff02 000000000000000000 01 ff")  # ff02::1:ff00:0/104


class Echo(msgspec.Struct, frozen=True, gc=False):
    """The part of an echo reply that tells which request it answers."""

    ident: int
    sequence: int
    nonce: bytes


class Heard(msgspec.Struct, frozen=True, gc=False):
    """An ARP packet or a neighbour advertisement."""

    sender: str
    hwaddr: bytes
    answer: bool  # to us; otherwise the sender said something of its own


@lru_cache(maxsize=256)
def packed(address: str) -> bytes:
    """The bytes of an address."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


# Echo -------------------------------------------------------------------------------------------


def echo_request(ident: int, sequence: int, nonce: bytes) -> bytes:
    """ICMP echo request with its checksum."""
    blank = ECHO.pack(ECHO_REQUEST, 0, 0, ident, sequence, nonce)
    return ECHO.pack(ECHO_REQUEST, 0, checksum(blank), ident, sequence, nonce)


def echo_request6(ident: int, sequence: int, nonce: bytes) -> bytes:
    """ICMPv6 echo request; the kernel fills in the checksum of a raw ICMPv6 socket."""
    return ECHO.pack(ECHO_REQUEST6, 0, 0, ident, sequence, nonce)


def parse_echo(data: bytes) -> Echo | None:
    """The echo reply in an IPv4 packet, as a raw socket delivers it (with its IP header)."""
    return _parse_echo(data, (data[0] & 0x0F) * 4, ECHO_REPLY) if data else None


def parse_echo6(data: bytes) -> Echo | None:
    """The echo reply in an ICMPv6 packet, as a raw socket delivers it (without IP header)."""
    return _parse_echo(data, 0, ECHO_REPLY6)


def _parse_echo(data: bytes, offset: int, wanted: int) -> Echo | None:
    if len(data) < offset + ECHO.size:
        return None
    kind, code, _, ident, sequence, nonce = ECHO.unpack_from(data, offset)
    return Echo(ident, sequence, nonce) if kind == wanted and code == 0 else None


# ARP --------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def arp_probe(hwaddr: bytes, target: str, station: bytes = b"") -> bytes:
    """ARP request with sender address 0.0.0.0, to the whole link or one station."""
    head = (station or BROADCAST) + hwaddr + _ETHERTYPE_ARP
    return head + ARP.pack(
        1, 0x0800, 6, 4, ARP_REQUEST, hwaddr, b"\0" * 4, b"\0" * 6, packed(target)
    )


def parse_arp(frame: bytes, hwaddr: bytes) -> Heard | None:
    """What an ARP frame says to the interface with this MAC."""
    if len(frame) < ARP_BYTES:
        return None
    hardware, protocol, _, _, operation, sender_mac, sender, target_mac, _ = ARP.unpack_from(
        frame, ETHERNET
    )
    if hardware != 1 or protocol != 0x0800:
        return None
    answer = operation == ARP_REPLY and target_mac == hwaddr
    return Heard(socket.inet_ntop(socket.AF_INET, sender), sender_mac, answer)


# Neighbour discovery ----------------------------------------------------------------------------


@lru_cache(maxsize=256)
def solicitation(hwaddr: bytes, source: str, target: str, station: bytes = b"") -> bytes:
    """Neighbour solicitation to the target's solicited-node group, or to one station."""
    to = packed(target)
    destination = to if station else _SOLICITED_NODE + to[13:]
    ethernet = (station or b"\x33\x33" + destination[12:]) + hwaddr + _ETHERTYPE_IPV6
    own = packed(source)
    body = struct.pack("!BBHI", NS_TYPE, 0, 0, 0) + to
    body += bytes((SOURCE_LINK_LAYER, 1)) + hwaddr
    pseudo = own + destination + struct.pack("!II", len(body), ICMPV6)
    body = body[:2] + checksum(pseudo + body).to_bytes(2, "big") + body[4:]
    head = IPV6_HEAD.pack(0x60000000, len(body), ICMPV6, HOP_LIMIT, own, destination)
    return ethernet + head + body


def parse_advertisement(frame: bytes, source: str) -> Heard | None:
    """The advertisement in a frame, if it answers a solicitation from this source.

    The kernel has not looked at it: everything of RFC 4861 7.1.2 is checked here.
    """
    if len(frame) < NA_BYTES:
        return None
    _, length, following, hops, sender, destination = IPV6_HEAD.unpack_from(frame, ETHERNET)
    body = frame[ND_BODY : ND_BODY + length]
    if following != ICMPV6 or hops != HOP_LIMIT or destination != packed(source):
        return None
    if len(body) != length or length < 24 or length % 2 or body[0] != NA_TYPE or body[1] != 0:
        return None
    if not body[4] & NA_SOLICITED:
        return None
    if checksum(sender + destination + struct.pack("!II", length, ICMPV6) + body) != 0:
        return None
    target = socket.inet_ntop(socket.AF_INET6, body[8:24])
    return Heard(target, _link_layer(body) or frame[6:12], True)


def _link_layer(body: bytes) -> bytes:
    """The target link-layer address option of an advertisement; a unicast answer may lack it."""
    offset = 24
    while offset + 8 <= len(body) and body[offset + 1]:
        if body[offset] == TARGET_LINK_LAYER:
            return body[offset + 2 : offset + 8]
        offset += 8 * body[offset + 1]
    return b""


_ETHERTYPE_ARP = ETH_P_ARP.to_bytes(2, "big")
_ETHERTYPE_IPV6 = ETH_P_IPV6.to_bytes(2, "big")
