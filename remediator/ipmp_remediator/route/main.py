"""`ipmp_remediator route`: the command line of the dispatcher."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from ipmp import logs
from ipmp.serving.admission import TokenError, TokenFile
from ipmp.serving.document import DocumentError
from ipmp.serving.site import Address, StartError, add_flags, listen, until_stopped
from ipmp.serving.tls import ClientContexts, TlsError, server_context
from ipmp_remediator.route.config import RouteConfig, load
from ipmp_remediator.route.dispatch import Dispatcher
from ipmp_remediator.route.metrics import RouteMetrics
from ipmp_remediator.route.targets import FileTargets, TargetsError, targets_of
from ipmp_remediator.route.web import RouteWeb

_DEFAULT_ADDRESS = Address("127.0.0.1", 10091)


def main(argv: Sequence[str]) -> int:
    """Run the dispatcher until it is told to stop; return the exit status."""
    arguments = _parser().parse_args(argv)
    addresses = tuple(arguments.listen or [_DEFAULT_ADDRESS])
    logs.configure(arguments.log_level, arguments.log_format)
    try:
        config = load(arguments.config_file)
        _check(config, addresses)
        if arguments.check:
            print(f"{arguments.config_file}: no mistakes found")
        else:
            asyncio.run(_serve(config, addresses))
    except DocumentError as error:
        for sentence in error.errors:
            print(f"ipmp_remediator route: {sentence}", file=sys.stderr)
        return 1
    except (StartError, TargetsError, TlsError, TokenError) as error:
        print(f"ipmp_remediator route: {error}", file=sys.stderr)
        return 1
    return 0


def _check(config: RouteConfig, addresses: Sequence[Address]) -> None:
    """Read what the file names; raise StartError where anybody could send."""
    targets_of(config)
    ClientContexts(config.hosts_tls)
    if config.tls:
        server_context(config.tls)
    for file in (config.token_file, config.hosts_token_file):
        if file:
            TokenFile(file).token()
    if config.token_file or (config.tls and config.tls.client_ca_file):
        return
    for wanted in addresses:
        if not wanted.loopback:
            raise StartError(
                f"anybody could send to {wanted}: set token_file or tls.client_ca_file, or listen "
                "on a loopback address"
            )


async def _serve(config: RouteConfig, addresses: Sequence[Address]) -> None:
    metrics = RouteMetrics()
    targets = targets_of(config)
    dispatcher = Dispatcher(config, targets, metrics)
    await dispatcher.open()
    try:
        site = RouteWeb(config, targets, dispatcher, metrics)
        tls = server_context(config.tls) if config.tls else None
        runner = await listen(site.application(), addresses, tls)
        try:
            await until_stopped(
                targets.refresh if isinstance(targets, FileTargets) else lambda: None
            )
        finally:
            await runner.cleanup()
    finally:
        await dispatcher.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ipmp_remediator route",
        description="Splits Alertmanager's notifications by host and passes the parts on to the "
        "remediators of the hosts.",
        allow_abbrev=False,
    )
    add_flags(parser, Path("/etc/ipmp/route.toml"), _DEFAULT_ADDRESS)
    logs.add_flags(parser)
    parser.add_argument("--version", action="version", version=f"ipmp_remediator {version('ipmp')}")
    return parser
