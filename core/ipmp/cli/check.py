"""`ipmp check`: is this host fit for the configuration? Preflight; `--fix` sets sysctls."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ipmp.config import ConfigError, GroupConfig, load
from ipmp.kernel.linux import LinuxKernel
from ipmp.kernel.sysctl import Finding, correct, inspect
from ipmp.model import Family
from ipmp.world import Link, is_ipv4

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

MANAGERS = {
    "NetworkManager": Path("/run/NetworkManager"),
    "systemd-networkd": Path("/run/systemd/netif/links"),
}
REMEDY = {
    "NetworkManager": "tell it to leave the members alone (unmanaged-devices)",
    "systemd-networkd": (
        "set ManageForeignRoutes=no, ManageForeignRoutingPolicyRules=no and, for the members, "
        "KeepConfiguration=yes or Unmanaged=yes"
    ),
}


class Line(NamedTuple):
    """One line of the report."""

    verdict: str  # ok, wrong, fixed or note
    text: str


def add_parser(subparsers: Subparsers) -> None:
    """Add `check`."""
    parser = subparsers.add_parser("check", help="is this host fit for the configuration?")
    parser.add_argument("--config", type=Path, default=Path("/etc/ipmp/ipmp.toml"))
    parser.add_argument("--fix", action="store_true", help="set wrong sysctls on the members")
    parser.set_defaults(func=_check)


def _check(options: argparse.Namespace) -> int:
    try:
        config = load(options.config)
    except ConfigError as error:
        for sentence in error.errors:
            print(f"wrong  {sentence}", file=sys.stderr)
        return 1
    lines = [Line("ok", f"{config.path} is valid")]
    lines += [Line("note", warning) for warning in config.warnings]
    for group in config.groups.values():
        links = _links(group)
        lines += _members(group, links)
        lines += _sysctls(group, links, fix=options.fix)
    lines += _managers()
    for line in lines:
        print(f"{line.verdict:5}  {line.text}")
    return int(any(line.verdict == "wrong" for line in lines))


def _links(group: GroupConfig) -> dict[str, Link]:
    """The members that exist, asked of the kernel: sysfs may be of another namespace."""
    kernel = LinuxKernel()
    try:
        return kernel.links(group.members)
    finally:
        kernel.close()


def _members(group: GroupConfig, links: dict[str, Link]) -> Iterator[Line]:
    for member in group.members:
        link = links.get(member)
        if link is None:
            yield Line("note", f"{member} of {group.name} does not exist (yet)")
        elif not link.up:
            yield Line("note", f"{member} of {group.name} is down: ip link set {member} up")
        elif link.carrier is False:
            yield Line("note", f"{member}: no carrier")
        else:
            yield Line("ok", f"{member}: carrier")
        if link is not None and link.ethernet is None:
            yield Line("note", f"{member} is no Ethernet: addresses cannot be announced there")


def _sysctls(group: GroupConfig, links: dict[str, Link], *, fix: bool) -> Iterator[Line]:
    declared_ipv6 = any(not is_ipv4(a.address) for a in group.addresses)
    families = frozenset(Family) if group.adopt or declared_ipv6 else {Family.IPV4}
    for member in group.members:
        if member in links:
            for finding in inspect(member, families):
                yield _judged(finding, fix=fix)


def _judged(finding: Finding, *, fix: bool) -> Line:
    value = f"{finding.sysctl} is {finding.effective}"
    if finding.ok:
        return Line("ok", value)
    if fix and finding.fixable:
        try:
            correct(finding)
        except OSError as error:
            return Line("wrong", f"{value} and cannot be set: {error.strerror}")
        return Line("fixed", f"{finding.sysctl} was {finding.effective}, is now {finding.write}")
    return Line("wrong", f"{value} and must be {finding.wanted}: {finding.why}")


def _managers() -> Iterable[Line]:
    for name, evidence in MANAGERS.items():
        if evidence.exists():
            yield Line("note", f"{name} runs here: {REMEDY[name]}")
