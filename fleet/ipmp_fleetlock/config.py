"""The values of `fleetlock.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from ipmp.fleetlock.values import Group
from ipmp.serving.document import DocumentError, Duration, read
from ipmp.serving.tls import ClientTls, ServerTls

_Slots = Annotated[int, msgspec.Meta(ge=0, le=100_000)]


class Etcd(msgspec.Struct, frozen=True):
    """Where etcd is; its JSON gateway is on the same port as the rest of it."""

    endpoints: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("http://127.0.0.1:2379",)
    prefix: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = "/ipmp/fleetlock/"
    user: str = ""
    password_file: Path | None = None
    timeout: Duration = Duration(2.0)  # for one request to one endpoint
    tls: ClientTls | None = None


class FleetlockConfig(msgspec.Struct, frozen=True):
    """A checked `fleetlock.toml`."""

    slots: dict[Group, _Slots]
    default_slots: _Slots = 0  # of groups that are not named; 0: there are no others
    etcd: Etcd = Etcd()
    token_file: Path | None = None
    tls: ServerTls | None = None
    bind_ids: bool = True  # by mutual TLS: the host in an id must be in the client's certificate
    operators: frozenset[str] = frozenset()  # names in certificates that may release others' slots

    def slots_of(self, group: str) -> int:
        """Return how many slots a group has."""
        return self.slots.get(group, self.default_slots)

    @property
    def mutual(self) -> bool:
        """Tell whether clients need a certificate."""
        return self.tls is not None and self.tls.client_ca_file is not None


def load(path: Path) -> FleetlockConfig:
    """Read the file; raise DocumentError with all of its mistakes."""
    config = read(path, FleetlockConfig)
    errors = list(_contradictions(config))
    if errors:
        raise DocumentError([f"{path}: {error}" for error in errors])
    return config


def _contradictions(config: FleetlockConfig) -> list[str]:
    errors = []
    etcd = config.etcd
    for endpoint in etcd.endpoints:
        if not endpoint.startswith(("http://", "https://")):
            errors.append(f"etcd.endpoints: {endpoint!r} must begin with http:// or https://")
    if bool(etcd.user) != bool(etcd.password_file):
        errors.append("etcd.user and etcd.password_file are needed both or neither")
    if not 0 < etcd.timeout <= 30:
        errors.append("etcd.timeout must be between 1ms and 30s")
    if not config.slots and not config.default_slots:
        errors.append("slots is empty and default_slots is 0: nobody could ever drain anything")
    if config.operators and not config.mutual:
        errors.append("operators needs tls.client_ca_file")
    return errors
