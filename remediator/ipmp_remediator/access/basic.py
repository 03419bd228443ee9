"""Basic authentication against bcrypt hashes, as the exporter-toolkit does it.

A name that is unknown costs as much time as one that is known. What was right once is remembered by
a keyed hash, so that Alertmanager's repeats do not cost 50 ms each; one check runs at a time.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict

import bcrypt

_NOBODY = b"$2b$10$abcdefghijklmnopqrstuuSdvUyrJl6tBvjCzrLYHqfK0jBEXrG6C"
_LONGEST = 72  # bytes; bcrypt looks at no more, and newer libraries refuse them
_REMEMBERED = 100


class BasicUsers:
    """The users of the policy file."""

    def __init__(self, hashes: dict[str, str]) -> None:
        self._hashes = {name.encode(): hashed.encode() for name, hashed in hashes.items()}
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()

    async def admits(self, credentials: str) -> bool:
        """Judge the part after "Basic"."""
        try:
            text = base64.b64decode(credentials.strip().encode("utf-8"), validate=True)
        except (binascii.Error, ValueError):
            return False
        name, colon, password = text.partition(b":")
        hashed = self._hashes.get(name, _NOBODY)
        mark = hmac.digest(self._key, hashed + b"\0" + text, hashlib.sha256)
        if mark in self._known:
            return True
        async with self._one_at_a_time:
            right = await asyncio.to_thread(_check, password, hashed)
        if not (right and colon and name in self._hashes):
            return False
        self._known[mark] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return True


def _check(password: bytes, hashed: bytes) -> bool:
    try:
        right = bcrypt.checkpw(password[:_LONGEST], hashed)
    except ValueError:  # a NUL byte
        return False
    return right and len(password) <= _LONGEST
