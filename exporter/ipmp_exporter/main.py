"""The command `ipmp_exporter`: start and stop."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence

import structlog
from aiohttp import web

from ipmp import logs
from ipmp_exporter import flags, listen
from ipmp_exporter.acceptor import Acceptor
from ipmp_exporter.exposition import VERSION
from ipmp_exporter.server import Exporter
from ipmp_exporter.web_config import Guard, WebConfigError

_STOP_SECONDS = 1.0  # for running scrapes to end by themselves; then as long to be cancelled

#: A scrape makes tuples by the hundred thousand, none in a cycle; to look for cycles among them
#: after every 700, as is the default, takes a third of its time.
_GARBAGE = 200_000

_log = structlog.get_logger("ipmp_exporter")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the exporter until SIGTERM or SIGINT; return the exit status."""
    options = flags.parser().parse_args(arguments)
    logs.configure(options.log_level, options.log_format)
    try:
        guard = Guard(options.web_config)
        sockets = _sockets(options)
    except (listen.ListenError, WebConfigError) as failure:
        print(f"ipmp_exporter: {failure}", file=sys.stderr)
        return 1
    if os.geteuid() == 0:
        _log.warning("running as root, which is not needed: use a user in the group ipmp")
    exporter = Exporter(
        options.run_dir,
        options.telemetry_path,
        flags.switched_on(options),
        max_requests=options.max_requests,
        own_process=options.own_process,
    )
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    asyncio.run(_serve(exporter, guard, sockets))
    return 0


def _sockets(options: argparse.Namespace) -> list[socket.socket]:
    if options.systemd_socket:
        return listen.inherited(os.environ)
    return [listen.bind(a) for a in options.listen_address or [flags.DEFAULT_ADDRESS]]


async def _serve(exporter: Exporter, guard: Guard, sockets: Sequence[socket.socket]) -> None:
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    runner = web.AppRunner(
        exporter.app(guard.middleware), access_log=None, shutdown_timeout=_STOP_SECONDS
    )
    await runner.setup()
    assert runner.server is not None
    acceptors = [Acceptor(bound, runner.server, guard.context) for bound in sockets]
    try:
        for acceptor, bound in zip(acceptors, sockets, strict=True):
            acceptor.start()
            _log.info(f"listening on {listen.url(bound, tls=guard.tls)}", version=VERSION)
        await stop.wait()
        _log.info("stopping")
    finally:
        for acceptor in acceptors:
            await acceptor.stop()
        await runner.cleanup()
        guard.close()


if __name__ == "__main__":
    sys.exit(main())
