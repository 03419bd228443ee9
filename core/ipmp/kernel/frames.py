"""Gratuitous ARP and unsolicited NA, sent from the member that has the address.

ARP in the request form, which Linux peers believe even within their locktime (linux-peers 1.7); NA
with Override, and Router when the host forwards (a router that forgets it is dropped from the
peers' default router lists, keepalived#1330).
"""

from __future__ import annotations

import socket
import struct

ETH_P_ARP = 0x0806
ETH_P_IPV6 = 0x86DD
BROADCAST = b"\xff" * 6
ALL_NODES_MAC = bytes.fromhex("333300000001")
ALL_NODES = socket.inet_pton(socket.AF_INET6, "ff02::1")
ICMPV6 = 58
NA_TYPE = 136
NA_OVERRIDE = 0x20000000
NA_ROUTER = 0x80000000
TARGET_LINK_LAYER = 2

_ARP_HEAD = struct.pack("!HHHBBH", ETH_P_ARP, 1, 0x0800, 6, 4, 1)


def gratuitous_arp(hwaddr: bytes, address: str) -> bytes:
    """ARP request with sender = target = the address (RFC 5227 announcement)."""
    packed = socket.inet_aton(address)
    return BROADCAST + hwaddr + _ARP_HEAD + hwaddr + packed + b"\0" * 6 + packed


def unsolicited_na(hwaddr: bytes, address: str, router: bool) -> bytes:
    """Neighbour advertisement to all nodes (RFC 4861 4.4), hop limit 255."""
    packed = socket.inet_pton(socket.AF_INET6, address)
    flags = NA_OVERRIDE | (NA_ROUTER if router else 0)
    body = struct.pack("!BBHI", NA_TYPE, 0, 0, flags) + packed
    body += bytes((TARGET_LINK_LAYER, 1)) + hwaddr
    pseudo = packed + ALL_NODES + struct.pack("!II", len(body), ICMPV6)
    body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
    head = struct.pack("!IHBB", 0x60000000, len(body), ICMPV6, 255) + packed + ALL_NODES
    return ALL_NODES_MAC + hwaddr + struct.pack("!H", ETH_P_IPV6) + head + body


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


class Sender:
    """Packet sockets, one a member, that receive nothing."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}

    def send(self, ifindex: int, frame: bytes) -> None:
        """Send one frame; raises OSError when the interface cannot."""
        opened = self._sockets.get(ifindex)
        if opened is None:
            device = socket.if_indextoname(ifindex)  # a member may have been renamed
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
            opened.setblocking(False)
            opened.bind((device, 0))
            self._sockets[ifindex] = opened
        try:
            opened.send(frame)
        except OSError:
            self.forget(ifindex)
            raise

    def forget(self, ifindex: int) -> None:
        """Close the socket of a member that is gone."""
        opened = self._sockets.pop(ifindex, None)
        if opened is not None:
            opened.close()

    def close(self) -> None:
        """Close all sockets."""
        for ifindex in list(self._sockets):
            self.forget(ifindex)
