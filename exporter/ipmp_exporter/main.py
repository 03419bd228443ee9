"""The command `ipmp_exporter`: flags, start and stop."""

from __future__ import annotations

import argparse
import asyncio
import platform
import re
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import structlog
from aiohttp import web

from ipmp import logs
from ipmp.client import default_run_dir
from ipmp_exporter import listen
from ipmp_exporter.exposition import VERSION
from ipmp_exporter.server import HEALTH_PATH, Exporter

_DEFAULT_ADDRESS = ":10088"
_STOP_SECONDS = 1.0  # for running scrapes to end by themselves; then as long to be cancelled

_log = structlog.get_logger("ipmp_exporter")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence and exits 1, as every exporter does."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the exporter until SIGTERM or SIGINT; return the exit status."""
    options = _parser().parse_args(arguments)
    logs.configure(options.log_level, options.log_format)
    sockets: list[socket.socket] = []
    try:
        for address in options.listen_address or [_DEFAULT_ADDRESS]:
            sockets.append(listen.bind(address))
    except listen.ListenError as failure:
        print(f"ipmp_exporter: {failure}", file=sys.stderr)
        return 1
    asyncio.run(_serve(Exporter(options.run_dir, options.telemetry_path), sockets))
    return 0


async def _serve(exporter: Exporter, sockets: Sequence[socket.socket]) -> None:
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    runner = web.AppRunner(exporter.app(), access_log=None, shutdown_timeout=_STOP_SECONDS)
    await runner.setup()
    try:
        for bound in sockets:
            address = listen.url(bound)
            await web.SockSite(runner, bound).start()
            _log.info(f"listening on {address}", version=VERSION)
        await stop.wait()
        _log.info("stopping")
    finally:
        await runner.cleanup()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ipmp_exporter",
        description="Publishes the state of this host's IPMP groups as Prometheus metrics.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--web.listen-address",
        dest="listen_address",
        action="append",
        metavar="ADDRESS",
        help=f"where to listen, HOST:PORT or :PORT; may be repeated (default {_DEFAULT_ADDRESS})",
    )
    parser.add_argument(
        "--web.telemetry-path",
        dest="telemetry_path",
        type=_telemetry_path,
        default="/metrics",
        metavar="PATH",
        help="path of the metrics (default %(default)s)",
    )
    parser.add_argument(
        "--run-dir",
        dest="run_dir",
        type=Path,
        default=Path(default_run_dir()),
        metavar="DIR",
        help="where mpathd has its sockets (default $IPMP_RUN_DIR, else /run/ipmp)",
    )
    logs.add_flags(parser)
    version = f"ipmp_exporter {VERSION} (python {platform.python_version()})"
    parser.add_argument("--version", action="version", version=version)
    return parser


def _telemetry_path(path: str) -> str:
    if not re.fullmatch(r"/[\w./~-]*", path, re.ASCII) or path == HEALTH_PATH:
        raise argparse.ArgumentTypeError(
            f"{path!r} is not a path for the metrics; it starts with / and has letters, digits "
            f"and ._~- only, for example /metrics"
        )
    return path


if __name__ == "__main__":
    sys.exit(main())
