"""`ipmp lab`: a small network in namespaces to try things in, without root and without traces."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ipmp.lab import Fault, Lab, LabError, topology

EPILOG = """\
nodes:  host (the NICs), sw1 and sw2 (switches, joined), router, peer (on sw2), far (behind router)
faults: cable-pull NIC      the carrier goes
        silent NIC          the carrier stays, nothing passes
        loss NIC PERCENT    that many of each 100 frames are dropped, in each direction
        repair [NIC]        ends the faults of one NIC, or all
"""


if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]
Command = Callable[[argparse.Namespace], int]


def add_parser(subparsers: Subparsers) -> None:
    """Add `lab` and its own sub-commands; each sets `func`, which returns the exit status."""
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument(
        "--dir",
        type=Path,
        default=argparse.SUPPRESS,  # so that it may stand before or after the sub-command
        metavar="DIR",
        help="where the lab keeps its state (default: $IPMP_LAB_DIR or ~/.cache/ipmp-lab)",
    )
    parser = subparsers.add_parser(
        "lab",
        parents=[where],
        help="a rootless network in namespaces: up, exec, fault, down, status",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_commands(parser.add_subparsers(dest="lab_command", required=True), where)


def _add_commands(commands: Subparsers, where: argparse.ArgumentParser) -> None:
    up = commands.add_parser("up", parents=[where], help="build the network; it stays until `down`")
    up.add_argument("--nics", type=int, choices=(2, 3), default=2, help="NICs of the host")
    up.set_defaults(func=_reporting(_up))

    run = commands.add_parser(
        "exec", parents=[where], help="run a command in a node, for example: exec peer -- bash"
    )
    run.add_argument("node", choices=topology.NODES)
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")
    run.set_defaults(func=_reporting(_exec))

    fault = commands.add_parser("fault", parents=[where], help="break the path of a NIC, repair it")
    kinds = fault.add_subparsers(dest="fault", required=True)
    for name in (Fault.CABLE_PULL, Fault.SILENT, Fault.LOSS):
        kind = kinds.add_parser(name, parents=[where])
        kind.add_argument("nic")
        if name is Fault.LOSS:
            kind.add_argument("percent", type=int)
        kind.set_defaults(func=_reporting(_fault), percent=0)
    repair = kinds.add_parser("repair", parents=[where])
    repair.add_argument("nic", nargs="?")
    repair.set_defaults(func=_reporting(_repair))

    down = commands.add_parser("down", parents=[where], help="end the lab and all that runs in it")
    down.set_defaults(func=_reporting(_down))
    status = commands.add_parser("status", parents=[where], help="what is up, what is broken")
    status.set_defaults(func=_reporting(_status))


def _directory(args: argparse.Namespace) -> Path:
    """Return --dir, $IPMP_LAB_DIR, or a place in the user's cache (not /run: a lab has its own)."""
    if "dir" in args:
        return Path(args.dir)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("IPMP_LAB_DIR") or Path(cache, "ipmp-lab"))


def _reporting(command: Command) -> Command:
    """Return `command` with errors that the user can put right as one sentence, exit status 1."""

    def run(args: argparse.Namespace) -> int:
        try:
            return command(args)
        except (LabError, OSError) as error:
            print(f"ipmp lab: {error}", file=sys.stderr)
            return 1

    return run


def _up(args: argparse.Namespace) -> int:
    lab = Lab(_directory(args), args.nics)
    lab.start(detached=True)
    return _status(args)


def _exec(args: argparse.Namespace) -> int:
    argv = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
    if not argv:
        raise LabError("say what to run: ipmp lab exec NODE -- COMMAND ...")
    command = (*Lab.attach(_directory(args)).enter(args.node), *argv)
    os.execvp(command[0], command)  # noqa: S606 - it takes our place: status, terminal, signals


def _fault(args: argparse.Namespace) -> int:
    Lab.attach(_directory(args)).fault(args.fault, args.nic, args.percent)
    return 0


def _repair(args: argparse.Namespace) -> int:
    Lab.attach(_directory(args)).repair(args.nic)
    return 0


def _down(args: argparse.Namespace) -> int:
    Lab.attach(_directory(args)).stop()
    return 0


def _status(args: argparse.Namespace) -> int:
    lab = Lab.attach(_directory(args))
    print(f"lab in {lab.directory}: up, keeper is pid {lab.keeper}")
    for name in topology.nic_names(lab.nics):
        print(f"  {name} on {lab.cable(name).switch}: {', '.join(lab.faults(name)) or 'no fault'}")
    return 0
