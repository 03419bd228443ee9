"""From the TOML document to a `Config`: each table for itself; `checks` then compares them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ipmp.config import values
from ipmp.config.checks import check_groups
from ipmp.config.schema import (
    OUTBOUNDS,
    PROBE_METHODS,
    SYSCTLS,
    Announce,
    Config,
    ConfigError,
    DeclaredAddress,
    GroupConfig,
    Probe,
)
from ipmp.config.table import Problems, Table
from ipmp.config.values import BadValue

# The order is the one in which messages list them.
MEMBER_KEYS = ("interfaces", "standby", "addresses")
SETTING_KEYS = (
    "adopt",
    "failback",
    "failure_detection_time",
    "up_delay",
    "min_usable",
    "outbound",
    "announce",
    "sysctls",
    "probe",
)


def build(
    document: dict[str, Any], path: Path, base: GroupConfig, warnings: tuple[str, ...] = ()
) -> Config:
    """Validate `document`, read from `path`; `base` holds the settings that rank below it.

    Raises `ConfigError` with every problem.
    """
    problems = Problems(path.name)
    root = Table(problems, "", document)
    root.allow(("defaults", "groups"))
    defaults = _defaults(root, base)
    tables = root.table("groups")
    if document.get("groups", {}) == {}:
        root.error("groups", "there is no group; add a table such as [groups.ipmp0]")
    groups = {name: _group(tables, name, defaults) for name in tables.data}
    check_groups(groups, problems)
    if problems.errors:
        raise ConfigError(tuple(problems.errors))
    return Config(str(path), groups, warnings + tuple(problems.warnings))


def _defaults(root: Table, base: GroupConfig) -> GroupConfig:
    """Return `base` with the settings of [defaults]; what names members has no place there."""
    table = root.table("defaults")
    table.refuse(MEMBER_KEYS, "belongs to one group; move it to [groups.NAME]")
    table.allow(SETTING_KEYS)
    if isinstance(table.data.get("probe"), dict):
        table.table("probe").refuse(
            ("test_addresses",), "belongs to one group; move it to [groups.NAME.probe]"
        )
    return _settings(table, base)


def _group(tables: Table, name: str, defaults: GroupConfig) -> GroupConfig:
    """Return one group, its bad parts replaced by defaults once they are noted."""
    tables.parsed(name, lambda _: values.group_name(name), None, name)
    table = tables.table(name)
    table.allow(MEMBER_KEYS + SETTING_KEYS)
    if isinstance(tables.data[name], dict) and "interfaces" not in table.data:
        table.error("interfaces", 'missing; list the members, such as ["ni0", "ni1"]')
    elif table.data.get("interfaces") == []:
        table.error("interfaces", "[] is empty; allowed: one interface or more")
    return replace(
        _settings(table, defaults),
        name=name,
        interfaces=table.take_items("interfaces", values.interface_name, "interface names"),
        standby=table.take_items("standby", values.interface_name, "interface names"),
        addresses=_addresses(table),
    )


def _settings(table: Table, base: GroupConfig) -> GroupConfig:
    """Return `base` with the settings that `table` gives."""
    return replace(
        base,
        adopt=table.take("adopt", values.boolean, base.adopt),
        failback=table.take("failback", values.boolean, base.failback),
        failure_detection_time=table.take(
            "failure_detection_time", values.detection_time, base.failure_detection_time
        ),
        up_delay=table.take("up_delay", values.up_delay, base.up_delay),
        min_usable=table.take("min_usable", values.integer(1), base.min_usable),
        outbound=table.take("outbound", values.choice(OUTBOUNDS), base.outbound),
        announce=_announce(table.table("announce"), base.announce),
        sysctls=table.take("sysctls", values.choice(SYSCTLS), base.sysctls),
        probe=_probe(table.table("probe"), base.probe),
    )


def _announce(table: Table, base: Announce) -> Announce:
    table.allow(("rate", "burst", "refresh"))
    return Announce(
        rate=table.take("rate", values.integer(1, 10_000), base.rate),
        burst=table.take("burst", values.boolean, base.burst),
        refresh=table.take("refresh", values.refresh_interval, base.refresh),
    )


def _probe(table: Table, base: Probe) -> Probe:
    table.allow(("method", "targets", "test_addresses"))
    tests = table.table("test_addresses")
    addresses = {name: tests.take(name, values.test_address, None) for name in tests.data}
    return Probe(
        method=table.take("method", values.choice(PROBE_METHODS), base.method),
        targets=table.take_items("targets", values.target, "addresses", base.targets),
        test_addresses={name: address for name, address in addresses.items() if address},
    )


def _addresses(group: Table) -> tuple[DeclaredAddress, ...]:
    """Return the declared addresses: each a string, or a table that also names a home."""

    def parse(item: object) -> DeclaredAddress:
        if not isinstance(item, dict):
            return DeclaredAddress(values.data_address(item))
        entry = Table(group.problems, group.key("addresses"), item)
        entry.allow(("address", "home"))
        if "address" not in item:
            raise BadValue('{…} has no address; write for example { address = "192.168.1.6/24" }')
        home = entry.take("home", values.interface_name, None)
        return DeclaredAddress(values.data_address(item["address"]), home)

    return group.take_items("addresses", parse, "addresses")
