"""NETLINK_ROUTE transport: messages, questions and dumps.

Small on purpose: it is the data path. Messages are bytes built by `codec`; this module numbers
questions, sends them and reads what comes back. Changes go through `batches`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import msgspec

HEADER = struct.Struct("=IHHII")  # nlmsg_len, type, flags, seq, pid
ERROR = struct.Struct("=i")
ATTRIBUTE = struct.Struct("=HH")  # length, type

NLMSG_ERROR = 2
NLMSG_DONE = 3
ENDS = (NLMSG_DONE, NLMSG_ERROR)  # of a dump
NLM_F_REQUEST = 0x001
NLM_F_DUMP = 0x300
NLM_F_DUMP_INTR = 0x010
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
NLM_F_CAPPED = 0x100  # in an error message: the request is not echoed
NLM_F_ACK_TLVS = 0x200

NLMSGERR_ATTR_MSG = 1

SOL_NETLINK = 270
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
NETLINK_GET_STRICT_CHK = 12
SO_RCVBUFFORCE = 33

RECEIVE_BYTES = 1 << 16
SHORT_BYTES = 1 << 12  # of a datagram that is read at a stretch with the next one
REQUEST_BUFFER_BYTES = 4 << 20

DUMP_ATTEMPTS = 10

#: No such table, interface or family: nothing to list, not a failure.
NOTHING_TO_LIST = (errno.EOPNOTSUPP, errno.ENODEV, errno.ENOENT)

T = TypeVar("T")


class NetlinkError(OSError):
    """A single request was refused; `errno` and the kernel's own words, if it gave some."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """One received netlink message."""

    type: int
    flags: int
    sequence: int
    port: int  # netlink port of who caused it
    payload: bytes


class Part(msgspec.Struct, Generic[T], frozen=True):
    """What one datagram of a dump told."""

    values: list[T]
    consistent: bool
    last: bool


def request(kind: int, flags: int, payload: bytes) -> bytes:
    """Build a message without a sequence number."""
    return HEADER.pack(HEADER.size + len(payload), kind, NLM_F_REQUEST | flags, 0, 0) + payload


def messages(data: bytes) -> Iterator[Message]:
    """Split a datagram into its messages."""
    offset, end = 0, len(data)
    while offset + HEADER.size <= end:
        length, kind, flags, sequence, port = HEADER.unpack_from(data, offset)
        if length < HEADER.size:
            return
        yield Message(kind, flags, sequence, port, data[offset + HEADER.size : offset + length])
        offset += (length + 3) & ~3


