"""A file that holds one secret and may change while we run."""

from __future__ import annotations

from pathlib import Path

_MAX_BYTES = 4096


class SecretError(Exception):
    """The file cannot be used; the message says why."""


class SecretFile:
    """A file with one secret; it is read again whenever it has changed."""

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key  # what the policy file calls it
        self._seen: tuple[int, int, int] | None = None
        self._secret = b""

    def read(self) -> bytes:
        """Return the secret; raise SecretError when there is none to compare with."""
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return self._secret
            with self._path.open("rb") as file:
                secret = file.read(_MAX_BYTES + 1).strip()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise SecretError(f"cannot read {self._key} {self._path}: {why}") from error
        if not secret or len(secret) > _MAX_BYTES:
            raise SecretError(
                f"{self._key} {self._path} must hold one secret of 1 to {_MAX_BYTES} bytes"
            )
        self._secret, self._seen = secret, seen
        return secret
