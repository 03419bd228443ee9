"""What a scrape asks for in its query and its headers: which collectors, which names, how long.

`collect[]` and `exclude[]` are node_exporter's, `name[]` is the client library's. What cannot be
meant is refused: a misspelt parameter that is ignored would bring everything, day after day.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
from multidict import MultiMapping

from ipmp_exporter.collectors import DEFAULT
from ipmp_exporter.collectors.family import Subject

MAX_NAMES = 100  # of `name[]`; each is looked for in every family

DEADLINE = 5.0  # seconds, when the scraper does not say how long it waits
LONGEST_DEADLINE = 60.0
SCRAPE_OFFSET = 0.5  # seconds kept for rendering and the way back


class SelectionError(Exception):
    """The query asks for what there is not; one sentence says what."""


class Selection(msgspec.Struct, frozen=True):
    """What one scrape brings: these subjects, and of them these names (none: all)."""

    subjects: Sequence[Subject] = DEFAULT
    names: Sequence[str] = ()

    @property
    def key(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The same for two that bring the same."""
        return tuple(subject.name for subject in self.subjects), tuple(self.names)


def select(query: MultiMapping[str], subjects: Sequence[Subject]) -> Selection:
    """Return what a query asks for, out of the subjects that are switched on.

    Raises SelectionError.
    """
    unknown = query.keys() - {"collect[]", "exclude[]", "name[]"}
    if unknown:
        raise SelectionError(
            f"there is no parameter {min(unknown)!r}; there are collect[], exclude[] and name[]"
        )
    collect, exclude = query.getall("collect[]", []), query.getall("exclude[]", [])
    if collect and exclude:
        raise SelectionError("collect[] and exclude[] cannot be combined")
    names = query.getall("name[]", [])
    if len(names) > MAX_NAMES:
        raise SelectionError(f"at most {MAX_NAMES} names can be asked for at a time")
    known = {subject.name for subject in subjects}
    for name in (*collect, *exclude):
        if name not in known:
            raise SelectionError(
                f"there is no collector {name!r} switched on; there are {', '.join(sorted(known))}"
            )
    chosen = [s for s in subjects if (s.name in collect if collect else s.name not in exclude)]
    return Selection(chosen, names)


def deadline(header: str) -> float:
    """Return how long an answer may take: a little less than the scraper is willing to wait.

    `header` is X-Prometheus-Scrape-Timeout-Seconds, or nothing; what is no time is ignored.
    """
    try:
        timeout = float(header)
    except ValueError:
        return DEADLINE
    if not (math.isfinite(timeout) and timeout > 0):
        return DEADLINE
    return min(max(timeout - SCRAPE_OFFSET, timeout / 2), LONGEST_DEADLINE)
