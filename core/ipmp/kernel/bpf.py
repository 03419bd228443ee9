"""Classic BPF for packet and netlink sockets: the instructions that we use, how to attach them."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterable, Iterator

SO_ATTACH_FILTER = 26
SKF_AD_OFF = 0xFFFFF000
SKF_AD_PROTOCOL, SKF_AD_PKTTYPE = 0, 4
PACKET_HOST = 0

LD_W_ABS, LD_H_ABS, LD_B_ABS = 0x20, 0x28, 0x30
JEQ_K, RET_K, JA = 0x15, 0x06, 0x05
LIMIT = 4096  # BPF_MAXINSNS

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, k


def attach(opened: socket.socket, code: list[Instruction]) -> None:
    """Let only packets that the program accepts reach a socket; takes the place of another one."""
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    descriptor = struct.pack("@HP", len(code), ctypes.addressof(buffer))
    opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, descriptor)


def accept_if(tests: Iterable[tuple[int, int, int]], length: int) -> Iterator[Instruction]:
    """Accept `length` bytes of a packet when every (load, offset, value) holds, else go on."""
    tests = list(tests)
    for position, (load, offset, value) in enumerate(tests):
        yield load, 0, 0, offset
        yield JEQ_K, 0, 2 * (len(tests) - position) - 1, value
    yield RET_K, 0, 0, length
