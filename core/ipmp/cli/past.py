"""`ipmp history` and `ipmp explain`: what happened, and why it is as it is."""

from __future__ import annotations

import argparse
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from ipmp.client import Client, ClientError
from ipmp.model import Event

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Add the sub-commands."""
    history = subparsers.add_parser("history", help="what happened, newest last")
    for name in ("group", "interface", "address", "kind"):
        history.add_argument(f"--{name}", help=f"only of this {name}")
    history.add_argument("--limit", type=int, default=100, help="at most so many (default 100)")
    history.add_argument("--since", type=_instant, help="not before, for example 2026-11-24T06:00")
    history.add_argument("--json", action="store_true", help="one JSON object a line")
    history.add_argument("--follow", action="store_true", help="and then what happens, until ^C")
    history.set_defaults(func=_history)
    explain = subparsers.add_parser("explain", help="why is it as it is?")
    explain.add_argument("object", help="a group, an interface or an address")
    explain.set_defaults(func=_explain)


def _history(options: argparse.Namespace) -> int:
    client = Client(options.run_dir)
    events = client.history(
        limit=options.limit,
        since=options.since,
        group=options.group,
        interface=options.interface,
        address=options.address,
        kind=options.kind,
    )
    for event in events:
        _print(event, options)
    if options.follow:
        for event in client.events(events[-1].id if events else None):
            if _wanted(event, options):
                _print(event, options)
    return 0


def _explain(options: argparse.Namespace) -> int:
    client = Client(options.run_dir)
    for sentence in client.explain(options.object):
        print(sentence)
    with suppress(ClientError):  # there may be no remediator on this host
        for sentence in client.remediation(options.object):
            print(sentence)
    return 0


def told(event: Event) -> str:
    """Return an event as a line for people."""
    return dated(event.time, event.sentence)


def dated(time: float, sentence: str) -> str:
    """Return a sentence with its moment in front."""
    moment = datetime.fromtimestamp(time).astimezone().isoformat(" ", "milliseconds")
    return f"{moment}  {sentence}"


def _print(event: Event, options: argparse.Namespace) -> None:
    print(msgspec.json.encode(event).decode() if options.json else told(event), flush=True)


def _wanted(event: Event, options: argparse.Namespace) -> bool:
    asked = (options.group, options.interface, options.address, options.kind)
    return event.decision.concerns(*(want or "" for want in asked))


def _instant(text: str) -> float:
    """Unix time of an ISO 8601 moment; local time without an offset."""
    return datetime.fromisoformat(text).astimezone().timestamp()
