"""Writes drop-ins: never over a file that is not ours, and whole or not at all."""

from __future__ import annotations

import os
from enum import StrEnum

from ipmp.preflight.finding import DropIn
from ipmp.preflight.root import Root

MARK = "# Written by `ipmp check --write`; it may be overwritten by it.\n"


class Outcome(StrEnum):
    """What became of a drop-in."""

    WRITTEN = "written"
    THERE = "there"  # the same content is there already
    FOREIGN = "foreign"  # a file of that name is not ours


def write(root: Root, dropin: DropIn) -> Outcome:
    """Write one drop-in below the root; raises OSError."""
    content = MARK + dropin.content
    path = root.place(dropin.path)
    present = root.text(dropin.path)
    if present == content:
        return Outcome.THERE
    if path is None or (path.exists() and not (present or "").startswith(MARK)):
        return Outcome.FOREIGN
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    temporary.replace(path)
    return Outcome.WRITTEN
