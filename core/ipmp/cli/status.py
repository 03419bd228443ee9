"""`ipmp status`: groups, interfaces, addresses and what is unusual, on one screen."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from ipmp.cli.columns import interfaces, natural
from ipmp.client import Client
from ipmp.model import GroupState, GroupStatus, InterfaceState, InterfaceStatus, Status

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

COLOURS = {
    "ok": "\033[32m",
    "degraded": "\033[33m",
    "offline": "\033[33m",
    "failed": "\033[31m",
}
PLAIN = "\033[0m"
SHOWN = 5  # fights


def add_parser(subparsers: Subparsers) -> None:
    """Add `status`."""
    parser = subparsers.add_parser("status", help="everything on one screen")
    parser.add_argument("--json", action="store_true", help="the status API's answer as it is")
    parser.set_defaults(func=_status)


def _status(options: argparse.Namespace) -> int:
    status = Client(options.run_dir).status()
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(status), indent=2).decode())
        return 0
    colour = sys.stdout.isatty()
    for group in status.groups:
        _print_group(status, group, colour)
    if status.daemon.paused is not None:
        paused = status.daemon.paused
        end = datetime.fromtimestamp(paused.until).astimezone() if paused.until else None
        until = f" until {end:%Y-%m-%d %H:%M}" if end else ""
        print(f"Remediation is paused by {paused.actor}{until}: {paused.reason}")
    if status.daemon.config_error:
        print(f"The configuration could not be reloaded: {status.daemon.config_error}")
    return 0


def _print_group(status: Status, group: GroupStatus, colour: bool) -> None:
    print(f"{group.name}: {_painted(group.state, colour)}")
    for interface in interfaces(status):
        if interface.group == group.name:
            state = _painted(interface.state, colour)
            print(f"  {interface.name}: {state}, {interface.reason}{_held(interface)}")
            _print_addresses(status, interface)
    homeless = [a.address for a in status.addresses if a.group == group.name and not a.interface]
    if homeless:
        print(f"  on no interface: {', '.join(homeless)}")
    for fight in group.fights[:SHOWN]:
        print(f"  fighting: {fight.sentence}")
    if len(group.fights) > SHOWN:
        print(f"  fighting: {len(group.fights) - SHOWN} more")


def _print_addresses(status: Status, interface: InterfaceStatus) -> None:
    for address in sorted(status.addresses, key=lambda a: natural(a.address)):
        if address.interface == interface.name:
            away = address.home not in (None, interface.name)
            print(f"      {address.address}{f' (home {address.home})' if away else ''}")


def _held(interface: InterfaceStatus) -> str:
    hold = interface.hold
    return "" if hold is None else f"; held by {hold.actor}: {hold.reason}"


def _painted(state: GroupState | InterfaceState, colour: bool) -> str:
    return f"{COLOURS.get(state, '')}{state}{PLAIN}" if colour else str(state)
