"""Tell who may post: a bearer token from a file that may change while we run.

Fails closed: a token file that cannot be read admits nobody, and without credentials only loopback
addresses are served (`app` refuses to listen elsewhere).
"""

from __future__ import annotations

import hmac
from enum import Enum, auto
from pathlib import Path

_MAX_TOKEN_BYTES = 4096


class TokenError(Exception):
    """The token file cannot be used; the message says why."""


class Verdict(Enum):
    """What a request's credentials are worth."""

    ADMITTED = auto()
    MISSING = auto()
    WRONG = auto()
    OTHER_SCHEME = auto()


class TokenFile:
    """A file that holds one token; it is read again whenever it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._token = b""

    def token(self) -> bytes:
        """Return the token; raise TokenError when there is none to compare with."""
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return self._token
            with self._path.open("rb") as file:
                token = file.read(_MAX_TOKEN_BYTES + 1).strip()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise TokenError(f"cannot read token_file {self._path}: {why}") from error
        if not token or len(token) > _MAX_TOKEN_BYTES:
            raise TokenError(
                f"token_file {self._path} must hold one token of 1 to {_MAX_TOKEN_BYTES} bytes"
            )
        self._token, self._seen = token, seen
        return token

    def judge(self, authorization: str | None) -> Verdict:
        """Judge an Authorization header; raise TokenError when the file cannot be used."""
        token = self.token()
        if not authorization:
            return Verdict.MISSING
        scheme, _, credentials = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return Verdict.OTHER_SCHEME
        given = credentials.strip().encode("utf-8", "surrogateescape")
        return Verdict.ADMITTED if hmac.compare_digest(given, token) else Verdict.WRONG
