"""`ipmpstat` and `if_mpadm` to the letter: a transcript for each mode, flag and kind of error."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ipmp.cli import if_mpadm, ipmpstat
from ipmp.decision import Decision, Kind, Reason, Refusal
from ipmp.model import OperationResult, Status
from tests.support import site
from tests.support.golden import check
from tests.support.transcript import alike, run, transcript

MODES = {
    "addresses": (
        "ipmpstat -an",
        "ipmpstat -an -o address,inbound",
        "ipmpstat -an -o all",
        "ipmpstat -an -P -o address,state,group,inbound,outbound",
        "ipmpstat -an -P -o address",
        "ipmpstat -an -o address,state,outbound --json",
    ),
    "groups": (
        "ipmpstat -g",
        "ipmpstat -g -o interfaces,group",
        "ipmpstat -g -o all",
        "ipmpstat -g -P -o group,groupname,state,fdt,interfaces",
        "ipmpstat -g -P -o fdt",
        "ipmpstat -g -o group,fdt,interfaces --json",
    ),
    "interfaces": (
        "ipmpstat -i",
        "ipmpstat -i -o interface,flags",
        "ipmpstat -i -o all",
        "ipmpstat -i -P -o interface,active,group,flags,link,probe,state",
        "ipmpstat -i -P -o flags",
        "ipmpstat -i -o INTERFACE,state,Interface",
        "ipmpstat -i -o interface,state --json",
    ),
    "probes": (
        "ipmpstat -pn",
        "ipmpstat -pn -o all",
        "ipmpstat -pn -o interface,probe,rtt",
        "ipmpstat -pn -P -o interface,probe,netrtt,rtt,rttavg,target,rttdev",
        "ipmpstat -pn -P -o target",
        "ipmpstat -pn -o interface,probe,netrtt,target --json",
    ),
    "targets": (
        "ipmpstat -tn",
        "ipmpstat -tn -o targets,interface",
        "ipmpstat -tn -o all",
        "ipmpstat -tn -P -o interface,mode,testaddr,targets",
        "ipmpstat -tn -P -o testaddr",
        "ipmpstat -tn -o interface,targets --json",
    ),
}


@pytest.mark.parametrize("mode", MODES)
async def test_each_mode(tmp_path: Path, mode: str) -> None:
    told = await transcript(tmp_path, *MODES[mode], shows=site.STATUS, probes=site.PROBES)
    check(f"ipmpstat/{mode}.txt", told)


async def test_names_instead_of_numbers(tmp_path: Path) -> None:
    """The only name that every host knows is its own; what has none is shown as a number."""
    commands = ("ipmpstat -a", "ipmpstat -an", "ipmpstat -t", "ipmpstat -tn")
    told = await transcript(tmp_path, *commands, shows=site.LOCAL)
    check("ipmpstat/names.txt", told)


async def test_a_screenful(tmp_path: Path) -> None:
    told = await transcript(tmp_path, "ipmpstat -i -o interface,state", shows=site.many(30))
    check("ipmpstat/screenful.txt", told)


async def test_nothing_to_show(tmp_path: Path) -> None:
    told = await transcript(tmp_path, *(f"ipmpstat -{mode}n" for mode in "agipt"))
    check("ipmpstat/nothing.txt", told)


async def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    """Each is told before the daemon is asked."""
    commands = (
        "ipmpstat",
        "ipmpstat -n",
        "ipmpstat -z",
        "ipmpstat -i ni0",
        "ipmpstat -i -o",
        "ipmpstat -a -g",
        "ipmpstat -i -i",
        "ipmpstat -i -o ''",
        "ipmpstat -i -o nowhere",
        "ipmpstat -i -o state,state,state,state,state,state,state,state",
        "ipmpstat -i -o state,ALL,all",
        "ipmpstat -i -P",
        "ipmpstat -i -P -o ''",
        "ipmpstat -i -P -o all",
        "ipmpstat -i -P -o state,nowhere",
        "ipmpstat -i -P -o nowhere,nor,state",
    )
    check("ipmpstat/usage.txt", await alike(tmp_path, *commands))


async def test_fields_that_are_ignored(tmp_path: Path) -> None:
    commands = (
        "ipmpstat -i -o interface,nowhere",
        "ipmpstat -i -o nor,interface,nowhere",
    )
    check("ipmpstat/fields.txt", await transcript(tmp_path, *commands, shows=site.STATUS))


async def test_without_a_daemon(tmp_path: Path) -> None:
    commands = [f"ipmpstat -{mode}" for mode in "agipt"]
    commands += ["if_mpadm -d ni0", "if_mpadm -r ni0"]
    check("no_daemon.txt", await alike(tmp_path, *commands))


@contextlib.asynccontextmanager
async def answering(run_dir: Path, answer: bytes) -> AsyncIterator[None]:
    """Something that listens where the daemon should and always says the same."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with contextlib.AsyncExitStack() as stack:
        for name in ("status.sock", "control.sock"):
            server = await asyncio.start_unix_server(say, run_dir / name)
            await stack.enter_async_context(server)
        yield


