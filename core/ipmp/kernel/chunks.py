"""Batches of netlink messages, numbered and cut into what is sent with one ACK. Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

NLM_F_ACK = 0x004

#: Messages of one ACK; all their refusals together must fit into the receive buffer.
CHUNK_MESSAGES = 256

_U32 = struct.Struct("=I")
_U16 = struct.Struct("=H")


class Chunk(msgspec.Struct, frozen=True):
    """Messages of a batch that are acknowledged by one answer."""

    wire: bytes
    ends: tuple[int, ...]  # of each message, in the wire
    kind: int  # type of the first one; most batches have no other
    start: int  # position of the first one in the batch
    first: int  # its sequence number
    last: int


def cut(batch: Sequence[bytes], first: int) -> list[Chunk]:
    """The messages of a batch, numbered from `first`, as chunks."""
    starts = range(0, len(batch), CHUNK_MESSAGES)
    return [_chunk(batch[s : s + CHUNK_MESSAGES], s, first + s) for s in starts]


def _chunk(part: Sequence[bytes], start: int, first: int) -> Chunk:
    wire, ends, position = bytearray(b"".join(part)), [], 0
    for sequence, message in enumerate(part, first):
        _U32.pack_into(wire, position + 8, sequence)
        position += len(message)
        ends.append(position)
    flags = position - len(part[-1]) + 6
    _U16.pack_into(wire, flags, _U16.unpack_from(wire, flags)[0] | NLM_F_ACK)
    kind = _U16.unpack_from(wire, 4)[0]
    return Chunk(bytes(wire), tuple(ends), kind, start, first, first + len(part) - 1)
