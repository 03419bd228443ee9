"""Has the old member gone quiet? Counts the unicast packets that still arrive for moved addresses.

A packet socket with a classic BPF program counts in the kernel (PACKET_STATISTICS); nothing is
copied out. Only packets to the addresses that left count: the member may go on serving others.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

from ipmp.kernel.bpf import (
    JA,
    JEQ_K,
    LD_H_ABS,
    LD_W_ABS,
    LIMIT,
    PACKET_HOST,
    RET_K,
    SKF_AD_OFF,
    SKF_AD_PKTTYPE,
    SKF_AD_PROTOCOL,
    Instruction,
    accept_if,
    attach,
)
from ipmp.world import address_of, is_ipv4

ETH_P_ALL = 0x0003
ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD
SOL_PACKET = 263
PACKET_STATISTICS = 6

IPV4_DESTINATION, IPV6_DESTINATION = 16, 24
CAPTURE_BYTES = 64


class QuietMonitor:
    """Counts what still arrives on one member for addresses that have moved away."""

    def __init__(self, name: str, keys: Iterable[str]) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0)
        try:
            attach(self._socket, program(keys))
            self._socket.bind((name, ETH_P_ALL))
        except OSError:
            self._socket.close()
            raise

    def arrived(self) -> int:
        """Packets that arrived since the last call."""
        answer = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        packets, _dropped = struct.unpack("=II", answer)
        return int(packets)

    def close(self) -> None:
        """Stop counting."""
        self._socket.close()


def program(keys: Iterable[str]) -> list[Instruction]:
    """A filter that accepts unicast IP packets to any of these addresses.

    When they are too many for one program, the rest is not watched: the first ones speak for all.
    """
    keys = list(keys)
    ipv4 = [socket.inet_aton(address_of(k)) for k in keys if is_ipv4(k)]
    ipv6 = [socket.inet_pton(socket.AF_INET6, address_of(k)) for k in keys if not is_ipv4(k)]
    code: list[Instruction] = [
        (LD_W_ABS, 0, 0, SKF_AD_OFF + SKF_AD_PKTTYPE),
        (JEQ_K, 1, 0, PACKET_HOST),
        (RET_K, 0, 0, 0),
        (LD_H_ABS, 0, 0, SKF_AD_OFF + SKF_AD_PROTOCOL),
    ]
    body4 = _matches_ipv4(ipv4[: LIMIT // 5])
    body6 = _matches_ipv6(ipv6[: LIMIT // 20])
    code += [(JEQ_K, 0, 1, ETH_P_IP), (JA, 0, 0, 1), (JA, 0, 0, len(body4)), *body4]
    code += [(JEQ_K, 1, 0, ETH_P_IPV6), (RET_K, 0, 0, 0), *body6]
    return code


def _matches_ipv4(addresses: list[bytes]) -> list[Instruction]:
    code: list[Instruction] = [(LD_W_ABS, 0, 0, IPV4_DESTINATION)]
    for packed in addresses:
        code += [(JEQ_K, 0, 1, int.from_bytes(packed, "big")), (RET_K, 0, 0, CAPTURE_BYTES)]
    return [*code, (RET_K, 0, 0, 0)]


def _matches_ipv6(addresses: list[bytes]) -> list[Instruction]:
    code: list[Instruction] = []
    for packed in addresses:
        words = enumerate(struct.unpack("!4I", packed))
        tests = ((LD_W_ABS, IPV6_DESTINATION + 4 * index, word) for index, word in words)
        code += accept_if(tests, CAPTURE_BYTES)
    return [*code, (RET_K, 0, 0, 0)]
