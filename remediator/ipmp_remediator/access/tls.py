"""HTTPS: a certificate that may be renewed while we run, and certificates of clients.

The files are looked at for every new connection, and read again when they have changed. New ones
that are damaged are told once, and the old ones stay in use.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import structlog

from ipmp_remediator.policy import Tls

_log = structlog.get_logger()

_Seen = tuple[tuple[int, int, int], ...]


class TlsError(Exception):
    """The certificate cannot be used; the message says why."""


class _Renewing:
    """Gives each connection a context with the newest usable certificates."""

    def __init__(self, policy: Tls) -> None:
        self._policy = policy
        self._seen = self._look()
        self._context = _context(policy)

    def first(self) -> ssl.SSLContext:
        """Return the context to listen with."""
        context = _context(self._policy)
        context.sni_callback = self._choose
        return context

    def _choose(self, connection: Any, _name: str | None, _first: ssl.SSLContext) -> None:
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = _context(self._policy)
                _log.info("the TLS certificates were read again")
            except TlsError as error:
                _log.error(f"the TLS certificates were not read again, the old ones stay: {error}")
        connection.context = self._context

    def _look(self) -> _Seen:
        found = []
        for path in _files(self._policy):
            try:
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
            except OSError:
                found.append((0, 0, 0))
        return tuple(found)


def server_context(policy: Tls) -> ssl.SSLContext:
    """Return a context for the server; raise TlsError when the files cannot be used."""
    return _Renewing(policy).first()


def names_of(certificate: dict[str, Any] | None) -> frozenset[str]:
    """Return the subject alternative names of a client's verified certificate."""
    names: Iterable[tuple[str, str]] = (certificate or {}).get("subjectAltName", ())
    return frozenset(value for _, value in names)


def _context(policy: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(policy.cert_file, policy.key_file, password=_no_password)
        if policy.client_ca_file:
            context.load_verify_locations(policy.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:  # SSLError is an OSError
        why = getattr(error, "strerror", None) or str(error)
        files = ", ".join(str(path) for path in _files(policy))
        raise TlsError(f"the TLS files cannot be used ({files}): {why}") from error
    return context


def _no_password() -> str:
    """Nobody is there to type one."""
    raise ValueError("the key is encrypted; give one without a password")


def _files(policy: Tls) -> tuple[Path, ...]:
    files = (policy.cert_file, policy.key_file, policy.client_ca_file)
    return tuple(path for path in files if path)
