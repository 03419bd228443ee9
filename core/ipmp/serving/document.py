"""Read a TOML file into a frozen struct: strict, with every mistake at once.

The struct is the schema: its types and `msgspec.Meta` limits are what the file may say. A `Path`
starts at the file's directory, a `Duration` is written with a unit ("90s", "1h30m").
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:ms|s|m|h|d)){1,5}")
_DURATION_PART = re.compile(r"([0-9]+)(ms|s|m|h|d)")

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class DocumentError(Exception):
    """The file is wrong; `errors` holds one sentence for each mistake."""

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(self.errors))


class Duration(float):
    """Seconds; written as a number with a unit."""


def read(path: Path, kind: type[_Struct]) -> _Struct:
    """Return the file's content; raise DocumentError with all of its mistakes."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DocumentError([f"cannot read {path}: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise DocumentError([f"{path}: not UTF-8 text"]) from error
    except (ValueError, RecursionError) as error:
        why = str(error).splitlines()[0] if str(error) else "it is nested too deeply"
        raise DocumentError([f"{path}: not valid TOML: {why}"]) from error
    walker = _Walker(path)
    document = walker.struct(table, kind, "")
    if walker.errors:
        raise DocumentError(walker.errors)
    return msgspec.convert(document, kind)


class _Walker:
    """Converts value by value, so that one mistake does not hide the next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.errors: list[str] = []

    def struct(self, table: dict[str, Any], kind: type[msgspec.Struct], at: str) -> dict[str, Any]:
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        found: dict[str, Any] = {}
        for name, value in table.items():
            if name not in fields:
                self._error(f"{at}{name}", f"is not a known key; known are {', '.join(fields)}")
                continue
            inner = _struct_in(fields[name].type)
            if inner and isinstance(value, dict):
                found[name] = msgspec.convert(
                    self.struct(value, inner, f"{at}{name}."), dict[str, Any]
                )
            else:
                self._value(found, name, value, fields[name].type, at)
        for name, field in fields.items():
            if field.required and name not in table:
                self._error(f"{at}{name}", "is missing")
        return found

    def _value(self, found: dict[str, Any], name: str, value: Any, kind: Any, at: str) -> None:
        try:
            found[name] = msgspec.convert(value, kind, dec_hook=self._hook)
        except msgspec.ValidationError as error:
            text, _, where = str(error).partition(" - at `$")
            inside = where.rstrip("`")
            self._error(f"{at}{name}{inside}", f"is wrong: {text[:1].lower()}{text[1:]}")

    def _hook(self, kind: type, value: Any) -> Any:
        if kind is Path:
            if not isinstance(value, str) or not value:
                raise ValueError("must be the path of a file")
            return self._path.parent / value
        if kind is Duration:
            if not isinstance(value, str) or not _DURATION.fullmatch(value):
                raise ValueError('must be a duration with a unit, for example "90s"')
            return Duration(sum(int(n) * _UNITS[u] for n, u in _DURATION_PART.findall(value)))
        raise TypeError(f"a schema cannot hold {kind}")

    def _error(self, key: str, sentence: str) -> None:
        self.errors.append(f"{self._path}: {key} {sentence}")


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """Return the struct that a field holds, also where it may be None."""
    for candidate in (kind, *get_args(kind)):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None
