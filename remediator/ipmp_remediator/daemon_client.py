"""Speak to mpathd over its control socket: read the status, take offline, bring online.

`ipmp.client` blocks, as is right for a command; here a stop must not have to wait for a drain.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec

from ipmp.client import OPERATION_TIMEOUT, QUERY_TIMEOUT, quote
from ipmp.model import OperationRequest, OperationResult, Problem, ProblemCode, Status
from ipmp_remediator.decision import Action

_VERB = {Action.DRAIN: "offline", Action.UNDRAIN: "online"}

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class DaemonUnreachableError(Exception):
    """Nothing listens on the socket, or it may not be opened: the daemon has heard nothing."""


class DaemonError(Exception):
    """No answer, or one that makes no sense: whether the daemon has acted is not known."""


class OperationRefusedError(Exception):
    """The daemon refused; nothing was changed."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.code: ProblemCode = problem.code
        self.detail = problem.detail


class DaemonClient:
    """A client of the control socket; each request is a connection of its own."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def status(self) -> Status:
        """Return the daemon's snapshot; raise DaemonUnreachableError or DaemonError."""
        code, body = await self._request("GET", "/v1/status", None, QUERY_TIMEOUT)
        if code != 200:
            raise DaemonError(f"GET /v1/status was answered with {code}")
        return _decode(body, Status)

    async def operate(
        self, action: Action, interface: str, request: OperationRequest
    ) -> OperationResult:
        """Carry out an action; raise OperationRefusedError, DaemonUnreachableError, DaemonError."""
        path = f"/v1/interfaces/{quote(interface)}/{_VERB[action]}"
        code, body = await self._request("POST", path, request, OPERATION_TIMEOUT)
        if code == 200:
            return _decode(body, OperationResult)
        if 400 <= code < 500 or code == 503:
            raise OperationRefusedError(_decode(body, Problem))
        raise DaemonError(f"POST {path} was answered with {code}")

    async def _request(
        self, method: str, path: str, message: OperationRequest | None, seconds: float
    ) -> tuple[int, bytes]:
        connector = aiohttp.UnixConnector(str(self._socket), force_close=True)
        try:
            async with (
                asyncio.timeout(seconds),
                aiohttp.ClientSession("http://localhost", connector=connector) as session,
                session.request(
                    method,
                    path,
                    data=None if message is None else msgspec.json.encode(message),
                    headers={"Content-Type": "application/json"} if message else None,
                ) as response,
            ):
                return response.status, await response.read()
        except aiohttp.ClientConnectorError as error:
            why = error.os_error.strerror or str(error.os_error)
            raise DaemonUnreachableError(f"{self._socket}: {why}") from error
        except TimeoutError as error:
            raise DaemonError(f"no answer within {seconds:.0f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise DaemonError(f"the connection broke: {error}") from error


def _decode(body: bytes, kind: type[_Struct]) -> _Struct:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DaemonError(f"the answer is not a {kind.__name__}: {error}") from error
