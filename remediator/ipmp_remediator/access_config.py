"""Read the part of `remediator.toml` that says who may post, and over which connection."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from ipmp_remediator.policy import Authentication, Signature, Tls
from ipmp_remediator.reader import Reader, Table

ACCESS_KEYS = ("token_file", "authentication", "basic_auth_users", "signature", "tls")
SIGNATURE_KEYS = ("secret_file", "header", "timestamp_header", "window")
TLS_KEYS = ("cert_file", "key_file", "client_ca_file", "client_allowed_sans")

_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")


class Access(msgspec.Struct, frozen=True):
    """What the file says about senders."""

    authentication: Authentication
    token_file: Path | None
    basic_auth_users: dict[str, str]
    signature: Signature | None
    tls: Tls | None


def read_access(reader: Reader, table: Table) -> Access:
    """Read it; mistakes are noted."""
    access = Access(
        authentication=reader.choice(table, "authentication", Authentication.REQUIRED),
        token_file=reader.file(table, "token_file", ""),
        basic_auth_users=_users(reader, table),
        signature=_signature(reader, table),
        tls=_tls(reader, table),
    )
    mutual = access.tls is not None and access.tls.client_ca_file is not None
    given = [
        name for name in ("token_file", "basic_auth_users", "signature") if table.get(name)
    ] + ["tls.client_ca_file"] * mutual
    tried = [name for name in (*given, *ACCESS_KEYS) if name in table and name != "tls"]
    if access.authentication is Authentication.NONE and given:
        reader.error("authentication", f'is "none" although {given[0]} is set; remove one')
    elif access.authentication is Authentication.REQUIRED and not given and not tried:
        reader.error(
            "token_file",
            "is missing: name a file that holds a bearer token, or set [basic_auth_users], "
            '[signature] or tls.client_ca_file (or authentication = "none", which only loopback '
            "addresses accept)",
        )
    return access


def _users(reader: Reader, table: Table) -> dict[str, str]:
    value = table.get("basic_auth_users", {})
    if not isinstance(value, dict) or ("basic_auth_users" in table and not value):
        reader.error("basic_auth_users", 'must be a table: name = "bcrypt hash"')
        return {}
    users = {}
    for name, hashed in value.items():
        if not name or ":" in name:
            reader.error(f"basic_auth_users.{name}", "a name has no colon and is not empty")
        elif not isinstance(hashed, str) or not _BCRYPT.fullmatch(hashed):
            reader.error(
                f"basic_auth_users.{name}", "must be a bcrypt hash ($2b$...): htpasswd -nBC 10 name"
            )
        else:
            users[name] = hashed
    return users


def _signature(reader: Reader, table: Table) -> Signature | None:
    if "signature" not in table:
        return None
    at = "signature."
    values = reader.table(table, "signature", SIGNATURE_KEYS)
    reader.required(values, "secret_file", at, "name the file that holds the shared secret")
    secret_file = reader.file(values, "secret_file", at) if values.get("secret_file") else None
    headers = {}
    for name, default in (
        ("header", "X-Grafana-Alerting-Signature"),
        ("timestamp_header", "X-Grafana-Alerting-Timestamp"),
    ):
        headers[name] = reader.text(values, name, default, at)
        if not _HEADER.fullmatch(headers[name]):
            reader.error(at + name, "is not the name of a header")
    window = reader.seconds(values, "window", 300.0, at)
    if not 1 <= window <= 3600:
        reader.error(f"{at}window", "must be between 1s and 1h")
    if secret_file is None:
        return None
    return Signature(secret_file, headers["header"], headers["timestamp_header"], window)


def _tls(reader: Reader, table: Table) -> Tls | None:
    if "tls" not in table:
        return None
    at = "tls."
    values = reader.table(table, "tls", TLS_KEYS)
    for name in ("cert_file", "key_file"):
        reader.required(values, name, at, "a certificate and its key are both needed")
    sans = frozenset(reader.texts(values, "client_allowed_sans", at))
    authority = reader.file(values, "client_ca_file", at)
    if sans and "client_ca_file" not in values:
        reader.error(f"{at}client_allowed_sans", "needs client_ca_file")
    if not (values.get("cert_file") and values.get("key_file")):
        return None
    cert, key = (reader.file(values, n, at) for n in ("cert_file", "key_file"))
    return Tls(cert, key, authority, sans) if cert and key else None
