"""The values of the policy file: which alerts may touch which interfaces, and how carefully.

Denied by default: an alert acts only when a policy matches its labels *and* `[allow]` names the
pair of group and interface. Label values select among configured objects; they are never used
unseen. Reading and checking the file is `config`'s job.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import msgspec


class Authentication(StrEnum):
    """How senders prove who they are; `none` is accepted on loopback addresses only."""

    BEARER = "bearer"
    NONE = "none"


class Matcher(msgspec.Struct, frozen=True):
    """One label that must have a value: exactly, or by an anchored regular expression."""

    label: str
    pattern: re.Pattern[str]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the alert's labels satisfy this matcher; an absent label is empty."""
        return self.pattern.fullmatch(labels.get(self.label, "")) is not None


class Policy(msgspec.Struct, frozen=True):
    """An alert that satisfies every matcher takes the interface it names offline."""

    name: str
    match: tuple[Matcher, ...]
    group_label: str = "group"
    interface_label: str = "interface"

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether every matcher is satisfied."""
        return all(matcher.matches(labels) for matcher in self.match)


class Config(msgspec.Struct, frozen=True):
    """A checked policy file; durations are seconds."""

    policies: tuple[Policy, ...]
    allow: frozenset[tuple[str, str]]  # (group, interface) pairs that may be touched
    authentication: Authentication
    token_file: Path | None = None
    dry_run: bool = True
    max_alert_age: float = 3600.0
    hold_down: float = 0.0
    max_pending: int = 1000

    def policy_for(self, labels: Mapping[str, str]) -> Policy | None:
        """Return the first policy that matches, or None."""
        return next((policy for policy in self.policies if policy.matches(labels)), None)

    @property
    def groups(self) -> frozenset[str]:
        """The groups that `[allow]` names."""
        return frozenset(group for group, _ in self.allow)
