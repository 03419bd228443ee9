"""`if_mpadm`: Solaris' texts and exit status, and our extras."""

from __future__ import annotations

import pytest

from ipmp.cli.if_mpadm import Request, complaint, doubt, parse, rehearsal
from ipmp.client import AccessDenied, ClientError, DaemonTimeout, DaemonUnavailable, ProblemError
from ipmp.model import OperationResult, Problem, ProblemCode
from tests.unit.cli.test_ipmpstat import tool

USAGE = "Usage: if_mpadm [-d | -r] <interface>\n"
OFF = Request("offline", "ni0", False, "", None)
ON = Request("online", "ni0", False, "", None)


def problem(code: ProblemCode, detail: str = "detail") -> ProblemError:
    return ProblemError(Problem(code, detail, 409))


@pytest.mark.parametrize(
    ("request_", "error", "text"),
    [
        (
            OFF,
            problem(ProblemCode.MINIMUM_REDUNDANCY),
            "cannot offline ni0: no other functioning interfaces are in its IPMP group",
        ),
        (
            OFF,
            problem(ProblemCode.NOT_IN_GROUP),
            "cannot offline ni0: not a physical interface or not in an IPMP group",
        ),
        (
            OFF,
            problem(ProblemCode.UNKNOWN_INTERFACE),
            "cannot get interface flags on ni0: No such device or address",
        ),
        (OFF, problem(ProblemCode.ALREADY_OFFLINE), "interface ni0 is already offline"),
        (ON, problem(ProblemCode.NOT_OFFLINE), "interface ni0 is not offline"),
        (
            ON,
            problem(ProblemCode.DUPLICATE_HWADDR),
            "cannot undo-offline ni0: interface has duplicate hardware address",
        ),
        (OFF, problem(ProblemCode.HELD, "it is held"), "cannot offline ni0: it is held"),
        (OFF, DaemonUnavailable("gone"), "cannot offline ni0: cannot contact in.mpathd"),
        (ON, DaemonUnavailable("gone"), "cannot undo-offline ni0: cannot contact in.mpathd"),
        (
            OFF,
            AccessDenied("no"),
            "cannot offline ni0: permission denied; run it as root or as a member of ipmp-admin",
        ),
        (
            ON,
            DaemonTimeout("late"),
            "cannot undo-offline ni0: mpathd did not answer in time; "
            "see `ipmpstat -i` for what it did",
        ),
    ],
)
def test_texts(request_: Request, error: ClientError, text: str) -> None:
    assert complaint(request_, error) == text


@pytest.mark.parametrize("arguments", [[], ["-x", "ni0"], ["-d"], ["ni0"], ["--reason=x"]])
def test_usage(arguments: list[str]) -> None:
    done = tool("if_mpadm", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", USAGE)


def test_the_last_of_several_wins_and_operands_are_ignored() -> None:
    asked = parse(["-d", "ni0", "-r", "ni1", "ni2"])
    assert asked == Request("online", "ni1", False, "", None)


def test_rehearsal_and_doubt_are_one_sentence_each() -> None:
    result = OperationResult("ni0", "offline", False, dry_run=True, moved=("192.0.2.5/24",))
    assert rehearsal(OFF, result) == (
        "ni0 would go offline; 192.0.2.5/24 would move to other members"
    )
    assert "traffic still arrives there" in doubt(OFF)


def test_daemon_down(tmp_path) -> None:  # type: ignore[no-untyped-def]
    done = tool("if_mpadm", "-d", "ni0", f"--run-dir={tmp_path}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "if_mpadm: fatal: cannot offline ni0: cannot contact in.mpathd\n"