async def test_what_answers_is_not_the_daemon(tmp_path: Path) -> None:
    told = []
    answers = (
        b"220 mail.example.org ESMTP\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
    )
    for number, answer in enumerate(answers):
        run_dir = tmp_path / str(number)
        run_dir.mkdir()
        async with answering(run_dir, answer):
            for command in ("ipmpstat -i", "if_mpadm -d ni0", "if_mpadm -r ni0"):
                told.append(await run(command, run_dir))
    check("not_the_daemon.txt", "\n".join(told))


async def test_a_socket_file_that_a_dead_daemon_left(tmp_path: Path) -> None:
    for name in ("status.sock", "control.sock"):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(tmp_path / name))
    told = await alike(tmp_path, "ipmpstat -i", "if_mpadm -d ni0", "if_mpadm -r ni0")
    check("dead_daemon.txt", told)


# if_mpadm.


async def test_usage_of_if_mpadm(tmp_path: Path) -> None:
    commands = (
        "if_mpadm",
        "if_mpadm -d",
        "if_mpadm -r",
        "if_mpadm -x ni0",
        "if_mpadm -f -d ni0",
        "if_mpadm ni0",
        "if_mpadm --dry-run",
        "if_mpadm -d ''",
    )
    check("if_mpadm/usage.txt", await alike(tmp_path, *commands))


def done(operation: str, **fields: object) -> OperationResult:
    return OperationResult("ni0", operation, **{"changed": True, "verified": True} | fields)  # type: ignore[arg-type]


async def test_success_prints_nothing(tmp_path: Path) -> None:
    commands = (
        "if_mpadm -d ni0",
        "if_mpadm -d ni0 --reason 'new switch'",
        "if_mpadm -r ni1 -d ni0",
        "if_mpadm -d ni0 ignored",
    )
    check("if_mpadm/success.txt", await transcript(tmp_path, *commands, result=done("offline")))


WARNINGS = (
    "sockets bound to ni0 (SO_BINDTODEVICE) do not follow its addresses: ntpd (123)",
    "multicast groups joined on ni0 stay there: 239.1.2.3",
)


async def test_warnings(tmp_path: Path) -> None:
    told = [
        await transcript(
            tmp_path / "told", "if_mpadm -d ni0", result=done("offline", warnings=WARNINGS)
        ),
        await transcript(
            tmp_path / "off", "if_mpadm -d ni0", result=done("offline", verified=False)
        ),
        await transcript(tmp_path / "on", "if_mpadm -r ni0", result=done("online", verified=False)),
    ]
    check("if_mpadm/warnings.txt", "\n".join(told))


