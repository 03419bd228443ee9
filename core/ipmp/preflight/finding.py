"""What the preflight finds."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """How a finding is meant; the words that `ipmp check` prints."""

    WRONG = "wrong"  # it will take addresses away, put them back, or keep them from moving
    NOTE = "note"  # worth knowing


class DropIn(msgspec.Struct, frozen=True):
    """A file of our own that changes another program's mind."""

    path: str  # below the root that was looked at
    content: str


class Finding(msgspec.Struct, frozen=True):
    """One clear sentence, and what to do about it."""

    verdict: Verdict
    text: str
    dropins: tuple[DropIn, ...] = ()
    reload: tuple[str, ...] = ()  # commands that put the drop-ins into force
    blocked: str = ""  # why they must not be written yet


class Member(msgspec.Struct, frozen=True):
    """A member of a group, by what configuration of others can match it."""

    name: str
    ifindex: int = 0  # 0: not there
    hwaddr: str = ""
    declared: bool = True  # its group lists data addresses in ipmp.toml


def wrong(text: str, *dropins: DropIn, reload: tuple[str, ...] = (), blocked: str = "") -> Finding:
    """Return a finding that must be mended."""
    return Finding(Verdict.WRONG, text, dropins, reload, blocked)


def note(text: str) -> Finding:
    """Return a finding that is only worth knowing."""
    return Finding(Verdict.NOTE, text)


def undeclared(names: list[str], members: Sequence[Member]) -> str:
    """Why a program that configures these members may not be told to leave them alone yet."""
    if all(member.declared for member in members if member.name in names):
        return ""
    return (
        "list the data addresses of the group in ipmp.toml first, because after the next boot "
        "nobody else would configure them"
    )


def listing(names: list[str]) -> str:
    """Join names as a sentence does: "ni0", "ni0 and ni1", "ni0, ni1 and ni2"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
