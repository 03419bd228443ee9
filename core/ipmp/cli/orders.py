"""`ipmp hold|release|forget|pause|resume|reload`: what an operator tells the daemon."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ipmp.client import Client
from ipmp.model import OperationRequest

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Add the sub-commands."""
    hold = subparsers.add_parser("hold", help="take an interface out of automation")
    hold.add_argument("interface")
    hold.add_argument("--reason", required=True)
    hold.set_defaults(func=_hold)
    release = subparsers.add_parser("release", help="lift a hold")
    release.add_argument("interface")
    release.set_defaults(func=_release)
    forget = subparsers.add_parser(
        "forget",
        help="retire an adopted address: remove it from its interface for good",
        description="The address stops being a data address and is removed from the interface that "
        "carries it, with all connections to it. (Removed by hand, it is put back.) One that is "
        "listed in ipmp.toml is removed there instead, followed by `ipmp reload`.",
    )
    forget.add_argument("address", help="with or without its prefix length")
    forget.add_argument("--reason", default="", help="for the history")
    forget.add_argument("--dry-run", action="store_true", help="only say what would happen")
    forget.set_defaults(func=_forget)
    pause = subparsers.add_parser("pause", help="pause remediation on this host")
    pause.add_argument("--reason", required=True)
    pause.set_defaults(func=_pause)
    resume = subparsers.add_parser("resume", help="let remediation act again")
    resume.set_defaults(func=_resume)
    reload = subparsers.add_parser("reload", help="make mpathd read its configuration again")
    reload.set_defaults(func=_reload)


def _hold(options: argparse.Namespace) -> int:
    request = OperationRequest(reason=options.reason, actor="ipmp")
    print(Client(options.run_dir).operate("hold", options.interface, request).sentence)
    return 0


def _release(options: argparse.Namespace) -> int:
    request = OperationRequest(actor="ipmp")
    print(Client(options.run_dir).operate("release", options.interface, request).sentence)
    return 0


def _forget(options: argparse.Namespace) -> int:
    request = OperationRequest(reason=options.reason, dry_run=options.dry_run, actor="ipmp")
    result = Client(options.run_dir).forget(options.address, request)
    if result.dry_run:
        where = result.interface or "no interface"
        print(f"{options.address} would be removed from {where} and no longer be a data address")
    else:
        print(result.sentence)
    return int(not (result.verified or result.dry_run))


def _pause(options: argparse.Namespace) -> int:
    Client(options.run_dir).pause(OperationRequest(reason=options.reason, actor="ipmp"))
    return 0


def _resume(options: argparse.Namespace) -> int:
    Client(options.run_dir).resume(OperationRequest(actor="ipmp"))
    return 0


def _reload(options: argparse.Namespace) -> int:
    generation = Client(options.run_dir).reload()
    print(f"configuration {generation} is in force")
    return 0
