"""A TOML table that is being read, and the problems found on the way."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

from ipmp.config.values import BadValue, require_type, shown

T = TypeVar("T")

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Problems:
    """Collects one sentence for each problem, with file and key in front."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def error(self, key: str, sentence: str) -> None:
        """Note what makes the configuration unusable."""
        self.errors.append(f"{self.file}: {key}: {sentence}")

    def warn(self, key: str, sentence: str) -> None:
        """Note what the operator should know, although the configuration can be used."""
        self.warnings.append(f"{self.file}: {key}: {sentence}")


def join_key(path: str, key: str) -> str:
    """Return the dotted key as TOML spells it: parts that are not bare are quoted."""
    part = key if _BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)
    return f"{path}.{part}" if path else part


class Table:
    """One table, whose values are taken by name.

    A bad value is noted and its default returned, so that reading goes on and finds the rest.
    """

    def __init__(self, problems: Problems, path: str, data: dict[str, Any]) -> None:
        self.problems = problems
        self.path = path
        self.data = data

    def allow(self, names: tuple[str, ...]) -> None:
        """Note every key that is not in `names`."""
        for key in self.data:
            if key not in names:
                self.error(key, f"unknown key; {_hint(key, names)}")

    def refuse(self, names: tuple[str, ...], sentence: str) -> None:
        """Note those keys in `names` that are there, and forget them."""
        for key in names:
            if key in self.data:
                self.error(key, sentence)
                del self.data[key]

    def key(self, name: str) -> str:
        """Return the full dotted key of `name`."""
        return join_key(self.path, name)

    def error(self, name: str, sentence: str) -> None:
        """Note a problem with the value of `name`."""
        self.problems.error(self.key(name), sentence)

    def take(self, name: str, parse: Callable[[object], T], default: T) -> T:
        """Return the parsed value of `name`; `default` if it is missing or bad."""
        if name not in self.data:
            return default
        return self.parsed(name, parse, self.data[name], default)

    def take_items(
        self, name: str, parse: Callable[[object], T], what: str, default: tuple[T, ...] = ()
    ) -> tuple[T, ...]:
        """Return the good items of the array `name`; each bad one is a problem of its own."""
        if name not in self.data:
            return default
        nothing: list[Any] = []
        items = self.take(
            name, lambda value: require_type(value, list, f"an array of {what}"), nothing
        )
        parsed = (self.parsed(name, parse, item, None) for item in items)
        return tuple(item for item in parsed if item is not None)

    def parsed(self, name: str, parse: Callable[[object], T], value: object, default: T) -> T:
        """Parse one value found under `name`; note what is wrong and return `default`."""
        try:
            return parse(value)
        except BadValue as bad:
            self.error(name, str(bad))
            return default

    def table(self, name: str) -> Table:
        """Return the table called `name`; an empty one if it is missing or no table."""
        nothing: dict[str, Any] = {}
        data = self.take(name, lambda value: require_type(value, dict, "a table"), nothing)
        return Table(self.problems, self.key(name), data)


def _hint(key: str, names: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(key[:40].lower(), names, n=1)
    if close:
        return f"did you mean {shown(close[0])}?"
    return f"allowed: {', '.join(names)}"