async def test_rehearsals(tmp_path: Path) -> None:
    rehearsed = {"changed": False, "dry_run": True, "verified": False}
    moved = ("192.168.1.5/24", "fd00:1::5/64")
    told = [
        await transcript(
            tmp_path / "off",
            "if_mpadm -d ni0 --dry-run",
            result=done("offline", moved=moved, warnings=WARNINGS[:1], **rehearsed),
        ),
        await transcript(
            tmp_path / "on",
            "if_mpadm -r ni0 --dry-run",
            result=done("online", moved=moved, **rehearsed),
        ),
        await transcript(
            tmp_path / "bare", "if_mpadm -d ni0 --dry-run", result=done("offline", **rehearsed)
        ),
    ]
    check("if_mpadm/rehearsals.txt", "\n".join(told))


#: Every refusal of the daemon, and who could ask for it.
REFUSALS = {
    Reason.MINIMUM_REDUNDANCY: "dr",
    Reason.NOT_IN_GROUP: "dr",
    Reason.UNKNOWN_INTERFACE: "dr",
    Reason.ALREADY_OFFLINE: "d",
    Reason.NOT_OFFLINE: "r",
    Reason.DUPLICATE_HWADDR: "dr",
    Reason.HELD: "dr",
    Reason.BUSY: "dr",
    Reason.KERNEL_REFUSED: "dr",
    Reason.INVALID: "dr",
}


async def test_refusals(tmp_path: Path) -> None:
    told = []
    for reason, options in REFUSALS.items():
        facts: dict[str, str | int | float] = {
            "name": "root (uid 0)",
            "why": "(not before Monday)",
            "value": "add 192.168.1.5/24 on ni1",
            "count": 1,
        }
        refusal = Refusal(Decision(Kind.REFUSED, reason, "ipmp0", interface="ni0", detail=facts))
        commands = [f"if_mpadm -{option} ni0" for option in options]
        told.append(await transcript(tmp_path / str(reason), *commands, error=refusal))
    defect = RuntimeError("a defect")
    told.append(await transcript(tmp_path / "defect", "if_mpadm -d ni0", error=defect))
    check("if_mpadm/refusals.txt", "\n".join(told))


async def test_names_that_no_interface_can_have(tmp_path: Path) -> None:
    commands = (
        "if_mpadm -d ni0:1",
        "if_mpadm -r ni0:1",
        "if_mpadm -d ../ni0",
        "if_mpadm -d a-name-that-is-too-long",
    )
    check("if_mpadm/names.txt", await transcript(tmp_path, *commands))


SOCKETS = {
    "no_permission": PermissionError(13, "Permission denied"),
    "no_answer": TimeoutError("timed out"),
}


@pytest.mark.parametrize("name", SOCKETS)
def test_sockets_that_do_not_let_us_in_or_do_not_answer(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object) -> None:
        raise SOCKETS[name]

    monkeypatch.setenv("IPMP_RUN_DIR", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    told = []
    for command, main in (
        ("ipmpstat -i", ipmpstat.main),
        ("ipmpstat -p", ipmpstat.main),
        ("if_mpadm -d ni0", if_mpadm.main),
        ("if_mpadm -r ni0", if_mpadm.main),
    ):
        monkeypatch.setattr(sys, "argv", command.split())
        status = main()
        printed = capsys.readouterr()
        assert printed.out == ""
        told.append(f"$ {command}\n2> {printed.err}exit {status}\n")
    check(f"{name}.txt", "\n".join(told).replace(str(tmp_path), "/run/ipmp"))


def test_the_site_has_every_flag_and_every_state() -> None:
    """Else the golden files could not show them."""
    shows: Status = site.STATUS
    for flag in (
        "inactive",
        "standby",
        "nominated_ipv4",
        "nominated_ipv6",
        "down",
        "duplicate_hwaddr",
    ):
        assert any(getattr(i, flag) for i in shows.interfaces), flag
    for field in ("state", "link", "probe"):
        found = {getattr(i, field) for i in shows.interfaces}
        assert found == set(type(next(iter(found)))), field
    assert len({g.state for g in shows.groups}) == 3
