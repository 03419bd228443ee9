"""netplan: its YAML says what networkd's generated files will say (netplan(5)).

Before the first boot of an image those files do not exist yet, so a definition for networkd is
turned into the file that netplan would generate; what that does to members `networkd` judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ipmp.preflight.ini import Entry
from ipmp.preflight.networkd import Network
from ipmp.preflight.root import Root

DIRECTORIES = ("/run/netplan", "/etc/netplan", "/usr/lib/netplan", "/lib/netplan")
GENERATED = "/run/systemd/network/10-netplan-{}.network"


def read(root: Root) -> list[Network]:
    """Return the networkd files that netplan makes of its definitions for Ethernet interfaces."""
    merged: dict[str, Any] = {}
    origins: dict[str, list[str]] = {}
    for path, text in root.layered(DIRECTORIES, "*.yaml"):
        network = _mapping(_document(text).get("network"))
        for name in _mapping(network.get("ethernets")):
            origins.setdefault(str(name), []).append(path)
        merged = _merge(merged, network)
    default = merged.get("renderer", "networkd")
    return [
        Network(
            GENERATED.format(name),
            tuple(_entries(str(name), _mapping(definition))),
            origin=" and ".join(origins.get(str(name), [])),
        )
        for name, definition in _mapping(merged.get("ethernets")).items()
        if _mapping(definition).get("renderer", default) == "networkd"
    ]


def _entries(name: str, definition: Mapping[str, Any]) -> Iterator[Entry]:
    match = _mapping(definition.get("match"))
    if "macaddress" in match:
        yield Entry("Match", "PermanentMACAddress", str(match["macaddress"]))
    renamed = definition.get("set-name")
    if renamed or not match:
        yield Entry("Match", "Name", str(renamed or name))
    elif "name" in match:
        yield Entry("Match", "Name", str(match["name"]))
    leases = [definition.get(f"dhcp{version}") is True for version in (4, 6)]
    if any(leases):
        yield Entry("Network", "DHCP", "yes" if all(leases) else f"ipv{4 if leases[0] else 6}")
    for address in definition.get("addresses") or ():
        # An address may be a mapping of itself to its options.
        yield Entry(
            "Network",
            "Address",
            str(next(iter(address), "") if isinstance(address, dict) else address),
        )
    if definition.get("critical") is True:
        yield Entry("Network", "KeepConfiguration", "yes")
    if definition.get("ignore-carrier") is True:
        yield Entry("Network", "ConfigureWithoutCarrier", "yes")


def _document(text: str) -> Mapping[str, Any]:
    try:
        return _mapping(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}  # netplan refuses it, too


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Later files add to mappings and lists, and replace anything else."""
    merged = dict(old)
    for key, value in new.items():
        there = merged.get(key)
        if isinstance(there, dict) and isinstance(value, dict):
            merged[key] = _merge(there, value)
        elif isinstance(there, list) and isinstance(value, list):
            merged[key] = there + [item for item in value if item not in there]
        else:
            merged[key] = value
    return merged
