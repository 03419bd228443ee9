"""TLS contexts from files that may be renewed while we run.

A server looks at its files for every new connection, a client for every request. What has changed
is read again; when it is damaged, that is told once and the old certificates stay in use.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog

_log = structlog.get_logger()


class TlsError(Exception):
    """The files cannot be used; the message says why."""


class ServerTls(msgspec.Struct, frozen=True):
    """Our certificate, and the authority that must have signed those of clients."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None  # None: clients need no certificate


class ClientTls(msgspec.Struct, frozen=True):
    """The authority of servers (None: the system's), and our certificate, when they ask for it."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


class _Renewed:
    """The newest usable context of some files."""

    def __init__(self, files: tuple[Path | None, ...], make: Callable[[], ssl.SSLContext]) -> None:
        self._files = tuple(path for path in files if path)
        self._make = make
        self._seen = self._look()
        self._context = self._fresh()

    def context(self) -> ssl.SSLContext:
        """Return it, after a look at the files."""
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = self._fresh()
                _log.info("the TLS certificates were read again")
            except TlsError as error:
                _log.error(f"the TLS certificates were not read again, the old ones stay: {error}")
        return self._context

    def _fresh(self) -> ssl.SSLContext:
        try:
            return self._make()
        except (OSError, ValueError) as error:  # SSLError is an OSError
            why = getattr(error, "strerror", None) or str(error)
            names = ", ".join(map(str, self._files))
            raise TlsError(f"the TLS files cannot be used ({names}): {why}") from error

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        found = []
        for path in self._files:
            try:
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
            except OSError:
                found.append((0, 0, 0))
        return tuple(found)


class ClientContexts:
    """Contexts for the requests of a client."""

    def __init__(self, files: ClientTls) -> None:
        """Read the files; raise TlsError."""
        self._renewed = _Renewed(
            (files.ca_file, files.cert_file, files.key_file), lambda: _client(files)
        )

    def current(self) -> ssl.SSLContext:
        """Return the newest usable context; the same one as long as no file changes."""
        return self._renewed.context()


def server_context(files: ServerTls) -> ssl.SSLContext:
    """Return a context to listen with; raise TlsError."""
    renewed = _Renewed(
        (files.cert_file, files.key_file, files.client_ca_file), lambda: _server(files)
    )
    first = _server(files)

    def choose(connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = renewed.context()

    first.sni_callback = choose
    return first


def names_of(certificate: dict[str, Any] | None) -> frozenset[str]:
    """Return the subject alternative names of a verified certificate."""
    return frozenset(value for _, value in (certificate or {}).get("subjectAltName", ()))


def _server(files: ServerTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.cert_file, files.key_file, password=_no_password)
    if files.client_ca_file:
        context.load_verify_locations(files.client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _client(files: ClientTls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files.cert_file:
        context.load_cert_chain(files.cert_file, files.key_file, password=_no_password)
    return context


def _no_password() -> str:
    """Nobody is there to type one."""
    raise ValueError("the key is encrypted; give one without a password")
