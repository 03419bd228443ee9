"""Read and check `remediator.toml`: strict, and every error at once, each with file and key."""

from __future__ import annotations

import re
import warnings
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ipmp.client import is_device_name
from ipmp_remediator.access_config import ACCESS_KEYS, Access, read_access
from ipmp_remediator.policy import (
    Breaker,
    Config,
    Limits,
    Matcher,
    OnNoHelp,
    Pause,
    Policy,
    Storm,
    Window,
    Wish,
)
from ipmp_remediator.reader import LABEL_NAME, ConfigError, Reader, Table, parse

TOP_KEYS = (
    *ACCESS_KEYS,
    "dry_run",
    "pause",
    "host_names",
    "max_alert_age",
    "hold_down",
    "max_pending",
    "policy",
    "allow",
    "limits",
    "maintenance",
    "fleet_file",
)
POLICY_KEYS = (
    "name",
    "match",
    "match_annotations",
    "action",
    "host_label",
    "group_label",
    "interface_label",
    "delay",
    "threshold",
    "hold_down",
    "max_alert_age",
    "approval",
    "help_within",
    "on_no_help",
)
LIMIT_KEYS = (
    "min_usable",
    "drained_group",
    "drained_host",
    "cooldown",
    "rate_interface",
    "rate_group",
    "rate_host",
    "loop_guard",
    "storm",
    "breaker",
)
WINDOW_KEYS = ("name", "days", "from", "to", "timezone", "groups")
PAUSE_KEYS = ("reason", "until")
_STORM_KEYS = ("alerts", "within", "calm")
_BREAKER_KEYS = ("failures", "retry_after")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_MAX_PENDING = 100_000


def load(path: Path) -> Config:
    """Read the policy file; raise ConfigError with all of its mistakes."""
    table = parse(path)
    reader = Reader(path)
    access = read_access(reader, table)
    config = _config(reader, table, access)
    if reader.errors:
        raise ConfigError(reader.errors)
    return config


def _config(reader: Reader, table: Table, access: Access) -> Config:
    reader.unknown_keys(table, TOP_KEYS, "")
    max_alert_age = reader.seconds(table, "max_alert_age", 3600.0)
    if max_alert_age == 0:
        reader.error("max_alert_age", "must be more than 0s, or no alert would ever be acted on")
    policies = _policies(reader, table)
    host_names = frozenset(reader.texts(table, "host_names"))
    for policy, at in zip(policies, _keys(reader, table), strict=False):
        if policy.host_label and not host_names:
            reader.error(f"{at}host_label", "needs host_names: what this host is called in alerts")
    return Config(
        policies=policies,
        allow=_allow(reader, table),
        authentication=access.authentication,
        token_file=access.token_file,
        basic_auth_users=access.basic_auth_users,
        signature=access.signature,
        tls=access.tls,
        dry_run=reader.boolean(table, "dry_run", True),
        pause=_pause(reader, table),
        host_names=host_names,
        max_alert_age=max_alert_age,
        hold_down=reader.seconds(table, "hold_down", 0.0),
        max_pending=reader.whole(table, "max_pending", 1000, _MAX_PENDING),
        limits=_limits(reader, table),
        maintenance=tuple(_window(reader, t, at) for t, at in reader.tables(table, "maintenance")),
        fleet_file=reader.file(table, "fleet_file"),
    )


def _keys(reader: Reader, table: Table) -> list[str]:
    value = table.get("policy")
    return [f"policy[{i}]." for i in range(1, len(value) + 1)] if isinstance(value, list) else []


def _policies(reader: Reader, table: Table) -> tuple[Policy, ...]:
    if not table.get("policy", []):
        reader.error("policy", "is missing: without a [[policy]] no alert is acted on")
        return ()
    seen: set[str] = set()
    policies = []
    for item, at in reader.tables(table, "policy"):
        policy = _policy(reader, item, at)
        if policy.name and policy.name in seen:
            reader.error(f"{at}name", f'"{policy.name}" is used twice')
        seen.add(policy.name)
        policies.append(policy)
    return tuple(policies)


def _policy(reader: Reader, table: Table, at: str) -> Policy:
    reader.unknown_keys(table, POLICY_KEYS, at)
    name = reader.required(table, "name", at, "the name appears in log and history")
    action = Wish.OFFLINE
    if "action" in table:
        action = reader.choice(table, "action", Wish.OFFLINE, at)
    else:
        reader.error(f"{at}action", f"is missing: one of {', '.join(Wish)}")
    match = _matchers(reader, table.get("match"), f"{at}match")
    annotations: tuple[Matcher, ...] = ()
    if "match_annotations" in table:
        annotations = _matchers(reader, table["match_annotations"], f"{at}match_annotations")
    return Policy(
        name=name,
        match=match,
        match_annotations=annotations,
        action=action,
        host_label=reader.label(table, "host_label", "", at),
        group_label=reader.label(table, "group_label", "group", at),
        interface_label=reader.label(table, "interface_label", "interface", at),
        delay=reader.seconds(table, "delay", 0.0, at),
        threshold=reader.rate(table, "threshold", None, at),
        hold_down=reader.maybe_seconds(table, "hold_down", at),
        max_alert_age=reader.maybe_seconds(table, "max_alert_age", at),
        approval=reader.boolean(table, "approval", False, at),
        help_within=reader.seconds(table, "help_within", 900.0, at),
        on_no_help=reader.choice(table, "on_no_help", OnNoHelp.ESCALATE, at),
    )


