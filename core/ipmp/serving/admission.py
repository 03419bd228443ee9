"""Who may ask: holders of a client certificate, of a bearer token, or anybody on loopback.

Fails closed: without certificates and token only loopback addresses are listened on, and a token
file that cannot be read admits nobody.
"""

from __future__ import annotations

import hmac
from pathlib import Path

import structlog
from aiohttp import web

from ipmp.serving.tls import names_of

_MAX_TOKEN = 4096

_log = structlog.get_logger()


class TokenError(Exception):
    """The token file cannot be used; the message says why."""


class TokenFile:
    """A file with one token; it is read again whenever it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._token = b""

    def token(self) -> bytes:
        """Return the token; raise TokenError when there is none."""
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return self._token
            token = self._path.read_bytes().strip()
        except OSError as error:
            raise TokenError(f"cannot read token file {self._path}: {error.strerror}") from error
        if not token or len(token) > _MAX_TOKEN:
            raise TokenError(f"{self._path} must hold one token of 1 to {_MAX_TOKEN} bytes")
        self._token, self._seen = token, seen
        return token


def bearer(request: web.Request, token: TokenFile) -> bool:
    """Tell whether the request carries the token; a broken token file admits nobody."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    try:
        wanted = token.token()
    except TokenError as error:
        _log.error(f"nobody can be authenticated: {error}")
        return False
    sent = given.strip().encode("utf-8", "surrogateescape")
    return scheme.lower() == "bearer" and hmac.compare_digest(sent, wanted)


def certificate_names(request: web.Request) -> frozenset[str]:
    """Return the names in the client's verified certificate; none without one."""
    return names_of(request.get_extra_info("peercert"))
