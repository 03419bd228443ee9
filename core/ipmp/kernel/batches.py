"""The socket for changes: batches are sent one after the other, each chunk with one ACK.

92-99 % of a batch is the kernel's own time (pyroute2-eval 2), so a chunk is a few `sendmsg` and one
ACK; errors are always answered, also without NLM_F_ACK, so every failing message is known by its
sequence number. Long batches are sent by a thread, with a queue: the next one may be handed over
before the last has come back.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import Future
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import msgspec

from ipmp.kernel.chunks import Chunk, cut
from ipmp.kernel.netlink import (
    NLMSG_ERROR,
    RECEIVE_BYTES,
    error_of,
    first_sequence,
    messages,
    open_request_socket,
)
from ipmp.kernel.protocol import Course, PassedOver

#: What one sendmsg should take, about: where kernels are not preempted, the loop may have to wait
#: for its end. Not much less: after each, the sending thread waits for its turn in Python, and a
#: busy loop gives it late.
SEND_SECONDS = 0.0025

#: A batch that should take no longer is sent by the loop itself, a longer one by a thread: the
#: kernel's RTNL lock is one for the whole machine, and what it waits for the loop must not.
INLINE_SECONDS = 0.0005
PACE_SECONDS = 80e-6  # a message, until measured; 11 us are usual, 140 among ten thousand addresses
PACE_MESSAGES = 8  # of so many, at least, what one message takes is learnt
FORGET_SECONDS = 0.1  # after a pause what was learnt is forgotten


class Refused(msgspec.Struct, frozen=True):
    """One message of a batch that the kernel refused."""

    index: int  # position in the batch
    errno: int
    text: str


class Batches:
    """Sends batches in the order in which they are handed over."""

    def __init__(self) -> None:
        self._socket = open_request_socket()
        self._sequence = first_sequence()
        self._paces: dict[int, float] = {}  # seconds that a message took, by type
        self._paced = 0.0  # when that was measured
        self._thread = ThreadPoolExecutor(1, "rtnetlink")
        self._last: Future[list[Refused]] | None = None  # what the thread has to do last
        self.port: int = self._socket.getsockname()[0]

    def close(self) -> None:
        """Close the socket when the last batch is through."""
        self._thread.shutdown()
        self._socket.close()

    def chunks(self, batch: Sequence[bytes]) -> list[Chunk]:
        """Number the messages of a batch and cut it into chunks, ready to be sent."""
        first, self._sequence = self._sequence + 1, self._sequence + len(batch)
        return cut(batch, first)

    def send(self, chunks: Sequence[Chunk], course: Course) -> Future[list[Refused]]:
        """Hand a batch over; to be awaited: the messages that were refused, or `PassedOver`."""
        if time.perf_counter() - self._paced > FORGET_SECONDS:
            self._paces.clear()
        idle = self._last is None or self._last.done()
        if not idle or sum(len(c.ends) * self._pace(c) for c in chunks) > INLINE_SECONDS:
            self._last = self._send_aside(chunks, course, idle=idle)
            return self._last
        sent = asyncio.get_running_loop().create_future()
        try:
            sent.set_result(self._send_all(chunks, course))
        except (OSError, PassedOver) as error:
            sent.set_exception(error)
        return sent

    def _send_aside(
        self, chunks: Sequence[Chunk], course: Course, *, idle: bool
    ) -> Future[list[Refused]]:
        """Let the thread send them; one that is idle is waited for until it begins.

        It needs the interpreter for that. Were it to take it from a loop that goes on, that would
        last for up to a millisecond; so long the kernel had nothing to do.
        """
        begins = Lock()
        begins.acquire()

        def send() -> list[Refused]:
            begins.release()
            return self._send_all(chunks, course)

        sending = asyncio.get_running_loop().run_in_executor(self._thread, send)
        if idle:
            begins.acquire()
        return sending

    def _send_all(self, chunks: Sequence[Chunk], course: Course) -> list[Refused]:
        if course.over:
            raise PassedOver
        refused: list[Refused] = []
        try:
            for chunk in chunks:
                self._send_chunk(chunk)
                self._read_answers(chunk, refused)
        except OSError:
            course.over = True
            raise
        if refused:
            course.over = True
        return refused

    def _send_chunk(self, chunk: Chunk) -> None:
        """Send it in parts that take the kernel a short while each, by what the last one took."""
        wire, sent, position = memoryview(chunk.wire), 0, 0
        while (left := len(chunk.ends) - sent) > 0:
            parts = max(1, round(left * self._pace(chunk) / SEND_SECONDS))
            count = -(-left // parts)
            end = chunk.ends[sent + count - 1]
            began = time.perf_counter()
            self._socket.send(wire[position:end])
            if count >= PACE_MESSAGES or parts > 1:
                self._paced = time.perf_counter()
                self._paces[chunk.kind] = (self._paced - began) / count
            sent, position = sent + count, end

    def _pace(self, chunk: Chunk) -> float:
        return self._paces.get(chunk.kind, PACE_SECONDS)

    def _read_answers(self, chunk: Chunk, refused: list[Refused]) -> None:
        """Read up to the ACK, or refusal, of the last message."""
        while True:
            for answer in messages(self._socket.recv(RECEIVE_BYTES)):
                if answer.type != NLMSG_ERROR or not chunk.first <= answer.sequence <= chunk.last:
                    continue
                error = error_of(answer)
                if error.errno:
                    index = chunk.start + answer.sequence - chunk.first
                    refused.append(Refused(index, error.errno, error.strerror or ""))
                if answer.sequence == chunk.last:
                    return
