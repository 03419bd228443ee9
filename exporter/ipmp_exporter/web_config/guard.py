"""Stands before all handlers: who may ask, how often, over which TLS. Follows its file.

The file is looked at for each request, and with the certificates for each connection; what has
changed is read again. One that cannot be used any more closes the door (500, no handshake) until it
can: to go on with what it said before would keep in force what an operator took back.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from ipmp_exporter.web_config.document import WebConfigError
from ipmp_exporter.web_config.schema import WebConfig, load
from ipmp_exporter.web_config.tls import ca_files, is_allowed, own_files, server_context
from ipmp_exporter.web_config.users import Users

_Seen = tuple[tuple[int, int, int] | None, ...]  # (mtime, size, inode) of files; None: not there

_CLOSED = "nobody is let in until it is mended"

_log = structlog.get_logger("ipmp_exporter")


class Guard:
    """The web configuration in force; without a file everybody may ask, in plain text."""

    def __init__(
        self, path: Path | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the file. Raises WebConfigError."""
        self._path = path
        self._monotonic = monotonic
        self._config = WebConfig()
        self._users = Users()
        self._seen: _Seen = ()
        self._context: ssl.SSLContext | None = None
        self._context_seen: tuple[_Seen, _Seen, WebConfig] = ((), (), self._config)
        self._complaint = ""
        self._tokens = 0.0
        self._counted_at = monotonic()
        self._follow()
        self.tls = self._config.tls.wanted  # fixed: scrapers know one scheme
        self._tokens = float(self._config.rate_burst)
        if self.tls:
            self._make_context()

    def close(self) -> None:
        """Stop comparing passwords."""
        self._users.close()

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context for a new connection, None for plain text.

        Raises ConnectionError while the configuration cannot be used.
        """
        if not self.tls:
            return None
        try:
            self._follow()
            return self._make_context()
        except WebConfigError as error:
            self._complain(f"{error}; {_CLOSED}")
            raise ConnectionError(str(error)) from error

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request through, or answer it: 401, 403, 429, 500."""
        try:
            self._follow()
        except WebConfigError as error:
            self._complain(f"{error}; {_CLOSED}")
            raise web.HTTPInternalServerError(text="the web configuration is broken\n") from error
        config = self._config
        if not self._within_rate(config):
            raise web.HTTPTooManyRequests(
                text="too many requests; try again later\n", headers=config.headers
            )
        if not self._names_allowed(request, config):
            raise web.HTTPForbidden(
                text="the client certificate has none of the names that are allowed\n",
                headers=config.headers,
            )
        if config.users and not await self._users.admits(
            request.headers.get("Authorization", ""), config.users
        ):
            raise web.HTTPUnauthorized(
                text="Unauthorized\n", headers={**config.headers, "WWW-Authenticate": "Basic"}
            )
        try:
            response = await handler(request)
        except web.HTTPException as answer:
            answer.headers.update(config.headers)
            raise
        response.headers.update(config.headers)
        return response

    # Following the file -------------------------------------------------------------------------

    def _follow(self) -> None:
        """Read the file again if it is another one than before. Raises WebConfigError."""
        if self._path is None:
            return
        seen = _look([self._path])
        if seen != self._seen:
            self._config = load(self._path)
            self._seen = seen
            self._reassure()

    def _make_context(self) -> ssl.SSLContext:
        """Return a context of what the files hold now.

        While certificate and key do not belong together, because one is replaced after the other,
        the old pair serves on: it lets nobody in. A client CA that cannot be read does not.
        """
        tls = self._config.tls
        seen = (_look(own_files(tls)), _look(ca_files(tls)), self._config)
        if self._context is not None and seen == self._context_seen:
            return self._context
        if not tls.wanted:
            raise WebConfigError(f"{self._path}: TLS cannot be switched off without a restart")
        try:
            self._context = server_context(tls)
        except WebConfigError as error:
            sentence = f"{self._path}: {error}"
            if self._context is None or self._context_seen[1:] != seen[1:]:
                raise WebConfigError(sentence) from error
            self._complain(f"{sentence}; the certificate before serves on")
            return self._context
        self._context_seen = seen
        self._reassure()
        return self._context

    def _complain(self, sentence: str) -> None:
        if sentence != self._complaint:
            _log.error(sentence)
            self._complaint = sentence

    def _reassure(self) -> None:
        if self._complaint:
            _log.info("the web configuration can be used again", path=str(self._path))
            self._complaint = ""

    # Who may come in ----------------------------------------------------------------------------

    def _within_rate(self, config: WebConfig) -> bool:
        """Take a token; they come back one an interval, and at most a burst of them is kept."""
        if not config.rate_interval:
            return True
        now = self._monotonic()
        gained = (now - self._counted_at) / config.rate_interval
        self._tokens = min(config.rate_burst, self._tokens + gained)
        self._counted_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _names_allowed(self, request: web.Request, config: WebConfig) -> bool:
        sans = config.tls.client_allowed_sans
        if not sans:
            return True
        transport: asyncio.BaseTransport | None = request.transport
        certificate = transport.get_extra_info("peercert") if transport else None
        if certificate is None and config.tls.client_auth_type == "VerifyClientCertIfGiven":
            return True
        return is_allowed(certificate, sans)


def _look(paths: Iterable[Path]) -> _Seen:
    return tuple(map(_stat, paths))


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
