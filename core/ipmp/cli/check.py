"""`ipmp check`: is this host fit for the configuration? `--fix` and `--write` mend it."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from ipmp.config import MPATHD_DEFAULTS, Config, ConfigError, GroupConfig, load
from ipmp.daemon.copies import stay
from ipmp.daemon.mismatch import Mismatches
from ipmp.kernel.attached import look, staying
from ipmp.kernel.linux import LinuxKernel
from ipmp.kernel.sockdiag import with_owners
from ipmp.kernel.sysctl import Finding as SysctlFinding
from ipmp.kernel.sysctl import correct, inspect
from ipmp.model import Family
from ipmp.preflight import Finding, Member, Outcome, Root, survey, write
from ipmp.preflight.finding import Verdict, listing
from ipmp.world import Link, Snapshot, is_ipv4

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

CONFIG = Path("/etc/ipmp/ipmp.toml")
INDENT = " " * 9


class Line(NamedTuple):
    """One finding of the report; `more` is printed below it."""

    verdict: str  # ok, wrong, fixed or note
    text: str
    more: str = ""


def add_parser(subparsers: Subparsers) -> None:
    """Add `check`."""
    parser = subparsers.add_parser(
        "check",
        help="is this host fit for the configuration?",
        description="Compare this host with ipmp.toml: members, sysctls, other programs that "
        "configure members, what does not follow an address. Exit status 1: something is wrong.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"default {CONFIG}")
    parser.add_argument("--fix", action="store_true", help="set wrong sysctls on the members")
    parser.add_argument(
        "--write", action="store_true", help="write the drop-ins that keep other programs away"
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=Path("/"),
        metavar="DIR",
        help="look at the files of an image below DIR instead of this host",
    )
    parser.set_defaults(func=_check)


def _check(options: argparse.Namespace) -> int:
    root = Root(options.root)
    below = root.directory / CONFIG.relative_to("/")
    try:
        config = load(options.config or below, root.directory / MPATHD_DEFAULTS.relative_to("/"))
    except ConfigError as error:
        for sentence in error.errors:
            print(f"wrong  {sentence}", file=sys.stderr)
        return 1
    failed = False
    for line in _report(config, root, fix=options.fix, writing=options.write):
        print(f"{line.verdict:5}  {line.text}")
        if line.more:
            print(line.more)
        failed |= line.verdict == Verdict.WRONG
    return int(failed)


def _report(config: Config, root: Root, *, fix: bool, writing: bool) -> Iterator[Line]:
    """Everything that is found; of an image, what its files say."""
    yield Line("ok", f"{config.path} is valid")
    yield from (Line("note", warning) for warning in config.warnings)
    snapshots = asyncio.run(_look_at(config)) if root.is_live else {}
    for name, snapshot in snapshots.items():
        group = config.groups[name]
        yield from _members(group, snapshot.links)
        yield from (Line("note", o.sentence()) for o in Mismatches(name).fresh(snapshot.links))
        yield from _sysctls(group, snapshot.links, fix=fix)
        yield from _fixed_in_place(group, snapshot)
    members = list(_matchable(config, snapshots))
    findings = list(survey(root, members, time.time()))
    if not findings:
        yield Line("ok", "no other program claims a member")
    for finding in findings:
        yield _written(root, finding) if writing and finding.dropins else _shown(finding)


async def _look_at(config: Config) -> dict[str, Snapshot]:
    """The members that exist, asked of the kernel: sysfs may be of another namespace."""
    kernel = LinuxKernel()
    try:
        return {
            name: await kernel.snapshot(kernel.links(group.members))
            for name, group in config.groups.items()
        }
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


def _judged(finding: SysctlFinding, *, fix: bool) -> Line:
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


def _fixed_in_place(group: GroupConfig, snapshot: Snapshot) -> Iterator[Line]:
    """What does not move: leased addresses, and what hangs on the members themselves."""
    for decision in stay(group, snapshot, set()):
        yield Line("note", decision.sentence())
    for link in snapshot.links.values():
        attached = look(link)
        if attached.master:
            yield Line(
                "wrong",
                f"{link.name} is a port of {attached.master}: addresses belong on that one; take "
                f"{link.name} out of it",
            )
        sockets = with_owners(attached.sockets)
        for decision in staying(replace(attached, sockets=sockets)):
            yield Line("note", decision.sentence())


def _matchable(config: Config, snapshots: dict[str, Snapshot]) -> Iterator[Member]:
    """Every member, with what other programs' configuration can match it by."""
    for name, group in config.groups.items():
        links = snapshots[name].links if name in snapshots else {}
        for member in group.members:
            link = links.get(member)
            ifindex, hwaddr = (link.ifindex, link.hwaddr) if link else (0, "")
            yield Member(member, ifindex, hwaddr, declared=bool(group.addresses))


def _shown(finding: Finding) -> Line:
    """A finding with the files that would mend it."""
    more = [f"{finding.blocked}; then write"] if finding.blocked else []
    for dropin in finding.dropins:
        more.append(f"{dropin.path}:")
        more += (f"  {line}" for line in dropin.content.splitlines())
    if finding.dropins:
        more.append(f"then: {' && '.join(finding.reload)}")
    below = "\n".join(f"{INDENT}{line}".rstrip() for line in more)
    return Line(finding.verdict, finding.text, below)


def _written(root: Root, finding: Finding) -> Line:
    """Write the files that mend a finding, and say what came of it."""
    shown = _shown(finding)
    if finding.blocked:
        return Line("wrong", f"{finding.text}; nothing was written", shown.more)
    try:
        outcomes = {dropin.path: write(root, dropin) for dropin in finding.dropins}
    except OSError as error:
        why = f"{error.filename} cannot be written: {error.strerror}"
        return Line("wrong", f"{finding.text}; {why}", shown.more)
    foreign = [path for path, outcome in outcomes.items() if outcome is Outcome.FOREIGN]
    if foreign:
        text = f"{finding.text}; {listing(foreign)} is not ours, so add the lines to it yourself"
        return Line("wrong", text, shown.more)
    commands = f"now run: {' && '.join(finding.reload)}"
    if all(outcome is Outcome.THERE for outcome in outcomes.values()):
        return Line("wrong", f"{finding.text}; {listing(list(outcomes))} is there; {commands}")
    return Line("fixed", f"{finding.text}; wrote {listing(list(outcomes))}; {commands}")
