"""Speak FleetLock v1 to one of several servers of the same slots.

Only the protocol is used to take and give back, so any FleetLock server will do. Listing and
releasing are what `ipmp_fleetlock` adds.
"""

from __future__ import annotations

import asyncio

import aiohttp
import msgspec

from ipmp.fleetlock import values
from ipmp.fleetlock.config import FleetConfig
from ipmp.fleetlock.values import (
    ClientParams,
    ErrorReply,
    GroupStatus,
    LockRequest,
    ReleaseRequest,
)
from ipmp.serving.admission import TokenError, TokenFile
from ipmp.serving.tls import ClientContexts


class RefusedError(Exception):
    """The server has answered, and the answer is no: 4xx."""

    def __init__(self, status: int, reply: ErrorReply) -> None:
        super().__init__(reply.value or reply.kind or f"answered with {status}")
        self.status = status
        self.kind = reply.kind


class UnreachableError(Exception):
    """No server has given a clear answer: whether a slot was taken or given back is not known."""


class FleetLockClient:
    """A client; the next server is asked when one gives no clear answer."""

    def __init__(self, config: FleetConfig) -> None:
        """Read certificates and token; raise TlsError or TokenError."""
        self._urls = [url.rstrip("/") for url in config.urls]
        self._timeout = config.timeout
        encrypted = any(url.startswith("https://") for url in self._urls)
        self._contexts = ClientContexts(config.tls) if encrypted else None
        self._token = TokenFile(config.token_file) if config.token_file else None
        if self._token:
            self._token.token()

    async def take(self, group: str, client: str) -> None:
        """Take a slot; harmless when we have it. Raise RefusedError or UnreachableError."""
        await self._lock(values.TAKE_PATH, group, client)

    async def give_back(self, group: str, client: str) -> None:
        """Give a slot back; harmless when we have none. Raise RefusedError or UnreachableError."""
        await self._lock(values.GIVE_BACK_PATH, group, client)

    async def groups(self) -> tuple[GroupStatus, ...]:
        """Return all groups with their holders; raise RefusedError or UnreachableError."""
        body = await self._ask("GET", values.GROUPS_PATH, None)
        try:
            return msgspec.json.decode(body, type=tuple[GroupStatus, ...])
        except msgspec.DecodeError as error:
            raise UnreachableError(f"{self._urls[0]} does not list its holders") from error

    async def release(self, order: ReleaseRequest) -> None:
        """Take a slot from its holder; raise RefusedError or UnreachableError."""
        await self._ask("POST", values.RELEASE_PATH, order)

    async def _lock(self, path: str, group: str, client: str) -> None:
        await self._ask("POST", path, LockRequest(ClientParams(id=client, group=group)))

    async def _ask(self, method: str, path: str, message: msgspec.Struct | None) -> bytes:
        why = ""
        for url in tuple(self._urls):
            try:
                status, body = await self._request(method, url + path, message)
            except TimeoutError:
                why = f"{url} did not answer in {self._timeout:g} s"
            except TokenError as error:
                why = str(error)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                why = f"{url}: {error or type(error).__name__}"
            else:
                if status == 200:
                    return body
                reply = _error(body)
                if 400 <= status < 500:
                    raise RefusedError(status, reply)
                why = f"{url} answered with {status} {reply.value or reply.kind}".rstrip()
            self._put_last(url)
        raise UnreachableError(why)

    def _put_last(self, url: str) -> None:
        if self._urls[0] == url:
            self._urls.append(self._urls.pop(0))

    async def _request(
        self, method: str, url: str, message: msgspec.Struct | None
    ) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json", values.HEADER: "true"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token.token().decode('latin-1')}"
        async with (
            asyncio.timeout(self._timeout),
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(
                method,
                url,
                data=None if message is None else msgspec.json.encode(message),
                headers=headers,
                ssl=self._contexts.current() if self._contexts else True,
                allow_redirects=False,
            ) as response,
        ):
            return response.status, await response.read()


def _error(body: bytes) -> ErrorReply:
    try:
        return msgspec.json.decode(body, type=ErrorReply)
    except (msgspec.DecodeError, RecursionError):
        return ErrorReply()
