"""The web configuration as values, and what makes one valid.

Verdicts are those of `promtool check web-config`, for the keys that it knows; `cert`, `key`,
`client_ca`, `client_allowed_sans` and `rate_limit` are the toolkit's newer ones.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ipmp_exporter.web_config.ciphers import CIPHERS
from ipmp_exporter.web_config.document import (
    Node,
    WebConfigError,
    boolean,
    choice,
    each,
    integer,
    known,
    mapping,
    parse,
    text,
    texts,
)

VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
CURVES = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
NO_CLIENT_CERT = "NoClientCert"
CLIENT_AUTH = {
    name: name
    for name in (
        NO_CLIENT_CERT,
        "RequestClientCert",
        "RequireAnyClientCert",
        "VerifyClientCertIfGiven",
        "RequireAndVerifyClientCert",
    )
} | {"RequireClientCert": "RequireAnyClientCert", "": NO_CLIENT_CERT}

#: Headers that may be set, and the values that are allowed (none: any).
HEADERS: dict[str, tuple[str, ...]] = {
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
    "Content-Security-Policy": (),
}

_MAX_BYTES = 1 << 20
_BCRYPT = re.compile(r"\$2.?\$(\d\d)\$.{53,}", re.DOTALL)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+")


class Tls(msgspec.Struct, frozen=True):
    """`tls_server_config`; what ends in `_file` is a path, else it is the PEM text itself."""

    cert: str = ""
    cert_file: str = ""
    key: str = ""
    key_file: str = ""
    client_ca: str = ""
    client_ca_file: str = ""
    client_auth_type: str = NO_CLIENT_CERT
    client_allowed_sans: tuple[str, ...] = ()
    min_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    max_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[str, ...] = ()

    @property
    def wanted(self) -> bool:
        """Whether anything asks for TLS."""
        named = self.cert or self.cert_file or self.key or self.key_file
        client = self.client_ca or self.client_ca_file
        return bool(named or client or self.client_auth_type != NO_CLIENT_CERT)


class WebConfig(msgspec.Struct, frozen=True):
    """The whole file; nothing in it is no TLS, no authentication."""

    tls: Tls = Tls()
    headers: dict[str, str] = {}
    users: dict[str, str] = {}  # name -> bcrypt hash
    rate_interval: float = 0.0  # seconds for one request; 0: as many as come
    rate_burst: int = 0


def load(path: Path) -> WebConfig:
    """Read the file and judge all that can be judged without a certificate.

    Raises WebConfigError.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        if len(raw) > _MAX_BYTES:
            raise WebConfigError(f"{path}: it is longer than {_MAX_BYTES} bytes")
        return _config(parse(raw.decode()), path.parent)
    except OSError as error:
        raise WebConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise WebConfigError(f"{path}: it is not UTF-8") from error
    except WebConfigError as error:
        raise WebConfigError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error


def _config(root: Node | None, directory: Path) -> WebConfig:
    parts = mapping(root, "the file")
    known(parts, _PARTS, "the file")
    web = mapping(parts.get("http_server_config"), "http_server_config")
    known(web, {"http2": 0, "headers": 0}, "http_server_config")
    if "http2" in web:
        boolean(web["http2"], "http2")  # HTTP/1.1 is all there is; the key does no harm
    interval, burst = _rate(parts.get("rate_limit"))
    return WebConfig(
        tls=_tls(parts.get("tls_server_config"), directory),
        headers=_headers(web.get("headers")),
        users=_users(parts.get("basic_auth_users")),
        rate_interval=interval,
        rate_burst=burst,
    )


_PARTS = dict.fromkeys(
    ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"), 0
)

_TLS: dict[str, Callable[[Node, str], Any]] = {
    "cert": text,
    "cert_file": text,
    "key": text,
    "key_file": text,
    "client_ca": text,
    "client_ca_file": text,
    "client_auth_type": choice(CLIENT_AUTH),
    "client_allowed_sans": texts,
    "min_version": choice(VERSIONS),
    "max_version": choice(VERSIONS),
    "cipher_suites": lambda node, what: each(node, what, CIPHERS),
    "prefer_server_cipher_suites": boolean,
    "curve_preferences": lambda node, what: each(node, what, CURVES),
}


def _tls(node: Node | None, directory: Path) -> Tls:
    members = mapping(node, "tls_server_config")
    known(members, _TLS, "tls_server_config")
    values = {key: _TLS[key](value, key) for key, value in members.items()}
    for key in ("cert_file", "key_file", "client_ca_file"):
        if values.get(key):
            values[key] = str(directory / values[key])
    tls = Tls(**values)
    for key in ("cert", "key", "client_ca"):
        if values.get(key) and values.get(f"{key}_file"):
            raise WebConfigError(f"tls_server_config has {key} and {key}_file: keep one of them")
    if tls.wanted:
        _judge(tls)
    return tls


def _judge(tls: Tls) -> None:
    if not (tls.cert or tls.cert_file):
        raise WebConfigError("tls_server_config needs a cert_file")
    if not (tls.key or tls.key_file):
        raise WebConfigError("tls_server_config needs a key_file")
    ca = tls.client_ca or tls.client_ca_file
    if ca and tls.client_auth_type == NO_CLIENT_CERT:
        raise WebConfigError("client_ca_file is of no use without a client_auth_type")
    if tls.client_allowed_sans and not ca:
        raise WebConfigError("client_allowed_sans needs a client_ca_file to trust the names")


def _headers(node: Node | None) -> dict[str, str]:
    headers = {}
    for name, value in mapping(node, "headers").items():
        if name not in HEADERS:
            raise WebConfigError(
                f"the header {name!r} cannot be set; there are {', '.join(HEADERS)}"
            )
        headers[name], allowed = text(value, name), HEADERS[name]
        if allowed and headers[name] not in allowed:
            raise WebConfigError(
                f"the header {name} cannot be {headers[name]!r}; it is {' or '.join(allowed)}"
            )
    return headers


def _users(node: Node | None) -> dict[str, str]:
    users = {}
    for name, value in mapping(node, "basic_auth_users").items():
        users[name] = text(value, f"the hash of {name}")
        found = _BCRYPT.match(users[name])
        if found is None or not 4 <= int(found[1]) <= 31:
            raise WebConfigError(
                f"basic_auth_users: what stands for {name} is not a bcrypt hash; "
                "make one with htpasswd -nBC 10"
            )
    return users


def _rate(node: Node | None) -> tuple[float, int]:
    members = mapping(node, "rate_limit")
    known(members, {"interval": 0, "burst": 0}, "rate_limit")
    interval, burst = 0.0, 0
    if "interval" in members:
        interval = _duration(text(members["interval"], "interval"))
    if "burst" in members:
        burst = integer(members["burst"], "burst")
    return interval, burst


def _duration(written: str) -> float:
    """Return seconds of a Go duration, for example 1m30s."""
    if written in ("", "0"):
        return 0.0
    if not _DURATION.fullmatch(written):
        raise WebConfigError(f"interval cannot be {written!r}; write for example 100ms or 1s")
    parts = re.findall(r"([\d.]+)(ns|us|µs|ms|s|m|h)", written)
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))
