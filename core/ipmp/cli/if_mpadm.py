"""`if_mpadm`: take a member offline (`-d`) and bring it back (`-r`).

Texts and exit status are Solaris' (reference ipmp-semantics 1.1): success prints nothing, 1 is the
only failure, of several -d and -r the last one counts, operands are ignored.
"""

from __future__ import annotations

import getopt
import sys
from typing import NamedTuple

from ipmp.cli.console import run
from ipmp.client import (
    AccessDenied,
    Client,
    ClientError,
    DaemonTimeout,
    DaemonUnavailable,
    Operation,
    ProblemError,
)
from ipmp.model import OperationRequest, OperationResult, Problem, ProblemCode

USAGE = "Usage: if_mpadm [-d | -r] <interface>"
SHORT = "d:r:"
LONG = ["dry-run", "reason=", "run-dir="]

#: Reasons that follow "cannot offline IF: " or "cannot undo-offline IF: ".
REASONS = {
    ProblemCode.MINIMUM_REDUNDANCY: "no other functioning interfaces are in its IPMP group",
    ProblemCode.NOT_IN_GROUP: "not a physical interface or not in an IPMP group",
    ProblemCode.DUPLICATE_HWADDR: "interface has duplicate hardware address",
}
#: Texts that stand alone.
TEXTS = {
    ProblemCode.UNKNOWN_INTERFACE: ("cannot get interface flags on {}: No such device or address"),
    ProblemCode.ALREADY_OFFLINE: "interface {} is already offline",
    ProblemCode.NOT_OFFLINE: "interface {} is not offline",
}


class Request(NamedTuple):
    """What the command line asks for."""

    operation: Operation
    interface: str
    dry_run: bool
    reason: str
    run_dir: str | None


def main() -> int:
    """Return 0 on success (warnings included), 1 on every failure."""
    return run(_main)


def _main() -> int:
    try:
        request = parse(sys.argv[1:])
    except getopt.GetoptError:
        request = None
    if request is None:
        print(USAGE, file=sys.stderr)
        return 1
    try:
        result = _ask(request)
    except ClientError as error:
        print(f"if_mpadm: fatal: {complaint(request, error)}", file=sys.stderr)
        return 1
    for sentence in result.warnings:
        print(f"if_mpadm: warning: {sentence}", file=sys.stderr)
    if request.dry_run:
        print(rehearsal(request, result))
    elif not result.verified:
        print(f"if_mpadm: warning: {doubt(request)}", file=sys.stderr)
    return 0


def parse(arguments: list[str]) -> Request | None:
    """The request, or None when there is neither -d nor -r; raises GetoptError."""
    options, _ = getopt.getopt(arguments, SHORT, LONG)
    operation: Operation = "offline"
    interface, dry_run, reason, run_dir = "", False, "", None
    for name, value in options:
        match name:
            case "-d":
                operation, interface = "offline", value
            case "-r":
                operation, interface = "online", value
            case "--dry-run":
                dry_run = True
            case "--reason":
                reason = value
            case _:
                run_dir = value
    return Request(operation, interface, dry_run, reason, run_dir) if interface else None


def complaint(request: Request, error: ClientError) -> str:
    """Solaris' text for a failure, after "if_mpadm: fatal: "."""
    verb = "offline" if request.operation == "offline" else "undo-offline"
    cannot = f"cannot {verb} {request.interface}: "
    match error:
        case ProblemError(problem=Problem(code=code)) if code in TEXTS:
            return TEXTS[code].format(request.interface)
        case ProblemError(problem=Problem(code=ProblemCode.NOT_IN_GROUP)) if verb != "offline":
            return TEXTS[ProblemCode.NOT_OFFLINE].format(request.interface)  # asked first
        case ProblemError(problem=problem):
            return cannot + REASONS.get(problem.code, problem.detail)
        case DaemonUnavailable():
            return f"{cannot}cannot contact in.mpathd"
        case AccessDenied():
            return f"{cannot}permission denied; run it as root or as a member of ipmp-admin"
        case DaemonTimeout():
            return f"{cannot}mpathd did not answer in time; see `ipmpstat -i` for what it did"
        case _:
            return f"{cannot}{error}"


def rehearsal(request: Request, result: OperationResult) -> str:
    """What `--dry-run` prints."""
    moved = ", ".join(result.moved) or "no address"
    if request.operation == "offline":
        return f"{request.interface} would go offline; {moved} would move to other members"
    return f"{request.interface} would be brought online; {moved} would return to it"


def doubt(request: Request) -> str:
    """The warning when the daemon could not verify the result."""
    if request.operation == "offline":
        return (
            f"{request.interface} is offline, but traffic still arrives there or not everything "
            "has left it; do not pull it yet, see `ipmp history`"
        )
    return f"{request.interface} is online again, but not usable; see `ipmpstat -i`"


def _ask(request: Request) -> OperationResult:
    body = OperationRequest(reason=request.reason, dry_run=request.dry_run, actor="if_mpadm")
    return Client(request.run_dir).operate(request.operation, request.interface, body)


if __name__ == "__main__":
    sys.exit(main())
