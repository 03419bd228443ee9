"""From the configuration to what Python's `ssl` does with it.

OpenSSL through Python cannot ask for a certificate without verifying it, so `RequestClientCert`
does not ask (nothing would read it), and `RequireAnyClientCert` is refused rather than weakened.
Several curves mean OpenSSL's own list, because Python can only set one.
"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from ipmp_exporter.web_config.document import WebConfigError
from ipmp_exporter.web_config.schema import Tls

_VERIFIED = {
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


def server_context(tls: Tls) -> ssl.SSLContext:
    """Return a new context. Raises WebConfigError for what cannot be loaded or cannot be done."""
    if tls.client_auth_type == "RequireAnyClientCert":
        raise WebConfigError(
            "client_auth_type RequireAnyClientCert would admit certificates of anybody; "
            "use RequireAndVerifyClientCert with a client_ca_file"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_versions(context, tls)
    _load_certificate(context, tls)
    _set_ciphers(context, tls)
    if tls.client_auth_type in _VERIFIED:
        context.verify_mode = _VERIFIED[tls.client_auth_type]
        _load_client_ca(context, tls)
    if len(tls.curve_preferences) == 1:
        context.set_ecdh_curve(tls.curve_preferences[0])
    context.set_alpn_protocols(["http/1.1"])
    return context


def own_files(tls: Tls) -> tuple[Path, ...]:
    """Return the files of our own certificate."""
    return tuple(Path(name) for name in (tls.cert_file, tls.key_file) if name)


def ca_files(tls: Tls) -> tuple[Path, ...]:
    """Return the files that say whose clients are let in."""
    return (Path(tls.client_ca_file),) if tls.client_ca_file else ()


def is_allowed(certificate: object, sans: tuple[str, ...]) -> bool:
    """Say whether a peer's verified certificate (`getpeercert()`) has one of these names."""
    if not isinstance(certificate, dict):
        return False
    names = {str(value) for _, value in certificate.get("subjectAltName", ())}
    return not names.isdisjoint(sans)


def _set_versions(context: ssl.SSLContext, tls: Tls) -> None:
    if tls.min_version > tls.max_version:
        raise WebConfigError("min_version is above max_version")
    context.minimum_version, context.maximum_version = tls.min_version, tls.max_version


def _load_certificate(context: ssl.SSLContext, tls: Tls) -> None:
    try:
        with tempfile.TemporaryDirectory(prefix="ipmp-exporter-") as directory:
            certificate = tls.cert_file or _written(directory, "cert.pem", tls.cert)
            key = tls.key_file or _written(directory, "key.pem", tls.key)
            context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        where = tls.cert_file or "cert"
        raise WebConfigError(
            f"cannot use the certificate {where} with its key: {_why(error)}"
        ) from error


def _written(directory: str, name: str, text: str) -> str:
    """OpenSSL reads a key from a file only; this one is ours alone, and short-lived."""
    path = Path(directory, name)
    path.touch(0o600)
    path.write_text(text)
    return str(path)


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _load_client_ca(context: ssl.SSLContext, tls: Tls) -> None:
    if not (tls.client_ca or tls.client_ca_file):
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    try:
        text = tls.client_ca or Path(tls.client_ca_file).read_text()
        context.load_verify_locations(cadata=text)
    except (OSError, ValueError) as error:
        where = tls.client_ca_file or "client_ca"
        raise WebConfigError(f"cannot use the client CA {where}: {_why(error)}") from error


def _set_ciphers(context: ssl.SSLContext, tls: Tls) -> None:
    if names := [name for name in tls.cipher_suites if name]:
        try:
            context.set_ciphers(":".join(names))
        except ssl.SSLError as error:
            raise WebConfigError("cipher_suites has none that OpenSSL offers") from error
    if tls.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
