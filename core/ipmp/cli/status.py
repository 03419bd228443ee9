"""`ipmp status`: groups, interfaces, addresses and what is unusual, on one screen."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from ipmp.cli.columns import interfaces, natural
from ipmp.cli.console import has_colour
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
    for line in lines(status, colour=has_colour()):
        print(line)
    return 0


def lines(status: Status, only: str | None = None, *, colour: bool = False) -> Iterator[str]:
    """All of it, or one group, in lines; and what is unusual about the host."""
    for group in status.groups:
        if only in (None, group.name):
            yield from _group(status, group, colour)
    yield from notes(status)


def notes(status: Status) -> Iterator[str]:
    """What is unusual about the host."""
    if status.daemon.paused is not None:
        paused = status.daemon.paused
        end = datetime.fromtimestamp(paused.until).astimezone() if paused.until else None
        until = f" until {end:%Y-%m-%d %H:%M}" if end else ""
        yield f"Remediation is paused by {paused.actor}{until}: {paused.reason}"
    if status.daemon.config_error:
        yield f"The configuration could not be reloaded: {status.daemon.config_error}"


def why(interface: InterfaceStatus) -> str:
    """Why an interface is in its state, and who holds it."""
    hold = interface.hold
    held = "" if hold is None else f"; held by {hold.actor}: {hold.reason}"
    return f"{interface.reason}{held}"


def _group(status: Status, group: GroupStatus, colour: bool) -> Iterator[str]:
    yield f"{group.name}: {_painted(group.state, colour)}"
    for interface in interfaces(status):
        if interface.group == group.name:
            yield f"  {interface.name}: {_painted(interface.state, colour)}, {why(interface)}"
            yield from _addresses(status, interface)
    homeless = [a.address for a in status.addresses if a.group == group.name and not a.interface]
    if homeless:
        yield f"  on no interface: {', '.join(homeless)}"
    for fight in group.fights[:SHOWN]:
        yield f"  fighting: {fight.sentence}"
    if len(group.fights) > SHOWN:
        yield f"  fighting: {len(group.fights) - SHOWN} more"


def _addresses(status: Status, interface: InterfaceStatus) -> Iterator[str]:
    for address in sorted(status.addresses, key=lambda a: natural(a.address)):
        if address.interface == interface.name:
            away = address.home not in (None, interface.name)
            yield f"      {address.address}{f' (home {address.home})' if away else ''}"


def _painted(state: GroupState | InterfaceState, colour: bool) -> str:
    return f"{COLOURS.get(state, '')}{state}{PLAIN}" if colour else str(state)
