"""Accepts connections, each with the TLS context that is in force at that moment.

A listening socket of asyncio keeps one context for ever. Here a new certificate, or a new list of
client CAs, counts from the next connection on, and those that are open are not disturbed.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

import structlog

HANDSHAKE_SECONDS = 10.0
FULL_SECONDS = 0.5  # until connections are accepted again when no file descriptor is left

_log = structlog.get_logger("ipmp_exporter")


class Acceptor:
    """Accepts on one socket until stopped; handshakes run beside each other."""

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.BaseProtocol],
        context: Callable[[], ssl.SSLContext | None],
    ) -> None:
        """`context` is asked for each connection; it may raise OSError, which closes it."""
        self._listening = listening
        self._protocol = protocol
        self._context = context
        self._accepting: asyncio.Task[None] | None = None
        self._welcomes: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to accept."""
        self._listening.setblocking(False)
        self._accepting = asyncio.create_task(self._accept())

    async def stop(self) -> None:
        """Close the socket; connections that are established go on."""
        tasks = [task for task in (self._accepting, *self._welcomes) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listening.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listening)
            except ConnectionError:  # it was gone before it was accepted
                continue
            except OSError as error:
                _log.warning(f"cannot accept a connection: {error.strerror}; trying again")
                await asyncio.sleep(FULL_SECONDS)
                continue
            task = asyncio.create_task(self._welcome(connection))
            self._welcomes.add(task)
            task.add_done_callback(self._welcomes.discard)

    async def _welcome(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            context = self._context()
            await loop.connect_accepted_socket(
                self._protocol,
                connection,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if context else None,
            )
        except OSError as error:  # also ssl.SSLError and TimeoutError
            _log.debug(f"a connection was not established: {error}")
            connection.close()
