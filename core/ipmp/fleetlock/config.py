"""The values of `fleet.toml`: where the fleet's budget is asked for, and from which pools."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import msgspec

from ipmp.fleetlock.values import Group
from ipmp.serving.document import DocumentError, Duration, read
from ipmp.serving.tls import ClientTls

DEFAULT_FILE = Path("/etc/ipmp/fleet.toml")

_Host = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._:-]{0,200}\Z")]


class FleetConfig(msgspec.Struct, frozen=True):
    """A checked `fleet.toml`."""

    urls: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]  # servers of the same slots
    pools: tuple[Group, ...] = ()  # of every IPMP group that `groups` does not name
    groups: dict[str, tuple[Group, ...]] = {}
    host: _Host = ""  # the first part of our ids; empty: this machine's name
    timeout: Duration = Duration(8.0)
    token_file: Path | None = None
    tls: ClientTls = ClientTls()

    @property
    def host_id(self) -> str:
        """What this host is called by the servers."""
        return self.host or socket.getfqdn().lower()

    def pools_of(self, group: str) -> tuple[str, ...]:
        """Return the pools that a drain in an IPMP group needs a slot of, in one order for all.

        Everybody takes in the same order, so that two hosts never wait for each other.
        """
        return tuple(sorted(set(self.groups.get(group, self.pools))))


def load(path: Path) -> FleetConfig:
    """Read the file; raise DocumentError with all of its mistakes."""
    config = read(path, FleetConfig)
    errors = []
    for url in config.urls:
        if not url.startswith(("http://", "https://")):
            errors.append(f"urls: {url!r} must begin with http:// or https://")
    if not (config.pools or config.groups):
        errors.append("pools is missing: which budget do drains of this host count against?")
    if not 0 < config.timeout <= 60:
        errors.append("timeout must be between 1ms and 60s")
    if bool(config.tls.cert_file) != bool(config.tls.key_file):
        errors.append("tls.cert_file and tls.key_file are needed both or neither")
    if errors:
        raise DocumentError([f"{path}: {error}" for error in errors])
    return config
