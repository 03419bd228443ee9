"""Has the old member gone quiet? Counts the unicast packets that still arrive for moved addresses.

A packet socket with a classic BPF program counts in the kernel (PACKET_STATISTICS); nothing is
copied out. Only packets to the addresses that left count: the member may go on serving others.
Where they are too many for a program (some 4,000 of IPv4 or of one IPv6 /96, 500 of one /64 with
random interface identifiers; fewer with a small net.core.optmem_max), all unicast IP packets count:
better to wait for a member that still serves others than to leave one in use.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

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
    attach,
)
from ipmp.world import AF_INET, AF_INET6, address_of, is_ipv4

ETH_P_ALL = 0x0003
ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD
SOL_PACKET = 263
PACKET_STATISTICS = 6

IPV4_DESTINATION, IPV6_DESTINATION = 16, 24
NEAR = 255  # the farthest target of a conditional jump
CAPTURE_BYTES = 64

Words = tuple[int, ...]  # what is left to compare of an address, 32 bits each

ACCEPT: Instruction = (RET_K, 0, 0, CAPTURE_BYTES)
REJECT: Instruction = (RET_K, 0, 0, 0)


class QuietMonitor:
    """Counts what still arrives on one member for addresses that have moved away."""

    def __init__(self, name: str, keys: Iterable[str]) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0)
        try:
            self._filter(program(keys))
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

    def _filter(self, code: list[Instruction]) -> None:
        try:
            attach(self._socket, code)
        except OSError as error:
            if error.errno != errno.ENOMEM:
                raise
            attach(self._socket, ALL_UNICAST)  # more than net.core.optmem_max


def program(keys: Iterable[str]) -> list[Instruction]:
    """A filter that accepts unicast IP packets to any of these addresses, or to all if too many."""
    keys = list(keys)
    if len(keys) > LIMIT:
        return ALL_UNICAST
    ipv4 = _tree(sorted(_words(key) for key in keys if is_ipv4(key)), IPV4_DESTINATION)
    ipv6 = _tree(sorted(_words(key) for key in keys if not is_ipv4(key)), IPV6_DESTINATION)
    exact = _unicast_ip(ipv4, ipv6)
    return exact if len(exact) <= LIMIT else ALL_UNICAST


def _words(key: str) -> Words:
    packed = socket.inet_pton(AF_INET if is_ipv4(key) else AF_INET6, address_of(key))
    return struct.unpack(f"!{len(packed) // 4}I", packed)


def _tree(addresses: Sequence[Words], offset: int) -> list[Instruction]:
    """Compare a sorted list of addresses word by word; what they share is compared once."""
    code: list[Instruction] = [(LD_W_ABS, 0, 0, offset)]
    if addresses and len(addresses[0]) == 1:
        code += _any_of([last for (last,) in addresses])
    else:
        for word, group in groupby(addresses, key=itemgetter(0)):
            code += _case(word, _tree([words[1:] for words in group], offset + 4))
    return [*code, REJECT]


def _any_of(words: Sequence[int]) -> list[Instruction]:
    """Accept if the accumulator has any of these values, else fall through."""
    code: list[Instruction] = []
    for start in range(0, len(words), NEAR):
        part = words[start : start + NEAR]
        code += ((JEQ_K, len(part) - index, 0, word) for index, word in enumerate(part))
        code += ((JA, 0, 0, 1), ACCEPT)
    return code


def _case(value: int, body: Sequence[Instruction]) -> list[Instruction]:
    """Run the body, which must not fall through, if the accumulator has this value."""
    return [(JEQ_K, 1, 0, value), (JA, 0, 0, len(body)), *body]


def _unicast_ip(ipv4: Sequence[Instruction], ipv6: Sequence[Instruction]) -> list[Instruction]:
    """Pass unicast packets of either family on to code that knows their addresses."""
    return [
        (LD_W_ABS, 0, 0, SKF_AD_OFF + SKF_AD_PKTTYPE),
        (JEQ_K, 1, 0, PACKET_HOST),
        REJECT,
        (LD_H_ABS, 0, 0, SKF_AD_OFF + SKF_AD_PROTOCOL),
        *_case(ETH_P_IP, ipv4),
        *_case(ETH_P_IPV6, ipv6),
        REJECT,
    ]


ALL_UNICAST = _unicast_ip([ACCEPT], [ACCEPT])
