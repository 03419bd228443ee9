"""The frames that announce addresses: ARP, and neighbour solicitation and advertisement.

Pure: bytes in, plain values out. Field names say what a test asks: who sent it (`sender_ip`,
`sender_mac`) and which address it is about (`target_ip`).
"""

from __future__ import annotations

import socket
import struct
from typing import Any

ETH_P_IP, ETH_P_ARP, ETH_P_IPV6 = 0x0800, 0x0806, 0x86DD
IPPROTO_ICMPV6 = 58
SNAPSHOT = 128  # bytes of a frame that are looked at

_ARP = struct.Struct("!6xH6s4s6s4s")  # operation, sender MAC and IP, target MAC and IP
_ND = struct.Struct("!BxxxB3x16s")  # type, flags, target
_ARP_KINDS = {1: "arp-request", 2: "arp-reply"}
_ND_KINDS = {135: "ns", 136: "na"}
_ROUTER, _SOLICITED, _OVERRIDE = 0x80, 0x40, 0x20
_LINK_LAYER_OPTIONS = (1, 2)  # source (in an NS), target (in an NA)


def parse(frame: bytes) -> dict[str, Any] | None:
    """Return the facts of an ARP, NS or NA frame, or None if `frame` is something else."""
    facts = None
    if _ethertype(frame) == ETH_P_ARP and len(frame) >= 14 + _ARP.size:
        facts = _parse_arp(frame[14:])
    elif (
        _ethertype(frame) == ETH_P_IPV6
        and len(frame) >= 54 + _ND.size
        and frame[20] == IPPROTO_ICMPV6
    ):
        facts = _parse_nd(frame)
    return facts and {"src_mac": _mac(frame[6:12]), "dst_mac": _mac(frame[:6])} | facts


def is_unicast_ip(frame: bytes) -> bool:
    """Tell whether `frame` carries IP to one station."""
    return _ethertype(frame) in (ETH_P_IP, ETH_P_IPV6) and not frame[0] & 1


def _ethertype(frame: bytes) -> int:
    return int.from_bytes(frame[12:14], "big")


def _parse_arp(body: bytes) -> dict[str, Any] | None:
    operation, sender_mac, sender, target_mac, target = _ARP.unpack_from(body)
    if operation not in _ARP_KINDS:
        return None
    return {
        "kind": _ARP_KINDS[operation],
        "sender_ip": socket.inet_ntop(socket.AF_INET, sender),
        "sender_mac": _mac(sender_mac),
        "target_ip": socket.inet_ntop(socket.AF_INET, target),
        "target_mac": _mac(target_mac),
    }


def _parse_nd(frame: bytes) -> dict[str, Any] | None:
    kind, flags, target = _ND.unpack_from(frame, 54)
    if kind not in _ND_KINDS:
        return None
    facts: dict[str, Any] = {
        "kind": _ND_KINDS[kind],
        "sender_ip": socket.inet_ntop(socket.AF_INET6, frame[22:38]),
        "sender_mac": _link_layer_option(frame[54 + _ND.size :]),
        "target_ip": socket.inet_ntop(socket.AF_INET6, target),
    }
    if facts["kind"] == "na":
        for name, bit in (("router", _ROUTER), ("solicited", _SOLICITED), ("override", _OVERRIDE)):
            facts[name] = bool(flags & bit)
    return facts


def _link_layer_option(options: bytes) -> str:
    """Return the MAC that an NS or NA names, "" if it names none; options count in 8 bytes."""
    while len(options) >= 8 and options[1]:
        if options[0] in _LINK_LAYER_OPTIONS:
            return _mac(options[2:8])
        options = options[8 * options[1] :]
    return ""


def _mac(raw: bytes) -> str:
    return raw.hex(":")
