"""`ipmp watch` on a terminal and elsewhere, with a daemon that changes, dies and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from ipmp.decision import Decision, Kind, Reason
from ipmp.model import Status
from tests.support import exporter_statuses as statuses
from tests.support.api import running_api
from tests.support.screen import OnTerminal
from tests.support.wait import eventually_async, patience

IPMP = str(Path(sys.prefix, "bin", "ipmp"))
DRAINED = Decision(Kind.OFFLINE, Reason.OPERATOR, "ipmp0", "ni0", actor="root")
ELSEWHERE = Decision(Kind.INTERFACE_STATE, Reason.LINK_DOWN, "storage", "ni2")
WITHIN = 20.0  # seconds


@contextlib.asynccontextmanager
async def daemon(directory: Path, shows: Status) -> AsyncIterator[Any]:
    async with running_api(directory) as api:
        api.controller.current = shows
        yield api


def environment(directory: Path, **more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "LINES", "COLUMNS")}
    return clean | {"IPMP_RUN_DIR": str(directory / "run"), "TERM": "vt100"} | more


@contextlib.contextmanager
def watching(directory: Path, *arguments: str, **more: str) -> Iterator[OnTerminal]:
    with OnTerminal((IPMP, "watch", *arguments), env=environment(directory, **more)) as terminal:
        yield terminal


async def sees(terminal: OnTerminal, *texts: str) -> None:
    def seen() -> bool:
        screen = terminal.screen()
        return all(text in screen for text in texts)

    try:
        await eventually_async(seen, WITHIN)
    except TimeoutError:
        pytest.fail(f"not all of {texts} on the screen:\n{terminal.screen()}")


async def ends(terminal: OnTerminal, status: int) -> None:
    await eventually_async(lambda: terminal.process.poll() is not None, WITHIN)
    assert terminal.process.returncode == status
    assert terminal.is_sane(), terminal.screen()


async def test_what_changes_is_drawn_and_nothing_else(tmp_path: Path) -> None:
    async with daemon(tmp_path, statuses.healthy()) as api:
        with watching(tmp_path) as terminal:
            await sees(terminal, "db7: mpathd 0.1.0", "ipmp0: ok", "on ni0, home ni0")
            assert terminal.is_taken()
            first = terminal.vt100.sent
            await eventually_async(lambda: api.controller.queues, WITHIN)
            api.controller.publish(ELSEWHERE)
            await sees(terminal, ELSEWHERE.sentence())
            assert terminal.vt100.sent - first < first / 3, "the whole screen was drawn again"
            api.controller.current = statuses.offline()
            api.controller.publish(DRAINED)
            await sees(terminal, DRAINED.sentence(), "ipmp0: degraded", "on ni1, home ni0")
            assert "storage: ok" in terminal.screen()
            terminal.type("q")
            await ends(terminal, 0)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
async def test_a_signal_ends_it_and_leaves_the_terminal_as_it_was(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    async with daemon(tmp_path, statuses.healthy()):
        with watching(tmp_path) as terminal:
            await sees(terminal, "ipmp0: ok")
            assert not terminal.is_sane()
            terminal.process.send_signal(number)
            await ends(terminal, status)


async def test_control_c_from_the_keyboard(tmp_path: Path) -> None:
    async with daemon(tmp_path, statuses.healthy()):
        with watching(tmp_path) as terminal:
            await sees(terminal, "ipmp0: ok")
            terminal.type("\x03")
            await ends(terminal, 130)


async def test_it_gives_the_terminal_back_while_it_is_suspended(tmp_path: Path) -> None:
    async with daemon(tmp_path, statuses.healthy()):
        with watching(tmp_path) as terminal:
            await sees(terminal, "ipmp0: ok")
            terminal.type("\x1a")
            await eventually_async(lambda: _state(terminal.process.pid) == "T", WITHIN)
            assert terminal.is_sane()
            terminal.process.send_signal(signal.SIGCONT)
            await eventually_async(terminal.is_taken, WITHIN)
            await sees(terminal, "ipmp0: ok")
            terminal.type("q")
            await ends(terminal, 0)


async def test_another_size_is_another_screen(tmp_path: Path) -> None:
    async with daemon(tmp_path, statuses.healthy()):
        with watching(tmp_path) as terminal:
            await sees(terminal, "fd00:1::5/64")
            terminal.resize(60, 6)
            await sees(terminal, "ipmp0: ok", "... 2 more")
            terminal.resize(100, 30)
            await sees(terminal, "fd00:1::5/64", "10.0.0.5/24")


async def test_a_daemon_that_dies_is_told_and_followed_when_it_is_back(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        async with daemon(tmp_path, statuses.healthy()):
            terminal = stack.enter_context(watching(tmp_path))
            await sees(terminal, "ipmp0: ok", "Under way: nothing")
        await sees(terminal, "NO ANSWER since", "cannot contact mpathd", "ipmp0: ok")
        async with daemon(tmp_path, statuses.offline()) as api:
            await sees(terminal, "ipmp0: degraded", "Under way: online (1 request)")
            await eventually_async(lambda: api.controller.queues, WITHIN)
            api.controller.publish(DRAINED)
            await sees(terminal, DRAINED.sentence())
        await sees(terminal, "NO ANSWER since")
        terminal.type("q")
        await ends(terminal, 0)


async def test_what_happened_before_and_between_is_shown(tmp_path: Path) -> None:
    again = Decision(Kind.ONLINE, Reason.OPERATOR, "ipmp0", "ni0", actor="root")
    with contextlib.ExitStack() as stack:
        async with daemon(tmp_path, statuses.healthy()) as api:
            api.controller.publish(DRAINED)
            terminal = stack.enter_context(watching(tmp_path))
            await sees(terminal, DRAINED.sentence())
        async with daemon(tmp_path, statuses.healthy()) as api:
            api.controller.publish(again)  # before anybody can follow
            await sees(terminal, DRAINED.sentence(), again.sentence())


async def test_keys_work_while_the_daemon_hangs(tmp_path: Path) -> None:
    async with daemon(tmp_path, statuses.healthy()) as api:
        with watching(tmp_path) as terminal:
            await sees(terminal, "ipmp0: ok")
            await eventually_async(lambda: api.controller.queues, WITHIN)
            await api.server.close()
            with socket.socket(socket.AF_UNIX) as mute:  # takes connections and never answers
                path = tmp_path / "run" / "status.sock"
                path.unlink(missing_ok=True)
                mute.bind(str(path))
                mute.listen()
                terminal.type("q")
                await ends(terminal, 0)


async def test_one_group_only(tmp_path: Path) -> None:
    async with daemon(tmp_path, statuses.healthy()) as api:
        with watching(tmp_path, "ipmp0") as terminal:
            await sees(terminal, "ipmp0: ok")
            await eventually_async(lambda: api.controller.queues, WITHIN)
            api.controller.publish(ELSEWHERE, DRAINED)
            await sees(terminal, DRAINED.sentence())
            assert "storage" not in terminal.screen()
            assert ELSEWHERE.sentence() not in terminal.screen()


@pytest.mark.parametrize(
    ("variables", "expected"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["vt100", "no"]
)
async def test_colour(tmp_path: Path, variables: dict[str, str], expected: bool) -> None:
    async with daemon(tmp_path, statuses.healthy()):
        with watching(tmp_path, **variables) as terminal:
            await sees(terminal, "ipmp0: ok")
            assert bool(terminal.vt100.styles) is expected
            terminal.type("q")
            await ends(terminal, 0)


# Where there is no screen.


@contextlib.asynccontextmanager
async def piped(directory: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        IPMP,
        "watch",
        *arguments,
        env=environment(directory),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def line(process: asyncio.subprocess.Process, text: str) -> str:
    """Read until a line has the text."""
    assert process.stdout is not None
    async with asyncio.timeout(patience(WITHIN)):
        while True:
            read = (await process.stdout.readline()).decode()
            assert read, "it has ended"
            if text in read:
                return read


async def test_a_pipe_gets_the_status_and_a_line_for_each_event(tmp_path: Path) -> None:
    async with daemon(tmp_path, statuses.healthy()) as api:
        api.controller.publish(DRAINED)  # before: the status has it
        async with piped(tmp_path) as process:
            assert await line(process, "ipmp0") == "ipmp0: ok\n"
            await eventually_async(lambda: api.controller.queues, WITHIN)
            api.controller.publish(ELSEWHERE)
            told = ELSEWHERE.sentence()
            assert (await line(process, told)).endswith(f"  {told}\n")
            await api.close()
            await line(process, "cannot contact mpathd")
            async with daemon(tmp_path, statuses.healthy()):
                await line(process, "mpathd answers again")
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130


async def test_a_dumb_terminal_gets_lines(tmp_path: Path) -> None:
    async with daemon(tmp_path, statuses.healthy()):
        with watching(tmp_path, TERM="dumb") as terminal:
            await sees(terminal, "ipmp0: ok", "  ni0: ok")
            assert not terminal.vt100.styles
            assert terminal.is_sane()


@pytest.mark.parametrize("group", [None, "nowhere"])
async def test_what_cannot_be_watched_is_told_in_one_sentence(
    tmp_path: Path, group: str | None
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        if group is not None:
            await stack.enter_async_context(daemon(tmp_path, statuses.healthy()))
        async with piped(tmp_path, *([group] if group else [])) as process:
            out, error = await process.communicate()
    assert (out, process.returncode) == (b"", 1)
    assert error.decode() == (
        f"ipmp: there is no group {group} on this host; groups: ipmp0, storage\n"
        if group
        else "ipmp: cannot contact mpathd; is it running, with this --run-dir?\n"
    )


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
