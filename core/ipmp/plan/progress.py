"""What the kernel cannot tell a plan, and the refusals that it respects. Pure."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from typing import TypeVar

import msgspec

from ipmp.plan.steps import Step, identity

_Step = TypeVar("_Step", bound=Step)


class Progress(msgspec.Struct):
    """What the kernel cannot tell: announcements made, members gone quiet, refusals to respect."""

    announced: Container[tuple[str, str]] = frozenset()  # (key, member)
    quiet: Container[str] = frozenset()  # members on which nothing unicast arrives any more
    dead: Container[str] = frozenset()  # members without a working link: nothing to wait for
    refused: Collection[tuple[str, str]] = frozenset()  # what `identity` makes of a step


def is_refused(step: Step, progress: Progress) -> bool:
    """Invariant F; the words of a step are only made when there are any to compare with."""
    return bool(progress.refused) and identity(step) in progress.refused


def but(progress: Progress, steps: Iterable[_Step]) -> Iterable[_Step]:
    """All but the refused ones."""
    if not progress.refused:
        return steps
    return (step for step in steps if not is_refused(step, progress))
