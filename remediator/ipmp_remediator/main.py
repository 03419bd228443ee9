"""`ipmp_remediator`: the command line."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import structlog

from ipmp import logs
from ipmp.client import default_run_dir
from ipmp_remediator.app import Address, Remediator, Settings, StartError, read_policy
from ipmp_remediator.payload import PayloadError
from ipmp_remediator.reader import ConfigError
from ipmp_remediator.receiver import QueueFullError
from ipmp_remediator.rehearsal import rehearse
from ipmp_remediator.web import RESERVED_PATHS

_DEFAULT_ADDRESS = Address("127.0.0.1", 10089)

_log = structlog.get_logger()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the remediator until it is told to stop; return the exit status."""
    arguments = _parser().parse_args(argv)
    settings = Settings(
        listen=tuple(arguments.listen or [_DEFAULT_ADDRESS]),
        config_file=arguments.config_file,
        run_dir=arguments.run_dir,
        state_dir=arguments.state_dir,
        force_dry_run=arguments.dry_run,
        telemetry_path=arguments.telemetry_path,
    )
    logs.configure(arguments.log_level, arguments.log_format)
    try:
        if arguments.check:
            read_policy(settings)
            print(f"{settings.config_file}: no mistakes found")
        elif arguments.test_payload:
            return _rehearse(settings, arguments.test_payload)
        else:
            asyncio.run(_serve(settings))
    except ConfigError as error:
        for sentence in error.errors:
            print(f"ipmp_remediator: {sentence}", file=sys.stderr)
        return 1
    except StartError as error:
        print(f"ipmp_remediator: {error}", file=sys.stderr)
        return 1
    return 0


def _rehearse(settings: Settings, payload: Path) -> int:
    """Print what a notification would do, and why."""
    config = read_policy(settings)
    try:
        sentences = rehearse(config, payload, settings.run_dir, settings.state_dir, time.time())
    except OSError as error:
        print(f"ipmp_remediator: cannot read {payload}: {error.strerror}", file=sys.stderr)
    except PayloadError as error:
        print(
            f"ipmp_remediator: {payload} is no notification of version 4: {error}", file=sys.stderr
        )
    except (QueueFullError, sqlite3.Error) as error:
        why = str(error) or "the queue is full (max_pending)"
        print(f"ipmp_remediator: it would be answered with 503: {why}", file=sys.stderr)
    else:
        print("\n".join(sentences))
        return 0
    return 1


async def _serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads the policy, as soon as there is one."""
    remediator = Remediator(settings)
    stop, hangup = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    await remediator.start()
    reloading = asyncio.create_task(_reload_on(hangup, remediator))
    try:
        await stop.wait()
        _log.info("stopping")
    finally:
        reloading.cancel()
        await remediator.stop()


async def _reload_on(hangup: asyncio.Event, remediator: Remediator) -> None:
    """Read the policy again at every SIGHUP."""
    while True:
        await hangup.wait()
        hangup.clear()
        remediator.reload()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ipmp_remediator",
        description="Takes interfaces of IPMP groups offline, and online again, on alerts.",
        allow_abbrev=False,
    )
    _add_web_flags(parser)
    add = parser.add_argument
    add(
        "--config.file",
        dest="config_file",
        type=Path,
        default=Path("/etc/ipmp/remediator.toml"),
        metavar="FILE",
        help="policy file (default /etc/ipmp/remediator.toml)",
    )
    add(
        "--run-dir",
        type=Path,
        default=Path(default_run_dir()),
        metavar="DIR",
        help="where mpathd's sockets are (default $IPMP_RUN_DIR, else /run/ipmp)",
    )
    add(
        "--state-dir",
        type=Path,
        default=Path("/var/lib/ipmp-remediator"),
        metavar="DIR",
        help="where the queue is kept (default /var/lib/ipmp-remediator)",
    )
    add("--dry-run", action="store_true", help="change nothing, whatever the policy file says")
    add(
        "--test-payload",
        type=Path,
        metavar="FILE",
        help="say what the notification in FILE would do, and why, and exit",
    )
    add("--check", action="store_true", help="check the policy file and exit")
    logs.add_flags(parser)
    add("--version", action="version", version=f"ipmp_remediator {version('ipmp')}")
    return parser


def _add_web_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--web.listen-address",
        dest="listen",
        type=_address,
        action="append",
        metavar="HOST:PORT",
        help=f"address to listen on, repeatable (default {_DEFAULT_ADDRESS})",
    )
    add(
        "--web.telemetry-path",
        dest="telemetry_path",
        type=_path,
        default="/metrics",
        metavar="PATH",
        help="where the metrics are (default /metrics)",
    )


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} must be HOST:PORT, for example 127.0.0.1:10089")
    if host and host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{host!r} must be an IP address") from error
    return Address(host, int(port))


def _path(text: str) -> str:
    if not text.startswith("/") or text == "/" or any(c in text for c in "{}?#"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a path such as /metrics")
    if text in RESERVED_PATHS:
        raise argparse.ArgumentTypeError(f"{text!r} is taken; choose another path")
    return text


if __name__ == "__main__":
    sys.exit(main())
