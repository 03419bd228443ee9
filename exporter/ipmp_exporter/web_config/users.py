"""Basic authentication against bcrypt hashes.

Everybody who is refused has cost the same: an unknown user is compared with a hash of nobody, a
password that bcrypt cannot take (more than 72 bytes, or with a NUL) is compared too, and fails. One
comparison at a time, in a thread: it costs tens of milliseconds of CPU on purpose. What was right
once is remembered, so that a scraper pays for it only once.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import bcrypt

_REMEMBERED = 100
_BCRYPT_BYTES = 72
_NOBODY = "$2b${:02}$" + "." * 22 + "." * 31
_DEFAULT_COST = 10


class Users:
    """Knows who may come in; the hashes are given anew each time, because they may change."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
        self._secret = secrets.token_bytes(32)
        self._admitted: OrderedDict[bytes, None] = OrderedDict()

    def close(self) -> None:
        """Stop comparing."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def admits(self, authorization: str, hashes: Mapping[str, str]) -> bool:
        """Say whether an Authorization header names a user with the right password."""
        name, password = _credentials(authorization)
        hashed = hashes.get(name)
        ticket = self._ticket(name, hashed or "", password)
        if ticket in self._admitted:
            self._admitted.move_to_end(ticket)
            return True
        loop = asyncio.get_running_loop()
        against = hashed or _NOBODY.format(max(map(_cost, hashes.values()), default=_DEFAULT_COST))
        right = await loop.run_in_executor(self._thread, _matches, password, against)
        if not right or hashed is None:
            return False
        self._admitted[ticket] = None
        while len(self._admitted) > _REMEMBERED:
            self._admitted.popitem(last=False)
        return True

    def _ticket(self, name: str, hashed: str, password: bytes) -> bytes:
        """What is remembered instead of a password; worth nothing outside this process."""
        parts = (name.encode(errors="surrogateescape"), hashed.encode(), password)
        text = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.new(self._secret, text, hashlib.sha256).digest()


def _credentials(authorization: str) -> tuple[str, bytes]:
    """Return name and password; empty ones when the header is of another kind."""
    scheme, _, rest = authorization.partition(" ")
    try:
        decoded = b64decode(rest.strip(), validate=True) if scheme.lower() == "basic" else b""
    except ValueError:
        decoded = b""
    name, _, password = decoded.partition(b":")
    return name.decode(errors="surrogateescape"), password


def _matches(password: bytes, hashed: str) -> bool:
    fits = len(password) <= _BCRYPT_BYTES and b"\0" not in password
    compared = password if fits else password.replace(b"\0", b"?")[:_BCRYPT_BYTES]
    try:
        return bcrypt.checkpw(compared, hashed.encode()) and fits
    except ValueError:  # a salt that no bcrypt has made
        return False


def _cost(hashed: str) -> int:
    return int(hashed.split("$")[2])