def _matchers(reader: Reader, value: object, key: str) -> tuple[Matcher, ...]:
    if not isinstance(value, dict) or not value:
        reader.error(key, "must be a table with at least one label, or every alert would match")
        return ()
    found = (_matcher(reader, name, wanted, f"{key}.{name}") for name, wanted in value.items())
    return tuple(matcher for matcher in found if matcher)


def _matcher(reader: Reader, name: str, wanted: object, key: str) -> Matcher | None:
    if not LABEL_NAME.fullmatch(name):
        reader.error(key, "is not a label name (letters, digits and _)")
        return None
    if isinstance(wanted, str):
        return Matcher(name, re.compile(re.escape(wanted)))
    if not isinstance(wanted, dict) or set(wanted) != {"regex"}:
        reader.error(key, 'must be a string or { regex = "..." }')
        return None
    regex = wanted["regex"]
    if not isinstance(regex, str):
        reader.error(f"{key}.regex", "must be a string")
        return None
    try:
        with warnings.catch_warnings():  # "[[a]" is odd, but means what it says
            warnings.simplefilter("ignore", FutureWarning)
            return Matcher(name, re.compile(regex))
    except (re.error, RecursionError, OverflowError) as error:
        why = str(error).splitlines()[0] if str(error) else "it is nested too deeply"
        reader.error(f"{key}.regex", f"is not a regular expression: {why}")
        return None


def _allow(reader: Reader, table: Table) -> frozenset[tuple[str, str]]:
    value = table.get("allow", {})
    if not isinstance(value, dict):
        reader.error("allow", 'must be a table: group = ["interface", ...]')
        return frozenset()
    pairs: set[tuple[str, str]] = set()
    for group, interfaces in value.items():
        key = f"allow.{group}"
        if not isinstance(interfaces, list) or not interfaces:
            reader.error(key, "must be a list of interface names, at least one")
            continue
        for interface in interfaces:
            if not isinstance(interface, str) or not is_device_name(interface):
                reader.error(key, f"{interface!r} is not an interface name")
            elif (group, interface) in pairs:
                reader.error(key, f'"{interface}" is listed twice')
            else:
                pairs.add((group, interface))
    return frozenset(pairs)


def _limits(reader: Reader, table: Table) -> Limits:
    limits, default = reader.table(table, "limits", LIMIT_KEYS), Limits()
    at = "limits."
    storm: Storm | None = Storm(10, 300.0, 600.0)
    if limits.get("storm") == "off":
        storm = None
    elif "storm" in limits:
        values = reader.table(limits, "storm", _STORM_KEYS, at)
        storm = Storm(
            alerts=reader.whole(values, "alerts", 10, 100_000, "limits.storm."),
            within=reader.seconds(values, "within", 300.0, "limits.storm."),
            calm=reader.seconds(values, "calm", 600.0, "limits.storm."),
        )
    breaker: Breaker | None = Breaker(3, 900.0)
    if limits.get("breaker") == "off":
        breaker = None
    elif "breaker" in limits:
        values = reader.table(limits, "breaker", _BREAKER_KEYS, at)
        breaker = Breaker(
            failures=reader.whole(values, "failures", 3, 1000, "limits.breaker."),
            retry_after=reader.seconds(values, "retry_after", 900.0, "limits.breaker."),
        )
    return Limits(
        min_usable=reader.whole(limits, "min_usable", 1, 1000, at),
        drained_group=reader.limit(limits, "drained_group", default.drained_group, at),
        drained_host=reader.limit(limits, "drained_host", default.drained_host, at),
        cooldown=reader.seconds(limits, "cooldown", default.cooldown, at),
        rate_interface=reader.rate(limits, "rate_interface", default.rate_interface, at),
        rate_group=reader.rate(limits, "rate_group", default.rate_group, at),
        rate_host=reader.rate(limits, "rate_host", default.rate_host, at),
        loop_guard=reader.seconds(limits, "loop_guard", default.loop_guard, at),
        storm=storm,
        breaker=breaker,
    )


def _window(reader: Reader, table: Table, at: str) -> Window:
    reader.unknown_keys(table, WINDOW_KEYS, at)
    name = reader.required(table, "name", at, "the name appears in what is refused")
    days = reader.texts(table, "days", at) or _DAYS
    for day in days:
        if day not in _DAYS:
            reader.error(f"{at}days", f'"{day}" is not one of {", ".join(_DAYS)}')
    timezone = reader.text(table, "timezone", "UTC", at)
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        reader.error(f"{at}timezone", f'"{timezone}" is not a time zone such as "Europe/Berlin"')
        zone = ZoneInfo("UTC")
    return Window(
        name=name,
        days=frozenset(_DAYS.index(day) for day in days if day in _DAYS),
        begin=_minutes(reader, table, "from", at),
        end=_minutes(reader, table, "to", at),
        zone=zone,
        groups=frozenset(reader.texts(table, "groups", at)),
    )


def _minutes(reader: Reader, table: Table, name: str, at: str) -> int:
    value = table.get(name)
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if not found:
        reader.error(at + name, 'must be a time of day such as "22:30"')
        return 0
    return int(found[1]) * 60 + int(found[2])


def _pause(reader: Reader, table: Table) -> Pause | None:
    if "pause" not in table:
        return None
    values = reader.table(table, "pause", PAUSE_KEYS)
    reason = reader.required(values, "reason", "pause.", "say why, for whoever finds it later")
    until = values.get("until")
    if until is None:
        return Pause(reason)
    if not isinstance(until, datetime) or until.tzinfo is None:
        reader.error("pause.until", "must be a date and time with offset: 2026-11-24T18:00:00Z")
        return Pause(reason)
    return Pause(reason, until.timestamp())
