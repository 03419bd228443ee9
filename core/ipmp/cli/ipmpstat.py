"""`ipmpstat`: addresses, groups, interfaces, probes and targets, as Solaris shows them.

Options, formats, texts and exit status are those of reference ipmp-semantics 4; `--json`, `--watch`
and `--run-dir` are ours. Checks come in Solaris' order: options, field list, daemon, mode.
"""

from __future__ import annotations

import getopt
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, NoReturn

from ipmp.cli import columns
from ipmp.cli.console import height, run
from ipmp.cli.table import Column, FieldError, human, objects, parsable, select
from ipmp.client import AccessDenied, Client, ClientError, DaemonUnavailable
from ipmp.model import Status

USAGE = """\
usage: ipmpstat [-n] [-o <field> [-P]] -a|-g|-i|-p|-t

output modes:
\t-a\tdisplay IPMP data address information
\t-g\tdisplay IPMP group information
\t-i\tdisplay IPMP-related IP interface information
\t-p\tdisplay IPMP probe information
\t-t\tdisplay IPMP target information

options:
\t-n\tdisplay IP addresses numerically
\t-o\tdisplay only the specified fields, in order
\t-P\tdisplay using parsable output mode
\t--json\tdisplay as JSON
\t--watch\tdisplay again every second
\t--run-dir=DIR\twhere mpathd has its sockets"""

SHORT = "agiptno:P"
LONG = ["json", "watch", "run-dir="]

NOT_RUNNING = "cannot contact in.mpathd(1M) -- is IPMP in use?"
CLEAR = "\033[H\033[2J"
WATCH_SECONDS = 1.0

MODES: dict[str, Sequence[Column[Any]]] = {
    "-a": columns.ADDRESS,
    "-g": columns.GROUP,
    "-i": columns.INTERFACE,
    "-p": columns.PROBE,
    "-t": columns.TARGET,
}


class UsageError(Exception):
    """The options are off; the text, if any, says how."""


class Options(NamedTuple):
    """The command line."""

    mode: str
    numeric: bool
    fields: str | None
    parsable: bool
    json: bool
    watch: bool
    run_dir: str | None


def main() -> int:
    """Return 0 on success, 1 on any error."""
    return run(_main)


def _main() -> int:
    try:
        options = parse(sys.argv[1:])
        selection = select(options.fields, MODES[options.mode], parsable=options.parsable)
    except (UsageError, FieldError) as error:
        print(f"ipmpstat: {error}" if str(error) else USAGE, file=sys.stderr)
        return 1
    if selection.warning:
        print(f"ipmpstat: warning: {selection.warning}", file=sys.stderr)
    client = Client(options.run_dir)
    try:
        if options.mode == "-p":
            _follow(options, selection.columns, client)
        while True:
            text = _render(options, selection.columns, client.status())
            print((CLEAR if options.watch else "") + text, end="", flush=True)
            if not options.watch:
                return 0
            time.sleep(WATCH_SECONDS)
    except UsageError as error:
        print(f"ipmpstat: {error}", file=sys.stderr)
    except ClientError as error:
        print(f"ipmpstat: {_complaint(error)}", file=sys.stderr)
    return 1


def parse(arguments: list[str]) -> Options:
    """The options; raises UsageError, without a text when the usage says it all."""
    try:
        given, operands = getopt.getopt(arguments, SHORT, LONG)
    except getopt.GetoptError as error:
        raise UsageError from error
    modes = [name for name, _ in given if name in MODES]
    if len(modes) > 1:
        raise UsageError("only one output format may be specified")
    if not modes or operands:
        raise UsageError
    values = dict(given)
    return Options(
        mode=modes[0],
        numeric="-n" in values,
        fields=values.get("-o"),
        parsable="-P" in values,
        json="--json" in values,
        watch="--watch" in values,
        run_dir=values.get("--run-dir"),
    )


def _follow(options: Options, chosen: Sequence[Column[Any]], client: Client) -> NoReturn:
    """Print a row for each probe that is answered or lost, until killed.

    Raises DaemonUnavailable when the daemon has stopped.
    """
    started = time.time()
    if not any(interface.probes for interface in client.status().interfaces):
        raise UsageError("probe-based failure detection is disabled")
    rows = (columns.probe(r, started, numeric=options.numeric) for r in client.probes())
    if options.json:
        import json  # only here: the tool must start fast

        lines: Iterable[str] = (json.dumps(objects(chosen, [row])[0]) for row in rows)
    else:
        lines = parsable(chosen, rows) if options.parsable else human(chosen, rows, height())
    for line in lines:
        print(line, flush=True)
    raise DaemonUnavailable("mpathd has stopped")


def _render(options: Options, chosen: Sequence[Column[Any]], status: Status) -> str:
    rows = _rows(options, status)
    if options.json:
        import json  # only here: the tool must start fast

        return json.dumps(objects(chosen, rows), indent=2) + "\n"
    lines = parsable(chosen, rows) if options.parsable else human(chosen, rows, height())
    return "".join(f"{line}\n" for line in lines)


def _rows(options: Options, status: Status) -> Sequence[Any]:
    rows: dict[str, Callable[[], Sequence[Any]]] = {
        "-a": lambda: columns.addresses(status, numeric=options.numeric),
        "-g": lambda: columns.groups(status),
        "-i": lambda: columns.interfaces(status),
        "-t": lambda: columns.targets(status, numeric=options.numeric),
    }
    return rows[options.mode]()


def _complaint(error: ClientError) -> str:
    if isinstance(error, DaemonUnavailable):
        return NOT_RUNNING
    if isinstance(error, AccessDenied):
        return "permission denied; run it as root or as a member of the group ipmp"
    return f"cannot snapshot IPMP state: {error}"


if __name__ == "__main__":
    sys.exit(main())
