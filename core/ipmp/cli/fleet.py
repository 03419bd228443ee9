"""`ipmp fleet`: who holds slots of the fleet's budget of drains, and since when."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ipmp.fleetlock.client import FleetLockClient, RefusedError, UnreachableError
from ipmp.fleetlock.config import DEFAULT_FILE, load
from ipmp.fleetlock.values import GroupStatus, ReleaseRequest
from ipmp.serving.admission import TokenError
from ipmp.serving.document import DocumentError
from ipmp.serving.tls import TlsError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


def add_parser(subparsers: Subparsers) -> None:
    """Add the sub-command and its own."""
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--config", type=Path, default=DEFAULT_FILE, help=f"default {DEFAULT_FILE}")
    fleet = subparsers.add_parser("fleet", help="the fleet's budget of drains: who holds slots")
    commands = fleet.add_subparsers(metavar="COMMAND", required=True)
    holders = commands.add_parser("holders", parents=[where], help="who holds slots, since when")
    holders.add_argument("--json", action="store_true", help="print the answer of the server")
    holders.set_defaults(func=_holders)
    release = commands.add_parser(
        "release",
        parents=[where],
        help="take a slot from a holder that will not give it back itself",
        description="Slots never expire: an interface stays drained when its remediator dies. Look "
        "at the host before you release its slot.",
    )
    release.add_argument("pool")
    release.add_argument("id", help="HOST/INTERFACE, as `ipmp fleet holders` shows it")
    release.add_argument("--reason", required=True)
    release.set_defaults(func=_release)


def _holders(options: argparse.Namespace) -> int:
    async def body(client: FleetLockClient) -> None:
        groups = await client.groups()
        if options.json:
            print(msgspec.json.encode(groups).decode())
        else:
            print("\n".join(_lines(groups)))

    return _ask(options, body)


def _release(options: argparse.Namespace) -> int:
    async def body(client: FleetLockClient) -> None:
        await client.release(ReleaseRequest(options.id, options.pool, options.reason))
        print(f"the slot of {options.id} in pool {options.pool} is free")

    return _ask(options, body)


def _ask(
    options: argparse.Namespace, body: Callable[[FleetLockClient], Coroutine[None, None, None]]
) -> int:
    """Run the body with a client; say what is wrong in one sentence."""
    try:
        asyncio.run(body(FleetLockClient(load(options.config))))
    except DocumentError as error:
        for sentence in error.errors:
            print(f"ipmp: {sentence}", file=sys.stderr)
    except (TlsError, TokenError) as error:
        print(f"ipmp: {error}", file=sys.stderr)
    except RefusedError as error:
        print(f"ipmp: the FleetLock server refuses: {error}", file=sys.stderr)
    except UnreachableError as error:
        print(f"ipmp: no FleetLock server can be asked: {error}", file=sys.stderr)
    else:
        return 0
    return 1


def _lines(groups: tuple[GroupStatus, ...]) -> list[str]:
    rows = [("POOL", "SLOTS", "HELD", "AGE", "HOLDER")]
    for group in groups:
        counts = (group.group, str(group.slots), str(len(group.holders)))
        rows += [(*counts, _age(group.age(h)), h.id) for h in group.holders] or [
            (*counts, "--", "--")
        ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _age(seconds: float) -> str:
    """Write a duration with its two largest units, or seconds."""
    left = int(seconds)
    parts: list[str] = []
    for length, unit in _UNITS:
        if left >= length or parts:
            parts.append(f"{left // length}{unit}")
            left %= length
    return "".join(parts[:2]) or f"{left}s"
