"""`ipmp`: what Solaris has no command for. Sub-commands are loaded when they are used."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from ipmp import __version__
from ipmp.cli.console import run
from ipmp.client import AccessDenied, ClientError, DaemonUnavailable

#: Module that adds each sub-command, in the order of the help.
COMMANDS = {
    "check": "ipmp.cli.check",
    "status": "ipmp.cli.status",
    "watch": "ipmp.cli.watch",
    "history": "ipmp.cli.past",
    "explain": "ipmp.cli.past",
    "hold": "ipmp.cli.orders",
    "release": "ipmp.cli.orders",
    "forget": "ipmp.cli.orders",
    "pause": "ipmp.cli.orders",
    "resume": "ipmp.cli.orders",
    "approve": "ipmp.cli.orders",
    "reload": "ipmp.cli.orders",
    "fleet": "ipmp.cli.fleet",
    "lab": "ipmp.cli.lab",
    "demo": "ipmp.cli.demo",
}


def main() -> int:
    """Return the exit status of the sub-command; 1 when the daemon refuses or is away."""
    return run(_main)


def _main() -> int:
    options = _parser(sys.argv[1:]).parse_args()
    try:
        status: int = options.func(options)
    except DaemonUnavailable:
        print("ipmp: cannot contact mpathd; is it running, with this --run-dir?", file=sys.stderr)
    except AccessDenied:
        print(
            "ipmp: permission denied; run it as root or as a member of ipmp-admin", file=sys.stderr
        )
    except ClientError as error:
        print(f"ipmp: {error}", file=sys.stderr)
    else:
        return status
    return 1


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    """The parser, with the sub-command that is used; with all of them for the help."""
    parser = argparse.ArgumentParser(prog="ipmp", description="IP multipathing: look, explain, try")
    parser.add_argument("--version", action="version", version=f"ipmp {__version__}")
    parser.add_argument("--run-dir", metavar="DIR", help="where mpathd has its sockets")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    used = next((word for word in arguments if word in COMMANDS), None)
    wanted = COMMANDS.values() if used is None else [COMMANDS[used]]
    for module in dict.fromkeys(wanted):
        import_module(module).add_parser(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
