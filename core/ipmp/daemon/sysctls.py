"""Keeps the sysctls that IPMP needs on members, and puts back what it changed.

With `sysctls = "set"` wrong values are corrected, at the start and whenever somebody changes them
back; with `"check"` the daemon refuses to start, and says so when one changes later. Only the
members' own values are ever written, never `all`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from ipmp.config import Config, ConfigError, GroupConfig
from ipmp.decision import Decision, Kind, Reason
from ipmp.intent import Intent, SavedSysctl
from ipmp.kernel.sysctl import Finding, correct, inspect, restore
from ipmp.model import Family
from ipmp.world import is_ipv4

DISABLE_IPV6 = "ipv6.disable_ipv6"


class Desk(Protocol):
    """What the keeper needs of the daemon."""

    intent: Intent

    def save_intent(self) -> None:
        """Write the intent, durably."""

    def emit(self, decisions: Iterable[Decision]) -> None:
        """Log and publish decisions."""


def families(config: GroupConfig) -> frozenset[Family]:
    """Families whose settings matter; adopted addresses may be of both."""
    if config.adopt:
        return frozenset(Family)
    return frozenset(Family.IPV4 if is_ipv4(a.address) else Family.IPV6 for a in config.addresses)


def check(config: Config) -> None:
    """Raise ConfigError for groups that must find every sysctl right already."""
    errors = [
        f"{config.path}: groups.{group.name}: {_sentence(finding)}; "
        'set it, or let mpathd set it with sysctls = "set"'
        for group in config.groups.values()
        if group.sysctls == "check"
        for finding in _wrong(group)
    ]
    if errors:
        raise ConfigError(tuple(errors))


class SysctlKeeper:
    """The sysctls of all groups' members."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._told: set[tuple[str, str, int | None]] = set()

    def keep(self, config: GroupConfig) -> None:
        """Correct what is wrong, or report it once, as the configuration says."""
        for finding in _wrong(config):
            if config.sysctls == "set" and finding.fixable:
                self._correct(config, finding)
            else:
                self._tell(config, finding)

    def put_back(self, member: str) -> None:
        """Restore what was changed on an interface that is no member any more."""
        intent = self._desk.intent
        mine = [saved for saved in intent.sysctls if saved.interface == member]
        intent.sysctls = [saved for saved in intent.sysctls if saved.interface != member]
        for saved in mine:
            try:
                restore(saved.name, saved.interface, saved.value)
            except OSError:
                continue  # the interface is gone, and its values with it
            detail: dict[str, str | int | float] = {"name": saved.name, "value": saved.value}
            self._desk.emit(
                [Decision(Kind.SYSCTL, Reason.RESTORED, interface=member, detail=detail)]
            )

    def _correct(self, config: GroupConfig, finding: Finding) -> None:
        intent = self._desk.intent
        known = {(saved.name, saved.interface) for saved in intent.sysctls}
        if (finding.name, finding.interface) not in known:
            assert finding.value is not None  # it is there, otherwise it were not fixable
            intent.sysctls.append(SavedSysctl(finding.name, finding.interface, finding.value))
            self._desk.save_intent()
        try:
            correct(finding)
        except OSError:
            self._tell(config, finding)
            return
        self._desk.emit([_decision(config, finding, Reason.CORRECTED)])

    def _tell(self, config: GroupConfig, finding: Finding) -> None:
        complaint = (finding.name, finding.interface, finding.effective)
        if complaint not in self._told:
            self._told.add(complaint)
            self._desk.emit([_decision(config, finding, Reason.INVALID)])


def _wrong(config: GroupConfig) -> Iterator[Finding]:
    """What must be changed on members that exist.

    That IPv6 is off matters only when IPv6 addresses are declared: there is nothing to adopt then.
    """
    declared = any(not is_ipv4(a.address) for a in config.addresses)
    for member in config.members:
        for finding in inspect(member, families(config)):
            absent = finding.value is None and finding.name != DISABLE_IPV6
            unused = finding.name == DISABLE_IPV6 and not declared
            if not (finding.ok or absent or unused):
                yield finding


def _decision(config: GroupConfig, finding: Finding, reason: Reason) -> Decision:
    return Decision(
        Kind.SYSCTL,
        reason,
        config.name,
        interface=finding.interface,
        detail={
            "name": finding.name,
            "previous": "absent" if finding.effective is None else finding.effective,
            "value": finding.wanted if reason is Reason.INVALID else finding.write or 0,
            "why": finding.why,
        },
    )


def _sentence(finding: Finding) -> str:
    return f"{finding.sysctl} is {finding.effective} and must be {finding.wanted}: {finding.why}"
