"""The ini dialect that NetworkManager and systemd share: sections, keys, comments; keys repeat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

TRUE = frozenset({"yes", "true", "on", "1", "y", "t"})


class Entry(NamedTuple):
    """One assignment; a key may end in + or - (NetworkManager's list operators)."""

    section: str
    key: str
    value: str


def entries(text: str) -> Iterator[Entry]:
    """Yield the assignments in order; a line that is none is left out, as its program does."""
    section = ""
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif line and line[0] not in "#;" and "=" in line:
            key, _, value = line.partition("=")
            yield Entry(section, key.strip(), value.strip())


def last(found: Iterable[Entry], section: str, key: str) -> str | None:
    """Return the value that counts, None where there is none."""
    value = None
    for entry in found:
        if (entry.section, entry.key) == (section, key):
            value = entry.value
    return value


def listed(found: Iterable[Entry], section: str, key: str) -> list[str]:
    """Return the words of a systemd list: assignments add up, an empty one starts anew."""
    words: list[str] = []
    for entry in found:
        if (entry.section, entry.key) == (section, key):
            words = words + entry.value.split() if entry.value else []
    return words


def is_true(value: str | None, default: bool) -> bool:
    """Read a switch as systemd and GLib do."""
    return default if value is None else value.lower() in TRUE
