"""etcd's v3 API through its JSON gateway, as far as a semaphore needs it.

Keys and values are base64 and 64-bit numbers are strings there, and what is false or zero is left
out of answers. Transactions are strictly serializable; leases and etcd's own locks are not used,
because they cannot guarantee mutual exclusion (jepsen.io/analyses/etcd-3.4.3).
"""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from ipmp.serving.tls import ClientContexts
from ipmp_fleetlock.config import Etcd


class StoreError(Exception):
    """etcd has not answered, or not as it should: whether it has written is not known."""


class _RejectedError(Exception):
    """An endpoint has answered, with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Stored(msgspec.Struct, frozen=True):
    """A key as etcd has it; revision 0 and no value when it does not exist."""

    value: bytes = b""
    revision: int = 0  # of the last change of this key


class EtcdClient:
    """A client that goes to the next endpoint when one does not answer."""

    def __init__(self, config: Etcd) -> None:
        """Read the certificates; raise TlsError."""
        self._config = config
        self._contexts = ClientContexts(config.tls) if config.tls else None
        self._endpoints = list(config.endpoints)
        self._session: aiohttp.ClientSession | None = None
        self._login: str = ""  # the token of a session, when etcd knows users

    async def open(self) -> None:
        """Make ready; nothing is asked yet."""
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def swap(self, key: str, seen: Stored, value: bytes | None) -> tuple[bool, Stored]:
        """Replace the value if the key is still as seen, in one transaction; raise StoreError.

        Returns whether it was, and what etcd has now. Without a value nothing is written, and the
        transaction only tells whether what was seen is still so.
        """
        encoded = _base64(key.encode())
        compare = [
            {
                "key": encoded,
                "target": "MOD",
                "result": "EQUAL",
                "mod_revision": str(seen.revision),
            }
        ]
        if seen.revision:  # an etcd restored from a backup counts its revisions anew
            compare.append(
                {
                    "key": encoded,
                    "target": "VALUE",
                    "result": "EQUAL",
                    "value": _base64(seen.value),
                }
            )
        put = [] if value is None else [{"request_put": {"key": encoded, "value": _base64(value)}}]
        look = [{"request_range": {"key": encoded}}]
        answer = await self._ask(
            "/v3/kv/txn", {"compare": compare, "success": put, "failure": look}
        )
        try:
            if not answer.get("succeeded", False):
                found = answer["responses"][0]["response_range"].get("kvs", [])
                return False, _stored(found[0]) if found else Stored()
            if value is None:
                return True, seen
            return True, Stored(value=value, revision=int(answer["header"]["revision"]))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"etcd's answer makes no sense: {error!r}") from error

    async def all(self, prefix: str) -> dict[str, bytes]:
        """Return all keys that begin with the prefix, without it; raise StoreError."""
        first = prefix.encode()
        after = first[:-1] + bytes([first[-1] + 1])
        answer = await self._ask(
            "/v3/kv/range", {"key": _base64(first), "range_end": _base64(after)}
        )
        try:
            return {
                base64.b64decode(pair["key"]).decode().removeprefix(prefix): _stored(pair).value
                for pair in answer.get("kvs", [])
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"etcd's answer makes no sense: {error!r}") from error

    async def _ask(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        """Ask one endpoint after the other; raise StoreError when none answers.

        A repeat is harmless: a transaction that was carried out already finds another revision.
        """
        why = ""
        for endpoint in tuple(self._endpoints):
            try:
                return await self._ask_as_user(endpoint, path, message)
            except _RejectedError as error:
                why = f"{endpoint} answered with {error.status}: {error}"
            except TimeoutError:
                why = f"{endpoint} did not answer in time"
            except (aiohttp.ClientError, OSError, ValueError) as error:
                why = f"{endpoint}: {error or type(error).__name__}"
            self._put_last(endpoint)
        raise StoreError(why)

    def _put_last(self, endpoint: str) -> None:
        if self._endpoints[0] == endpoint:
            self._endpoints.append(self._endpoints.pop(0))

    async def _ask_as_user(
        self, endpoint: str, path: str, message: dict[str, Any]
    ) -> dict[str, Any]:
        if not self._config.user:
            return await self._post(endpoint, path, message)
        if not self._login:
            self._login = await self._log_in(endpoint)
        try:
            return await self._post(endpoint, path, message)
        except _RejectedError as error:
            if error.status != 401:
                raise
        self._login = await self._log_in(endpoint)  # it has expired, or etcd was restarted
        return await self._post(endpoint, path, message)

    async def _log_in(self, endpoint: str) -> str:
        password = _password(self._config.password_file)
        self._login = ""
        answer = await self._post(
            endpoint, "/v3/auth/authenticate", {"name": self._config.user, "password": password}
        )
        token = answer.get("token")
        if not isinstance(token, str):
            raise ValueError("no token in the answer to a login")
        return token

    async def _post(self, endpoint: str, path: str, message: dict[str, Any]) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("the client is not open")
        async with (
            asyncio.timeout(self._config.timeout),
            self._session.post(
                endpoint.rstrip("/") + path,
                data=msgspec.json.encode(message),
                headers={"Authorization": self._login} if self._login else {},
                ssl=self._contexts.current() if self._contexts else True,
                allow_redirects=False,
            ) as response,
        ):
            body = await response.read()
            answer = msgspec.json.decode(body or b"{}", type=dict[str, Any])
            if response.status != 200:
                text = answer.get("message") or answer.get("error") or "no reason given"
                raise _RejectedError(response.status, str(text)[:200])
            return answer


def _stored(pair: dict[str, Any]) -> Stored:
    return Stored(value=base64.b64decode(pair.get("value", "")), revision=int(pair["mod_revision"]))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _password(file: Path | None) -> str:
    return file.read_text(encoding="utf-8").strip() if file else ""
