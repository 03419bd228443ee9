"""The values of the policy file: which alerts may touch which interfaces, and how carefully.

Denied by default: an alert acts only when a policy matches it *and* `[allow]` names the pair of
group and interface. Label values select among configured objects; they are never used unseen.
Reading and checking the file is `config`'s job. Durations are seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from ipmp.serving.tls import ServerTls


class Authentication(StrEnum):
    """Whether senders prove who they are; `none` is accepted on loopback addresses only."""

    REQUIRED = "required"
    NONE = "none"


class Wish(StrEnum):
    """What a policy makes of an alert while it fires."""

    OFFLINE = "offline"  # the interface is drained, and comes back when all such alerts are over
    ONLINE = "online"  # what we have drained is wanted online, whatever else says offline
    HOLD = "hold"  # the interface, or the whole group, is left alone
    NOTIFY_ONLY = "notify-only"  # it is only noted


class OnNoHelp(StrEnum):
    """What follows when an alert fires on although its interface is drained."""

    ESCALATE = "escalate"  # stay offline, call a person
    UNDO = "undo"  # bring it back, and call a person


class Matcher(msgspec.Struct, frozen=True):
    """One label or annotation that must have a value: exactly, or by a regular expression."""

    name: str
    pattern: re.Pattern[str]

    def matches(self, texts: Mapping[str, str]) -> bool:
        """Tell whether it is satisfied; what is absent is empty."""
        return self.pattern.fullmatch(texts.get(self.name, "")) is not None


class Rate(msgspec.Struct, frozen=True):
    """At most (or at least) so many within so many seconds."""

    count: int
    seconds: float


class Policy(msgspec.Struct, frozen=True):
    """What an alert that satisfies every matcher asks for."""

    name: str
    match: tuple[Matcher, ...]
    match_annotations: tuple[Matcher, ...] = ()
    action: Wish = Wish.OFFLINE
    host_label: str = ""  # empty: the alert's host is not looked at
    group_label: str = "group"
    interface_label: str = "interface"
    delay: float = 0.0  # the alert must have been open for so long
    threshold: Rate | None = None  # so many alerts of this policy for the interface
    hold_down: float | None = None  # None: that of the file
    max_alert_age: float | None = None
    approval: bool = False
    help_within: float = 900.0  # 0: not looked at
    on_no_help: OnNoHelp = OnNoHelp.ESCALATE

    def matches(self, labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
        """Tell whether every matcher is satisfied."""
        return all(m.matches(labels) for m in self.match) and all(
            m.matches(annotations) for m in self.match_annotations
        )


class Storm(msgspec.Struct, frozen=True):
    """So many alerts at once are no matter of one interface: nothing more is drained."""

    alerts: int
    within: float
    calm: float  # ends when fewer than half as many have come within this time


class Breaker(msgspec.Struct, frozen=True):
    """After so many failures of our own in a row nothing is drained for a while."""

    failures: int
    retry_after: float


class Limits(msgspec.Struct, frozen=True):
    """How much may be done; None where there is no limit."""

    min_usable: int = 1
    drained_group: int | None = 1
    drained_host: int | None = 2
    cooldown: float = 300.0
    rate_interface: Rate | None = Rate(3, 86400.0)
    rate_group: Rate | None = Rate(4, 3600.0)
    rate_host: Rate | None = Rate(6, 3600.0)
    loop_guard: float = 60.0
    storm: Storm | None = Storm(10, 300.0, 600.0)
    breaker: Breaker | None = Breaker(3, 900.0)


class Window(msgspec.Struct, frozen=True):
    """A time of the week in which nothing is changed; minutes are counted from midnight."""

    name: str
    days: frozenset[int]  # on which it begins; Monday is 0
    begin: int
    end: int  # not after `begin`: it ends on the next day
    zone: ZoneInfo
    groups: frozenset[str] = frozenset()  # none: all


class Pause(msgspec.Struct, frozen=True):
    """Remediation is paused by the policy file."""

    reason: str
    until: float | None = None  # Unix seconds


class Signature(msgspec.Struct, frozen=True):
    """A keyed hash of the body, as Grafana sends it."""

    secret_file: Path
    header: str = "X-Grafana-Alerting-Signature"
    timestamp_header: str = "X-Grafana-Alerting-Timestamp"
    window: float = 300.0


class Tls(ServerTls, frozen=True):
    """HTTPS; with a client CA, clients must show a certificate."""

    client_allowed_sans: frozenset[str] = frozenset()  # none: any that the CA has signed


class Config(msgspec.Struct, frozen=True):
    """A checked policy file."""

    policies: tuple[Policy, ...]
    allow: frozenset[tuple[str, str]]  # (group, interface) pairs that may be touched
    authentication: Authentication
    token_file: Path | None = None
    basic_auth_users: dict[str, str] = {}  # name -> bcrypt hash
    signature: Signature | None = None
    tls: Tls | None = None
    dry_run: bool = True
    pause: Pause | None = None
    host_names: frozenset[str] = frozenset()
    max_alert_age: float = 3600.0
    hold_down: float = 0.0
    max_pending: int = 1000
    limits: Limits = Limits()
    maintenance: tuple[Window, ...] = ()
    fleet_file: Path | None = None  # where the fleet's budget is asked for

    def policy_for(
        self, labels: Mapping[str, str], annotations: Mapping[str, str]
    ) -> Policy | None:
        """Return the first policy that matches, or None."""
        return next((p for p in self.policies if p.matches(labels, annotations)), None)

    def policy(self, name: str) -> Policy | None:
        """Return the policy of this name, or None: the file may have changed."""
        return next((p for p in self.policies if p.name == name), None)

    @property
    def groups(self) -> frozenset[str]:
        """The groups that `[allow]` names."""
        return frozenset(group for group, _ in self.allow)


def lookback(config: Config) -> float:
    """Return how many seconds of new alerts threshold and storm stop look at."""
    storm = config.limits.storm
    times = [policy.threshold.seconds for policy in config.policies if policy.threshold]
    return max([*times, storm.within if storm else 0.0])
