"""What has happened, from mpathd's status socket: the last events, and a sign for each new one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec

from ipmp.decision import Kind
from ipmp.model import Event

SHOWN = 25
_READ = 500  # of which those that come in thousands with one move of many addresses are left out
_QUIET = {Kind.ADDRESS_MOVED, Kind.ADDRESS_ADOPTED, Kind.ROUTE_MOVED}
_SILENCE = 40.0  # seconds; mpathd sends an empty line every 15

_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_decode_event = msgspec.json.Decoder(Event).decode


class Recent(msgspec.Struct, frozen=True):
    """The last events, the newest last, or one sentence why there are none."""

    events: tuple[Event, ...] = ()
    error: str = ""


NO_EVENTS = Recent()


async def read_recent(socket: Path, deadline: float) -> Recent:
    """Read the last events within `deadline` seconds; never raises for what a daemon can do."""
    try:
        async with (
            asyncio.timeout(deadline),
            _session(socket) as session,
            session.get(f"http://mpathd/v1/history?limit={_READ}") as response,
        ):
            if response.status != 200:
                return Recent(error=f"mpathd answered with HTTP status {response.status}")
            events = _decode(await response.read())
    except TimeoutError:
        return Recent(error=f"mpathd did not tell within {deadline:g} s")
    except (aiohttp.ClientError, OSError, msgspec.MsgspecError) as failure:
        return Recent(error=str(failure) or type(failure).__name__)
    return Recent(tuple(e for e in events if e.decision.kind not in _QUIET)[-SHOWN:])


async def happenings(socket: Path) -> AsyncIterator[None]:
    """Yield whenever mpathd tells of events, until it stops or is silent; OSError, ClientError."""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=_SILENCE)
    async with (
        _session(socket) as session,
        session.get("http://mpathd/v1/events", timeout=timeout) as response,
    ):
        response.raise_for_status()
        async for line in response.content:
            if line.strip():
                yield


def _session(socket: Path) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(socket)))


def _decode(body: bytes) -> list[Event]:
    """Decode the events that this version knows; a newer mpathd may tell of other kinds."""
    events = []
    for raw in _decoder.decode(body):
        try:
            events.append(_decode_event(raw))
        except msgspec.ValidationError:
            continue
    return events
