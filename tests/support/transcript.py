"""Transcripts of the command line tools against the daemon's API on its real sockets.

A transcript is for people to read: the command, what it printed, "2> " before what went to standard
error, and its exit status unless that is 0.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from ipmp.model import OperationResult, ProbeReport, Status
from tests.support.api import FakeController, running_api, status, until

#: TIME of `ipmpstat -p` depends on when the tool was started; everything else does not.
_TIME = re.compile(r"^-?\d+\.\d\ds( *)", re.MULTILINE)


async def transcript(
    directory: Path,
    *commands: str,
    shows: Status | None = None,
    probes: Sequence[ProbeReport] = (),
    error: Exception | None = None,
    result: OperationResult | None = None,
) -> str:
    """Run the commands one after the other; the daemon shows and answers what is given."""
    told = []
    for number, command in enumerate(commands):
        place = directory / f"{number}"
        place.mkdir(parents=True)
        async with running_api(place) as api:
            controller = api.controller
            controller.current, controller.error = shows or status(), error
            controller.result = result
            for report in probes:
                controller.reports.put_nowait(replace(report, time=time.time()))
            ending = asyncio.create_task(_end_of_probes(controller, api.close))
            told.append(await run(command, api.run_dir))
            ending.cancel()
    return "\n".join(told)


async def alike(directory: Path, *commands: str) -> str:
    """Run the commands without a daemon; those with the same outcome in a row share it."""
    told: dict[str, str] = {}
    for command in commands:
        line, _, outcome = (await run(command, directory)).partition("\n")
        told[outcome] = told.get(outcome, "") + line + "\n"
    return "\n".join(lines + outcome for outcome, lines in told.items())


async def run(command: str, run_dir: Path) -> str:
    """Run one command line and return its part of a transcript."""
    name, *arguments = shlex.split(command)
    process = await asyncio.create_subprocess_exec(
        Path(sys.prefix, "bin", name),
        *arguments,
        env=os.environ | {"IPMP_RUN_DIR": str(run_dir)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = (printed.decode() for printed in await process.communicate())
    if " -p" in command:
        out = _TIME.sub(lambda shown: "0.00s".ljust(len(shown[0])), out)
    errors = "".join(f"2> {line}".rstrip() + "\n" for line in err.splitlines())
    ended = f"exit {process.returncode}\n" if process.returncode else ""
    return (f"$ {command}\n{out}{errors}{ended}").replace(str(run_dir), "/run/ipmp")


async def _end_of_probes(controller: FakeController, close) -> None:  # type: ignore[no-untyped-def]
    """The daemon stops when everything has been told to whoever follows the probes."""
    await controller.followed.wait()
    await until(controller.reports.empty)
    await close()
