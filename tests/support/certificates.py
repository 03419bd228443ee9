"""Certificates for tests of TLS: an authority, and what it has signed, as files."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Authority:
    """A certificate authority in a directory."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._ca = trustme.CA()
        self._directory = directory
        self.file = directory / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def sign(self, name: str, *identities: str) -> tuple[Path, Path]:
        """Write a certificate and its key; replaces an earlier one of the same name."""
        leaf = self._ca.issue_cert(*(identities or ("127.0.0.1", "localhost")))
        certificate, key = (self._directory / f"{name}.{suffix}" for suffix in ("crt", "key"))
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        key.write_bytes(leaf.private_key_pem.bytes())
        return certificate, key

    def trusted(self, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """Return a client's context that trusts this authority, and shows a certificate if any."""
        context = ssl.create_default_context(cafile=str(self.file))
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context
