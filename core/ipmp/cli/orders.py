"""`ipmp hold|release|forget|pause|resume|approve|reload`: what an operator tells the daemon."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from ipmp.client import Client, DaemonUnavailable
from ipmp.model import OperationRequest

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


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
    pause.add_argument(
        "--for", dest="seconds", type=_duration, default=0.0, metavar="TIME", help="for example 2h"
    )
    pause.set_defaults(func=_pause)
    resume = subparsers.add_parser("resume", help="let remediation act again")
    resume.set_defaults(func=_resume)
    approve = subparsers.add_parser("approve", help="let a drain go on that waits for approval")
    approve.add_argument("id", nargs="?", help="which one; without it, those that wait are listed")
    approve.set_defaults(func=_approve)
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
    until = time.time() + options.seconds if options.seconds else 0.0
    request = OperationRequest(reason=options.reason, actor="ipmp", until=until)
    Client(options.run_dir).pause(request)
    return 0


def _approve(options: argparse.Namespace) -> int:
    client = Client(options.run_dir)
    try:
        sentences = client.approve(options.id) if options.id else client.approvals()
    except DaemonUnavailable:
        print("ipmp: cannot contact ipmp_remediator; is it running?", file=sys.stderr)
        return 1
    for sentence in sentences:
        print(sentence)
    return 0


def _duration(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isascii() or not number.isdigit() or int(number) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be a time such as 90s, 30m, 2h or 1d")
    return int(number) * _UNITS[unit]


def _resume(options: argparse.Namespace) -> int:
    Client(options.run_dir).resume(OperationRequest(actor="ipmp"))
    return 0


def _reload(options: argparse.Namespace) -> int:
    generation = Client(options.run_dir).reload()
    print(f"configuration {generation} is in force")
    return 0
