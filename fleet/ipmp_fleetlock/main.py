"""`ipmp_fleetlock`: the command line."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import structlog

from ipmp import logs
from ipmp.serving.admission import TokenError, TokenFile
from ipmp.serving.document import DocumentError
from ipmp.serving.site import Address, StartError, add_flags, listen, until_stopped
from ipmp.serving.tls import ClientContexts, TlsError, server_context
from ipmp_fleetlock.config import FleetlockConfig, load
from ipmp_fleetlock.etcd import EtcdClient
from ipmp_fleetlock.metrics import FleetlockMetrics
from ipmp_fleetlock.slots import Slots
from ipmp_fleetlock.web import FleetlockWeb

_DEFAULT_ADDRESS = Address("127.0.0.1", 10090)

_log = structlog.get_logger()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server until it is told to stop; return the exit status."""
    arguments = _parser().parse_args(argv)
    addresses = tuple(arguments.listen or [_DEFAULT_ADDRESS])
    logs.configure(arguments.log_level, arguments.log_format)
    try:
        config = _read(arguments.config_file, addresses)
        if arguments.check:
            print(f"{arguments.config_file}: no mistakes found")
        else:
            asyncio.run(_serve(config, arguments.config_file, addresses))
    except DocumentError as error:
        for sentence in error.errors:
            print(f"ipmp_fleetlock: {sentence}", file=sys.stderr)
        return 1
    except (StartError, TlsError, TokenError) as error:
        print(f"ipmp_fleetlock: {error}", file=sys.stderr)
        return 1
    return 0


def _read(file: Path, addresses: Sequence[Address]) -> FleetlockConfig:
    """Read the configuration and what it names; raise StartError where anybody could ask."""
    config = load(file)
    if config.tls:
        server_context(config.tls)
    if config.etcd.tls:
        ClientContexts(config.etcd.tls)
    if config.token_file:
        TokenFile(config.token_file).token()
    elif not config.mutual:
        for wanted in addresses:
            if not wanted.loopback:
                raise StartError(
                    f"anybody could ask on {wanted}: set token_file or tls.client_ca_file, or "
                    "listen on a loopback address"
                )
    return config


async def _serve(config: FleetlockConfig, file: Path, addresses: Sequence[Address]) -> None:
    current = config

    def reload() -> None:
        """Take over a new configuration, but not what needs a restart."""
        nonlocal current
        try:
            fresh = _read(file, addresses)
        except DocumentError as error:
            for sentence in error.errors:
                _log.error(f"the configuration was not reloaded, the old one stays: {sentence}")
        except (StartError, TlsError, TokenError) as error:
            _log.error(f"the configuration was not reloaded, the old one stays: {error}")
        else:
            if (fresh.etcd, fresh.tls) != (current.etcd, current.tls):
                _log.warning("[etcd] or [tls] has changed, which takes effect at the next start")
            current = fresh
            _log.info("the configuration was reloaded", file=str(file))

    etcd = EtcdClient(config.etcd)
    await etcd.open()
    try:
        slots = Slots(etcd, config.etcd.prefix)
        site = FleetlockWeb(lambda: current, slots, FleetlockMetrics())
        tls = server_context(config.tls) if config.tls else None
        runner = await listen(site.application(), addresses, tls)
        try:
            await until_stopped(reload)
        finally:
            await runner.cleanup()
    finally:
        await etcd.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ipmp_fleetlock",
        description="Keeps a fleet-wide budget of drains: a FleetLock server with its slots in "
        "etcd.",
        allow_abbrev=False,
    )
    add_flags(parser, Path("/etc/ipmp/fleetlock.toml"), _DEFAULT_ADDRESS)
    logs.add_flags(parser)
    parser.add_argument("--version", action="version", version=f"ipmp_fleetlock {version('ipmp')}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
