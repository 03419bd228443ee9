"""The values that a valid configuration consists of."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

Outbound = Literal["single", "spread"]
Sysctls = Literal["set", "check"]
ProbeMethod = Literal["auto", "icmp", "arp", "off"]

OUTBOUNDS: tuple[Outbound, ...] = get_args(Outbound)
SYSCTLS: tuple[Sysctls, ...] = get_args(Sysctls)
PROBE_METHODS: tuple[ProbeMethod, ...] = get_args(ProbeMethod)


class ConfigError(Exception):
    """The configuration cannot be used; `errors` holds one sentence for each problem."""

    def __init__(self, errors: tuple[str, ...]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


class DeclaredAddress(msgspec.Struct, frozen=True):
    """A data address of `addresses`, and the member that it goes back to, if one is named."""

    address: str  # canonical "192.168.1.5/24"; IPv6 compressed, lower case
    home: str | None = None


class Announce(msgspec.Struct, frozen=True):
    """How moved addresses are announced."""

    rate: int = 10  # packets/s on one NIC: planned moves, and all repeats
    burst: bool = True  # a failover's first ones go out at once; False: they are paced, too
    refresh: float | None = None  # seconds between unsolicited repeats; None: never


class Probe(msgspec.Struct, frozen=True):
    """How the path beyond the carrier is watched."""

    method: ProbeMethod = "auto"
    targets: tuple[str, ...] = ()  # canonical addresses without prefix
    test_addresses: dict[str, str] = {}  # member -> canonical "192.168.1.21/32"


class GroupConfig(msgspec.Struct, frozen=True):
    """One IPMP group: members of one IP link, and the data addresses that they share."""

    name: str
    interfaces: tuple[str, ...]
    standby: tuple[str, ...] = ()
    addresses: tuple[DeclaredAddress, ...] = ()
    adopt: bool = True  # static global addresses found on a member are data addresses, too
    failback: bool = True
    failure_detection_time: float = 10.0  # seconds
    up_delay: float = 2.0  # seconds that a link stays up before a failed member is used again
    min_usable: int = 1  # taking a member offline never leaves fewer usable ones
    outbound: Outbound = "single"  # or "spread": over all active members at once
    announce: Announce = Announce()
    sysctls: Sysctls = "set"  # set what members need, or only check it and refuse to manage
    probe: Probe = Probe()

    @property
    def members(self) -> tuple[str, ...]:
        """Every member in configured order, the standby ones last."""
        return self.interfaces + self.standby


class Config(msgspec.Struct, frozen=True):
    """A whole valid configuration."""

    path: str
    groups: dict[str, GroupConfig]
    warnings: tuple[str, ...] = ()  # sentences for the log; the daemon starts nevertheless
