"""What must hold between parts of the configuration: one owner for each interface and address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ipmp.config.schema import GroupConfig
from ipmp.config.table import Problems, join_key
from ipmp.config.values import shown

Groups = Mapping[str, GroupConfig]


def check_groups(groups: Groups, problems: Problems) -> None:
    """Note what contradicts itself in `groups` or between them."""
    _check_members(groups, problems)
    _check_homes(groups, problems)
    _check_addresses(groups, problems)
    for name, group in groups.items():
        _check_targets(group, _group_key(name), problems)
        _check_redundancy(group, _group_key(name), problems)


def _group_key(name: str) -> str:
    return join_key("groups", name)


def _check_members(groups: Groups, problems: Problems) -> None:
    """An interface is listed once in the whole file."""
    owners: dict[str, str] = {}
    for name, key, interface in _listed_members(groups):
        owner = owners.get(interface)
        if owner is None:
            owners[interface] = key
        elif owner == key:
            problems.error(key, f"{shown(interface)} is listed twice; list each interface once")
        elif owner.rpartition(".")[0] == _group_key(name):
            problems.error(
                key,
                f"{shown(interface)} is also in {owner}; a member is either a standby one or not",
            )
        else:
            problems.error(
                key, f"{shown(interface)} is also in {owner}; an interface has one group"
            )


def _listed_members(groups: Groups) -> Iterator[tuple[str, str, str]]:
    """Yield group, key and interface in the order of the file."""
    for name, group in groups.items():
        for interface in group.interfaces:
            yield name, f"{_group_key(name)}.interfaces", interface
        for interface in group.standby:
            yield name, f"{_group_key(name)}.standby", interface


def _check_homes(groups: Groups, problems: Problems) -> None:
    """Homes and test addresses are on members of the same group."""
    for name, group in groups.items():
        if not group.members:
            continue  # already a problem of its own
        allowed = ", ".join(shown(member) for member in dict.fromkeys(group.members))
        for declared in group.addresses:
            if declared.home is not None and declared.home not in group.members:
                problems.error(
                    f"{_group_key(name)}.addresses.home",
                    f"{shown(declared.home)}, the home of {declared.address}, is not a member of "
                    f"the group; allowed: {allowed}",
                )
        for interface in group.probe.test_addresses:
            if interface not in group.members:
                problems.error(
                    f"{_group_key(name)}.probe.test_addresses",
                    f"{shown(interface)} is not a member of the group; allowed: {allowed}",
                )


def _check_addresses(groups: Groups, problems: Problems) -> None:
    """An address, whatever its prefix length, is declared once in the whole file."""
    owners: dict[str, str] = {}
    for key, address in _listed_addresses(groups):
        host = address.partition("/")[0]
        owner = owners.get(host)
        if owner is None:
            owners[host] = key
        elif owner == key:
            problems.error(key, f"{shown(address)} is listed twice; list each address once")
        else:
            problems.error(key, f"{shown(address)} is also in {owner}; an address has one place")


def _listed_addresses(groups: Groups) -> Iterator[tuple[str, str]]:
    """Yield key and address: all data addresses first, so that test addresses get the blame."""
    for name, group in groups.items():
        for declared in group.addresses:
            yield f"{_group_key(name)}.addresses", declared.address
    for name, group in groups.items():
        for interface, address in group.probe.test_addresses.items():
            yield join_key(f"{_group_key(name)}.probe.test_addresses", interface), address


def _check_targets(group: GroupConfig, key: str, problems: Problems) -> None:
    """A target is another host, named once."""
    own = {declared.address.partition("/")[0] for declared in group.addresses}
    own |= {address.partition("/")[0] for address in group.probe.test_addresses.values()}
    seen: set[str] = set()
    for target in group.probe.targets:
        if target in own:
            problems.error(
                f"{key}.probe.targets",
                f"{shown(target)} is an address of the group itself; allowed: other hosts",
            )
        elif target in seen:
            problems.error(
                f"{key}.probe.targets", f"{shown(target)} is listed twice; list each target once"
            )
        seen.add(target)


def _check_redundancy(group: GroupConfig, key: str, problems: Problems) -> None:
    """`min_usable` can be met; warn of what makes a group less than its operator may think."""
    members = len(set(group.members))
    if members and group.min_usable > members:
        problems.error(
            f"{key}.min_usable",
            f"{shown(group.min_usable)} is more than the group has members; "
            f"allowed: 1 to {members}",
        )
    elif members == 1:
        problems.warn(f"{key}.interfaces", "a single member has nothing to fail over to")
    elif group.min_usable == members:
        problems.warn(
            f"{key}.min_usable",
            f"all {members} members must stay usable, so that none can be taken offline",
        )
    bare = [name for name in group.members if name not in group.probe.test_addresses]
    if group.probe.method == "icmp" and bare:
        problems.warn(
            f"{key}.probe.method",
            f"by icmp over IPv4 only members with a test address are probed, and {', '.join(bare)} "
            'has none; give it one in test_addresses, or choose "auto"',
        )
