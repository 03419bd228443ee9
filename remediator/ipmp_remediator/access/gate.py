"""Put the ways to prove who one is together: any one of those that are configured is enough.

A client certificate, where it is asked for, comes besides: without one there is no connection, and
with one that no allowed name is in there is no answer but 403.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from ipmp.serving.tls import names_of
from ipmp_remediator.access.basic import BasicUsers
from ipmp_remediator.access.secret import SecretFile
from ipmp_remediator.access.signature import Signatures
from ipmp_remediator.policy import Config


class Verdict(Enum):
    """What a request's credentials are worth; the value is the method tried."""

    ADMITTED = "admitted"
    MISSING = "none"
    WRONG_TOKEN = "bearer"  # noqa: S105  (the name of a method)
    WRONG_BASIC = "basic"
    WRONG_SIGNATURE = "signature"
    WRONG_CERTIFICATE = "certificate"
    OTHER_SCHEME = "other"


class Credentials(msgspec.Struct, frozen=True):
    """What a request brings along."""

    headers: Mapping[str, str]
    certificate: dict[str, Any] | None = None


class Gate:
    """Judges requests by one policy file."""

    def __init__(self, config: Config) -> None:
        self._token = SecretFile(config.token_file, "token_file") if config.token_file else None
        self._users = BasicUsers(config.basic_auth_users) if config.basic_auth_users else None
        self._signatures = Signatures(config.signature) if config.signature else None
        self._sans = config.tls.client_allowed_sans if config.tls else frozenset()
        self._open = not (self._token or self._users or self._signatures)

    def check_secrets(self) -> None:
        """Raise SecretError when a secret cannot be read."""
        if self._token:
            self._token.read()
        if self._signatures:
            self._signatures.check_secret()

    @property
    def challenge(self) -> str:
        """What WWW-Authenticate says."""
        schemes = [
            f'{scheme} realm="ipmp"'
            for scheme, used in (("Bearer", self._token), ("Basic", self._users))
            if used
        ]
        return ", ".join(schemes) or 'Bearer realm="ipmp"'

    def needs_body(self, credentials: Credentials) -> bool:
        """Tell whether the verdict depends on the body: the sender signs and says nothing else."""
        signed = self._signatures is not None and self._signatures.given(credentials.headers)
        return signed and "Authorization" not in credentials.headers

    async def judge(self, credentials: Credentials, body: bytes | None) -> Verdict:
        """Judge a request; raise SecretError when that is not possible."""
        if self._sans and not self._sans & names_of(credentials.certificate):
            return Verdict.WRONG_CERTIFICATE
        if self._open:
            return Verdict.ADMITTED
        self.check_secrets()  # one that is broken admits nobody, whatever is tried
        authorization = credentials.headers.get("Authorization")
        if not authorization:
            return self._signed(credentials, body)
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "bearer" and self._token:
            sent = given.strip().encode("utf-8", "surrogateescape")
            right = hmac.compare_digest(sent, self._token.read())
            return Verdict.ADMITTED if right else Verdict.WRONG_TOKEN
        if scheme.lower() == "basic" and self._users:
            right = await self._users.admits(given)
            return Verdict.ADMITTED if right else Verdict.WRONG_BASIC
        return Verdict.OTHER_SCHEME

    def _signed(self, credentials: Credentials, body: bytes | None) -> Verdict:
        headers = credentials.headers
        if self._signatures is None or not self._signatures.given(headers):
            return Verdict.MISSING
        right = body is not None and self._signatures.admits(headers, body, time.time())
        return Verdict.ADMITTED if right else Verdict.WRONG_SIGNATURE
