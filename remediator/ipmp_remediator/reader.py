"""Read values out of a parsed TOML table: every mistake is noted with its key, all at once.

A getter returns the value, or its default after noting what is wrong; so a reader is never stopped
by the first mistake.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from ipmp_remediator.policy import Rate

LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:[0-9]+(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"([0-9]+)(ms|s|m|h|d)")
_RATE = re.compile(r"([0-9]{1,6})/([0-9a-z]+)")
_LONGEST_RATE = 7 * 86400.0  # what was done is remembered a little longer
_EXAMPLE = '"90s", "5m" or "1h30m"'

_Choice = TypeVar("_Choice", bound=StrEnum)

Table = dict[str, object]


class ConfigError(Exception):
    """The policy file is wrong; `errors` holds one sentence for each mistake."""

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(self.errors))


def parse(path: Path) -> Table:
    """Parse a TOML file; raise ConfigError when it cannot be read or is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 text"]) from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        why = str(error).splitlines()[0] if str(error) else "it is nested too deeply"
        raise ConfigError([f"{path}: not valid TOML: {_printable(why)}"]) from error


def duration(text: str) -> float | None:
    """Return the seconds of "90s", "1h30m" and the like, or None."""
    if len(text) > 20 or not text.isascii() or not _DURATION.fullmatch(text):
        return None
    return sum(int(n) * _UNITS[unit] for n, unit in _DURATION_PART.findall(text))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Reader:
    """Getters for the values of tables; `errors` is what they found wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.errors: list[str] = []

    def error(self, key: str, sentence: str) -> None:
        """Note a mistake, in one line whatever the file contains."""
        self.errors.append(f"{self.path}: {_printable(f'{key} {sentence}')}")

    def unknown_keys(self, table: Table, known: Iterable[str], at: str) -> None:
        """Note every key that is not known."""
        known = tuple(known)
        for name in table:
            if name not in known:
                self.error(f"{at}{name}", f"is not a known key; known are {', '.join(known)}")

    def table(self, table: Table, name: str, known: Iterable[str], at: str = "") -> Table:
        """Return a table inside, empty when it is absent; its keys are checked."""
        value = table.get(name, {})
        if not isinstance(value, dict):
            self.error(f"{at}{name}", f"must be a table, written as [{at}{name}]")
            return {}
        self.unknown_keys(value, known, f"{at}{name}.")
        return value

    def tables(self, table: Table, name: str) -> list[tuple[Table, str]]:
        """Return a list of tables, each with the key that names it in errors."""
        value = table.get(name, [])
        if not isinstance(value, list):
            self.error(name, f"must be a list of tables, each written as [[{name}]]")
            return []
        found: list[tuple[Table, str]] = []
        for index, item in enumerate(value, 1):
            if isinstance(item, dict):
                found.append((item, f"{name}[{index}]."))
            else:
                self.error(f"{name}[{index}]", f"must be a table, written as [[{name}]]")
        return found

    def text(self, table: Table, name: str, default: str = "", at: str = "") -> str:
        """Return a string."""
        value = table.get(name, default)
        if isinstance(value, str):
            return value
        self.error(at + name, "must be a string")
        return default

    def required(self, table: Table, name: str, at: str, why: str) -> str:
        """Return a string that must be there and not be empty."""
        value = self.text(table, name, "", at)
        if not value and isinstance(table.get(name, ""), str):
            self.error(at + name, f"is missing: {why}")
        return value

    def file(self, table: Table, name: str, at: str = "") -> Path | None:
        """Return a path, which starts at the file's directory; None when it is absent."""
        if name not in table:
            return None
        value = self.text(table, name, "", at)
        if not value:
            if isinstance(table[name], str):
                self.error(at + name, "is empty, must be the path of a file")
            return None
        return self.path.parent / value

    def texts(self, table: Table, name: str, at: str = "") -> tuple[str, ...]:
        """Return a list of strings, none of them empty."""
        value = table.get(name, [])
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            self.error(at + name, "must be a list of strings")
            return ()
        return tuple(value)

    def label(self, table: Table, name: str, default: str, at: str) -> str:
        """Return the name of a label; a default may be empty."""
        value = self.text(table, name, default, at)
        if value != default and not LABEL_NAME.fullmatch(value):
            self.error(at + name, f'"{value}" is not a label name (letters, digits and _)')
        return value

    def choice(self, table: Table, name: str, default: _Choice, at: str = "") -> _Choice:
        """Return one of the words of the default's kind."""
        kind = type(default)
        value = self.text(table, name, default, at)
        if value in tuple(kind):
            return kind(value)
        words = " or ".join(f'"{word}"' for word in kind)
        self.error(at + name, f'is "{value}", must be {words}')
        return default

    def boolean(self, table: Table, name: str, default: bool, at: str = "") -> bool:
        """Return true or false."""
        value = table.get(name, default)
        if isinstance(value, bool):
            return value
        self.error(at + name, "must be true or false")
        return default

    def whole(self, table: Table, name: str, default: int, most: int, at: str = "") -> int:
        """Return a whole number from 1 to `most`."""
        value = table.get(name, default)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
            return value
        self.error(at + name, f"must be a whole number from 1 to {most}")
        return default

    def limit(self, table: Table, name: str, default: int | None, at: str) -> int | None:
        """Return a whole number, or None for "off"."""
        if table.get(name) == "off":
            return None
        return self.whole(table, name, default or 1, 1000, at) if name in table else default

    def seconds(self, table: Table, name: str, default: float, at: str = "") -> float:
        """Return a duration in seconds."""
        value = table.get(name)
        if value is None:
            return default
        seconds = duration(value) if isinstance(value, str) else None
        if seconds is None:
            self.error(at + name, f"must be a duration with a unit, for example {_EXAMPLE}")
            return default
        return seconds

    def maybe_seconds(self, table: Table, name: str, at: str) -> float | None:
        """Return a duration in seconds, None when it is not given."""
        return self.seconds(table, name, 0.0, at) if name in table else None

    def rate(self, table: Table, name: str, default: Rate | None, at: str) -> Rate | None:
        """Return a rate such as "3/1h", or None for "off"."""
        value = table.get(name)
        if value is None or value == "off":
            return default if value is None else None
        found = _RATE.fullmatch(value) if isinstance(value, str) else None
        seconds = duration(found[2]) if found else None
        if not found or not seconds or int(found[1]) == 0 or seconds > _LONGEST_RATE:
            self.error(
                at + name,
                'must be a number and a duration of up to 7d, for example "3/1h", or "off"',
            )
            return default
        return Rate(int(found[1]), seconds)
