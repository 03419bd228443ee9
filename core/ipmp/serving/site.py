"""Listen with an aiohttp application, and answer its errors with one sentence each."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import signal
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import structlog
from aiohttp import web

_SHUTDOWN_TIMEOUT = 5.0

_log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class StartError(Exception):
    """The server cannot start; the message is one sentence that says what to do."""


class Address(msgspec.Struct, frozen=True):
    """A host (empty: all addresses) and a port (0: any) to listen on."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Tell whether only this machine can reach it."""
        return bool(self.host) and ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """Parse HOST:PORT for argparse."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]").replace("localhost", "127.0.0.1")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} must be HOST:PORT, for example 127.0.0.1:10090")
    if host:
        try:
            ipaddress.ip_address(host)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{host!r} must be an IP address") from error
    return Address(host, int(port))


def add_flags(parser: argparse.ArgumentParser, file: Path, default: Address) -> None:
    """Add the flags of a server: `config_file` (default `file`), `listen`, `check`."""
    add = parser.add_argument
    add(
        "--config.file",
        dest="config_file",
        type=Path,
        default=file,
        metavar="FILE",
        help=f"configuration (default {file})",
    )
    add(
        "--web.listen-address",
        dest="listen",
        type=address,
        action="append",
        metavar="HOST:PORT",
        help=f"address to listen on, repeatable (default {default})",
    )
    add("--check", action="store_true", help="check the configuration and what it names, and exit")


async def listen(
    application: web.Application, addresses: Sequence[Address], tls: ssl.SSLContext | None
) -> web.AppRunner:
    """Listen on all addresses; raise StartError. The caller cleans the runner up."""
    runner = web.AppRunner(
        application,
        access_log=None,
        auto_decompress=False,
        shutdown_timeout=_SHUTDOWN_TIMEOUT,
        handler_cancellation=True,  # who has gone does not want it done any longer
    )
    await runner.setup()
    for wanted in addresses:
        try:
            await web.TCPSite(runner, wanted.host or None, wanted.port, ssl_context=tls).start()
        except OSError as error:
            await runner.cleanup()
            why = error.strerror or str(error)
            raise StartError(f"cannot listen on {wanted}: {why}") from error
    for bound in runner.addresses:
        scheme = "https" if tls else "http"
        _log.info(f"listening on {scheme}://{Address(host=bound[0], port=bound[1])}")
    return runner


async def until_stopped(reload: Callable[[], object]) -> None:
    """Return at SIGTERM or SIGINT; call `reload` at every SIGHUP."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    await stop.wait()
    _log.info("stopping")
