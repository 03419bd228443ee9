"""Read and check `remediator.toml`: strict, and every error at once, each with file and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from ipmp.client import is_device_name
from ipmp_remediator.policy import Authentication, Config, Matcher, Policy

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:[0-9]+(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"([0-9]+)(ms|s|m|h|d)")
_LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

TOP_KEYS = (
    "token_file",
    "authentication",
    "dry_run",
    "max_alert_age",
    "hold_down",
    "max_pending",
    "policy",
    "allow",
)
POLICY_KEYS = ("name", "match", "action", "group_label", "interface_label")
_MAX_PENDING = 100_000


class ConfigError(Exception):
    """The policy file is wrong; `errors` holds one sentence for each mistake."""

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(self.errors))


def load(path: Path) -> Config:
    """Read the policy file; raise ConfigError with all of its mistakes."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 text"]) from error
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        raise ConfigError([f"{path}: not valid TOML: {error}"]) from error
    reader = _Reader(path)
    config = reader.config(table)
    if reader.errors or config is None:
        raise ConfigError(reader.errors)
    return config


class _Reader:
    """Walks the parsed TOML once and collects every mistake on the way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.errors: list[str] = []

    def config(self, table: dict[str, object]) -> Config | None:
        self._unknown_keys(table, TOP_KEYS, "")
        authentication, token_file = self._authentication(table)
        policies = self._policies(table.get("policy", []))
        allow = self._allow(table.get("allow", {}))
        dry_run = self._boolean(table, "dry_run", True)
        max_alert_age = self._duration(table, "max_alert_age", 3600.0)
        hold_down = self._duration(table, "hold_down", 0.0)
        max_pending = self._integer(table, "max_pending", 1000, _MAX_PENDING)
        if max_alert_age == 0:
            self._error("max_alert_age", "must be more than 0s, or no alert would ever be acted on")
        if self.errors:
            return None
        return Config(
            policies=policies,
            allow=allow,
            authentication=authentication,
            token_file=token_file,
            dry_run=dry_run,
            max_alert_age=max_alert_age,
            hold_down=hold_down,
            max_pending=max_pending,
        )

    def _authentication(self, table: dict[str, object]) -> tuple[Authentication, Path | None]:
        wanted = self._text(table, "authentication", "bearer")
        token_file = self._text(table, "token_file", "")
        if wanted not in tuple(Authentication):
            self._error("authentication", f'is "{wanted}", must be "bearer" or "none"')
            return Authentication.BEARER, None
        authentication = Authentication(wanted)
        if authentication is Authentication.NONE:
            if token_file:
                self._error("authentication", 'is "none" although token_file is set; remove one')
            return authentication, None
        if not token_file and "token_file" not in table:
            self._error(
                "token_file",
                "is missing: name a file that holds a bearer token (or set "
                'authentication = "none", which only loopback addresses accept)',
            )
        elif not token_file and isinstance(table["token_file"], str):
            self._error("token_file", "is empty, must be the path of a file with a bearer token")
        return authentication, self._path.parent / token_file

    def _policies(self, value: object) -> tuple[Policy, ...]:
        if not isinstance(value, list):
            self._error("policy", "must be a list of tables, each written as [[policy]]")
            return ()
        if not value:
            self._error("policy", "is missing: without a [[policy]] no alert is acted on")
        policies = [self._policy(item, f"policy[{index}]") for index, item in enumerate(value, 1)]
        seen: set[str] = set()
        for index, policy in enumerate(policies, 1):
            if policy.name and policy.name in seen:
                self._error(f"policy[{index}].name", f'"{policy.name}" is used twice')
            seen.add(policy.name)
        return tuple(policies)

    def _policy(self, value: object, key: str) -> Policy:
        if not isinstance(value, dict):
            self._error(key, "must be a table, written as [[policy]]")
            return Policy(name="", match=())
        self._unknown_keys(value, POLICY_KEYS, f"{key}.")
        name = self._text(value, "name", "", key)
        if not name and isinstance(value.get("name", ""), str):
            self._error(f"{key}.name", "is missing: the name appears in log and history")
        action = self._text(value, "action", "", key)
        if action != "offline" and isinstance(value.get("action", ""), str):
            self._error(f"{key}.action", f'is "{action}", must be "offline"')
        return Policy(
            name=name,
            match=self._matchers(value.get("match"), f"{key}.match"),
            group_label=self._label(value, "group_label", "group", key),
            interface_label=self._label(value, "interface_label", "interface", key),
        )

    def _matchers(self, value: object, key: str) -> tuple[Matcher, ...]:
        if not isinstance(value, dict) or not value:
            self._error(key, "must be a table with at least one label, or every alert would match")
            return ()
        return tuple(
            matcher
            for label, wanted in value.items()
            if (matcher := self._matcher(label, wanted, f"{key}.{label}"))
        )

    def _matcher(self, label: str, wanted: object, key: str) -> Matcher | None:
        if not _LABEL_NAME.fullmatch(label):
            self._error(key, "is not a label name (letters, digits and _)")
            return None
        if isinstance(wanted, str):
            return Matcher(label, re.compile(re.escape(wanted)))
        if not isinstance(wanted, dict) or set(wanted) != {"regex"}:
            self._error(key, 'must be a string or { regex = "..." }')
            return None
        regex = wanted["regex"]
        if not isinstance(regex, str):
            self._error(f"{key}.regex", "must be a string")
            return None
        try:
            return Matcher(label, re.compile(regex))
        except (re.error, RecursionError, OverflowError) as error:
            self._error(f"{key}.regex", f"is not a regular expression: {error}")
            return None

    def _allow(self, value: object) -> frozenset[tuple[str, str]]:
        if not isinstance(value, dict):
            self._error("allow", 'must be a table: group = ["interface", ...]')
            return frozenset()
        pairs: set[tuple[str, str]] = set()
        for group, interfaces in value.items():
            key = f"allow.{group}"
            if not isinstance(interfaces, list) or not interfaces:
                self._error(key, "must be a list of interface names, at least one")
                continue
            for interface in interfaces:
                if not isinstance(interface, str) or not is_device_name(interface):
                    self._error(key, f"{interface!r} is not an interface name")
                elif (group, interface) in pairs:
                    self._error(key, f'"{interface}" is listed twice')
                else:
                    pairs.add((group, interface))
        return frozenset(pairs)

    def _text(self, table: dict[str, object], name: str, default: str, at: str = "") -> str:
        value = table.get(name, default)
        if isinstance(value, str):
            return value
        self._error(f"{at}.{name}" if at else name, "must be a string")
        return default

    def _label(self, table: dict[str, object], name: str, default: str, at: str) -> str:
        value = self._text(table, name, default, at)
        if not _LABEL_NAME.fullmatch(value):
            self._error(f"{at}.{name}", f'"{value}" is not a label name (letters, digits and _)')
        return value

    def _boolean(self, table: dict[str, object], name: str, default: bool) -> bool:
        value = table.get(name, default)
        if isinstance(value, bool):
            return value
        self._error(name, "must be true or false")
        return default

    def _integer(self, table: dict[str, object], name: str, default: int, most: int) -> int:
        value = table.get(name, default)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
            return value
        self._error(name, f"must be a whole number from 1 to {most}")
        return default

    def _duration(self, table: dict[str, object], name: str, default: float) -> float:
        value = table.get(name)
        if value is None:
            return default
        if not isinstance(value, str) or not _DURATION.fullmatch(value) or len(value) > 20:
            self._error(name, 'must be a duration with a unit, for example "90s", "5m" or "1h30m"')
            return default
        return sum(int(n) * _UNITS[unit] for n, unit in _DURATION_PART.findall(value))

    def _unknown_keys(self, table: dict[str, object], known: tuple[str, ...], at: str) -> None:
        for name in table:
            if name not in known:
                self._error(f"{at}{name}", f"is not a known key; known are {', '.join(known)}")

    def _error(self, key: str, sentence: str) -> None:
        self.errors.append(f"{self._path}: {key} {sentence}")