def attributes(payload: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """Walk the attributes of a payload behind its fixed header."""
    end = len(payload)
    while offset + 4 <= end:
        length, kind = ATTRIBUTE.unpack_from(payload, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, payload[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def attribute(kind: int, value: bytes) -> bytes:
    """Build one attribute, padded to four bytes."""
    length = 4 + len(value)
    return ATTRIBUTE.pack(length, kind) + value + b"\0" * (-length % 4)


class Requests:
    """A request socket: one conversation at a time."""

    def __init__(self) -> None:
        self._socket = open_request_socket()
        self._sequence = first_sequence()
        self._turn = asyncio.Lock()  # of dumps

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def ask(self, message: bytes) -> bytes:
        """Send one request whose answer is one message (RTM_GETLINK) and return its payload.

        Synchronous: the kernel answers inside `sendmsg`. Raises NetlinkError. Must not be called
        while a dump of this socket is under way; use a socket of its own for polling.
        """
        sequence = self._next()
        self._socket.send(_numbered(message, sequence))
        while True:
            for answer in messages(self._receive()):
                if answer.sequence != sequence:
                    continue
                if answer.type == NLMSG_ERROR:
                    raise error_of(answer)
                return answer.payload

    def look(self, message: bytes) -> bytes:
        """Send one such request unnumbered and return the whole datagram that answers it.

        To the same question comes the same answer, byte for byte, as long as nothing has changed.
        """
        self._socket.send(message)
        return self._receive()

    async def dump(
        self,
        message: bytes,
        parse: Callable[[Message], T | None],
        known: dict[bytes, Part[T]] | None = None,
    ) -> list[T]:
        """List what `parse` makes of each message of a consistent dump (None leaves one out).

        Datagrams that are `known` from an earlier dump are not parsed again: what has not changed
        is told in the same bytes. `known` is brought up to date. Yields to the loop after each
        datagram that is not a short one. The kernel marks an interrupted dump by NLM_F_DUMP_INTR
        only (pyroute2-eval 1.2); such a one is read again. Where changes never cease, the last of
        ten readings counts: they cause another pass anyhow. Raises NetlinkError.
        """
        known = {} if known is None else known
        async with self._turn:
            for _ in range(DUMP_ATTEMPTS):
                parts = await self._dump_once(message, parse, known)
                if all(part.consistent for part in parts.values()):
                    break
        known.clear()
        known.update(parts)
        return [value for part in parts.values() for value in part.values]

    async def _dump_once(
        self, message: bytes, parse: Callable[[Message], T | None], known: dict[bytes, Part[T]]
    ) -> dict[bytes, Part[T]]:
        self._socket.send(message)
        parts: dict[bytes, Part[T]] = {}
        while True:
            datagram = self._receive()
            part = parts[datagram] = known.get(datagram) or _part(datagram, parse)
            if part.last:
                return parts
            if len(datagram) < SHORT_BYTES:
                continue
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self._read_to_end()
                raise

    def _read_to_end(self) -> None:
        """Leave no half-read dump behind: the kernel would refuse the next one with EBUSY."""
        while not any(part.type in ENDS for part in messages(self._receive())):
            pass

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _receive(self) -> bytes:
        return self._socket.recv(RECEIVE_BYTES)


def _part(datagram: bytes, parse: Callable[[Message], T | None]) -> Part[T]:
    values: list[T] = []
    consistent = True
    for part in messages(datagram):
        consistent = consistent and not part.flags & NLM_F_DUMP_INTR
        if part.type in ENDS:
            error = error_of(part)
            if error.errno and error.errno not in NOTHING_TO_LIST:
                raise error
            return Part(values, consistent, True)
        value = parse(part)
        if value is not None:
            values.append(value)
    return Part(values, consistent, False)


_U32 = struct.Struct("=I")


def open_socket(receive_bytes: int) -> socket.socket:
    """A NETLINK_ROUTE socket with a large receive buffer, as far as permitted."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    try:
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, receive_bytes)
    except PermissionError:  # in a user namespace: as much as rmem_max allows
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    opened.bind((0, 0))
    return opened


def open_request_socket() -> socket.socket:
    """One for requests: strict, with the kernel's own words in refusals, and no echo of them."""
    opened = open_socket(REQUEST_BUFFER_BYTES)
    for option in (NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK):
        opened.setsockopt(SOL_NETLINK, option, 1)
    return opened


def first_sequence() -> int:
    """Where a socket begins to number: not where one before it did, with the same port."""
    return int(time.monotonic()) & 0xFFFFFF


def _numbered(message: bytes, sequence: int) -> bytes:
    return message[:8] + _U32.pack(sequence) + message[12:]


def error_of(answer: Message) -> NetlinkError:
    """Decode NLMSG_ERROR or NLMSG_DONE; code 0 is an ACK, or a dump that went well.

    The kernel's own text (extended ACK) is used when there is one.
    """
    code = -ERROR.unpack_from(answer.payload)[0]
    text = os.strerror(code)
    if answer.flags & NLM_F_ACK_TLVS:
        echoed = ERROR.size
        if answer.type == NLMSG_ERROR:
            capped = answer.flags & NLM_F_CAPPED
            echoed += HEADER.size if capped else HEADER.unpack_from(answer.payload, echoed)[0]
        for kind, value in attributes(answer.payload, (echoed + 3) & ~3):
            if kind == NLMSGERR_ATTR_MSG:
                text = value.rstrip(b"\0").decode(errors="replace")
    return NetlinkError(code, text)
