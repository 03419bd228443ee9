"""Grafana's signature: HMAC-SHA256 of "timestamp:body" in hexadecimal, in a header.

The timestamp is needed, or whoever has seen one notification could send it again for ever.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from ipmp_remediator.access.secret import SecretFile
from ipmp_remediator.policy import Signature


class Signatures:
    """Checks signed bodies."""

    def __init__(self, policy: Signature) -> None:
        self._policy = policy
        self._secret = SecretFile(policy.secret_file, "signature.secret_file")

    def check_secret(self) -> None:
        """Raise SecretError when the secret cannot be read."""
        self._secret.read()

    def given(self, headers: Mapping[str, str]) -> bool:
        """Tell whether the request is signed at all."""
        return self._policy.header in headers

    def admits(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Judge a signed request; raise SecretError when the secret cannot be read."""
        secret = self._secret.read()
        stamp = headers.get(self._policy.timestamp_header, "")
        given = headers.get(self._policy.header, "").encode("utf-8", "surrogateescape")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
            return False
        signed = hmac.new(secret, stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
        right = hmac.compare_digest(given.lower(), signed.encode())
        return right and abs(now - int(stamp)) <= self._policy.window
