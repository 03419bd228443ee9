"""Reading mpathd's state: one `GET /v1/status` on its Unix socket, with a deadline.

Each reading uses a connection of its own. Scrapes are seconds apart, a connection to a Unix socket
costs microseconds, and a restarted daemon is found without a first failure.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import msgspec

from ipmp.model import Status

_decoder = msgspec.json.Decoder(Status)


class Reading(msgspec.Struct, frozen=True):
    """What came of reading the daemon's state: a snapshot, or one sentence why there is none."""

    status: Status | None
    seconds: float  # how long it took
    error: str = ""


async def read_status(socket: Path, deadline: float) -> Reading:
    """Read the daemon's state within `deadline` seconds; never raises for what a daemon can do."""
    began = time.perf_counter()
    status, error = None, ""
    try:
        async with asyncio.timeout(deadline):
            status = _decode(await _fetch(socket))
    except TimeoutError:
        return late(socket, deadline, began)
    except aiohttp.ClientConnectorError as failure:
        error = _why_not_connected(socket, failure.os_error)
    except (aiohttp.ClientError, OSError, _NotAStatus) as failure:
        error = f"mpathd's answer on {socket} cannot be used: {failure or type(failure).__name__}"
    return Reading(status, time.perf_counter() - began, error)


def late(socket: Path, deadline: float, began: float) -> Reading:
    """What comes of a reading that was not over in time; `began` is `time.perf_counter` then."""
    error = f"mpathd did not answer on {socket} within {deadline:g} s"
    return Reading(None, time.perf_counter() - began, error)


class _NotAStatus(Exception):
    """The answer is not a status; says why."""


async def _fetch(socket: Path) -> bytes:
    connector = aiohttp.UnixConnector(path=str(socket))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get("http://mpathd/v1/status") as response,
    ):
        if response.status != 200:
            raise _NotAStatus(f"HTTP status {response.status}")
        return await response.read()


def _decode(body: bytes) -> Status:
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as failure:
        raise _NotAStatus(str(failure)) from failure


def _why_not_connected(socket: Path, failure: OSError) -> str:
    if isinstance(failure, FileNotFoundError):
        return f"mpathd is not running: there is no {socket} (see --run-dir)"
    if isinstance(failure, ConnectionRefusedError):
        return f"mpathd is not running: nobody listens on {socket}"
    if isinstance(failure, PermissionError):
        return f"no permission to read {socket}: run the exporter in the group ipmp"
    return f"cannot connect to {socket}: {failure.strerror or failure}"
