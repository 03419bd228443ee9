"""`GET /v1/events` and `GET /v1/probes`: live streams, one JSON object a line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

import msgspec
from aiohttp import web

from ipmp.api.controller import Controller
from ipmp.decision import Decision, Kind, Reason, Refusal
from ipmp.model import Event, ProbeReport

KEEP_ALIVE_SECONDS = 15.0
PATIENCE_SECONDS = 10.0  # how long a reader may take nothing before it is dropped
MAX_STREAMS = 64
SIGN_OF_LIFE = b"\n"

_encode_lines = msgspec.json.Encoder().encode_lines

T = TypeVar("T")


class Streams:
    """The streams that are open, all ended by `close`."""

    def __init__(
        self,
        controller: Controller,
        keep_alive: float = KEEP_ALIVE_SECONDS,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._controller = controller
        self._keep_alive = keep_alive
        self._patience = patience
        self._closing = asyncio.Event()
        self._open = 0

    def close(self) -> None:
        """End every stream as soon as what is being written has gone out."""
        self._closing.set()

    async def events(self, request: web.Request, since: int | None) -> web.StreamResponse:
        """Answer with the events after `since` (None: only new ones) until one side has enough."""
        with self._controller.subscribe() as queue:
            backlog = self._backlog(since)
            last = self._controller.history.last_id
            return await self._send(request, self._event_lines(backlog, last, queue))

    async def probes(self, request: web.Request) -> web.StreamResponse:
        """Answer with the probes that are answered or lost from now on."""
        with self._controller.probes() as queue:
            return await self._send(request, self._probe_lines(queue))

    async def _send(
        self, request: web.Request, lines: AsyncGenerator[bytes, None]
    ) -> web.StreamResponse:
        if self._open >= MAX_STREAMS:
            why = f"{MAX_STREAMS} streams are open already"
            raise Refusal(Decision(Kind.REFUSED, Reason.BUSY, detail={"why": why}))
        response = web.StreamResponse()
        response.content_type = "application/x-ndjson"
        response.charset = "utf-8"
        response.force_close()  # an ended stream is told by the end of the connection, too
        self._open += 1
        try:
            await response.prepare(request)
            async with aclosing(lines):
                async for part in lines:
                    async with asyncio.timeout(self._patience):
                        await response.write(part)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # the reader has gone
        finally:
            self._open -= 1
        return response

    def _backlog(self, since: int | None) -> list[Event]:
        if since is None:
            return []
        if since > self._controller.history.last_id:
            since = 0  # a number from another life of the history: start with the oldest
        return self._controller.events_after(since)

    async def _event_lines(
        self, backlog: list[Event], last: int, queue: asyncio.Queue[Event]
    ) -> AsyncGenerator[bytes, None]:
        """Yield what to write, until closed or until the reader has missed an event.

        The first lines come at once, for the headers go out with them; `last` is the number of the
        last event so far.
        """
        yield _encode_lines(backlog) or SIGN_OF_LIFE
        while not self._closing.is_set():
            events = await self._next(queue)
            if events and events[-1].id - last != len(events):
                return  # the queue has overflowed: the reader may come back with `since`
            last += len(events)
            yield _encode_lines(events) or SIGN_OF_LIFE

    async def _probe_lines(self, queue: asyncio.Queue[ProbeReport]) -> AsyncGenerator[bytes, None]:
        """Yield what to write; a reader that is too slow misses some, which harms nobody."""
        yield SIGN_OF_LIFE
        while not self._closing.is_set():
            yield _encode_lines(await self._next(queue)) or SIGN_OF_LIFE

    async def _next(self, queue: asyncio.Queue[T]) -> list[T]:
        """Wait for something and return all there is; nothing when a sign of life is due."""
        arrived = asyncio.create_task(queue.get())
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait(
                (arrived, closing), timeout=self._keep_alive, return_when=asyncio.FIRST_COMPLETED
            )
            found = [arrived.result()] if arrived.done() else []
        finally:
            arrived.cancel()
            closing.cancel()
        while not queue.empty():
            found.append(queue.get_nowait())
        return found
