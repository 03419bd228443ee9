"""What is done to whom and when: a pure function of the seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Deed(StrEnum):
    """What can be done."""

    KILL = "kill"  # kill -9, started again after a while
    PAUSE = "pause"  # SIGSTOP, SIGCONT after a while
    PULL = "pull"  # of a cable, plugged in again after a while


class Blow(msgspec.Struct, frozen=True):
    """One of them, with its end."""

    at: float  # seconds after the beginning
    end: float
    deed: Deed
    victim: str  # "mpathd db1", "alertmanager 0", "cable db2/ni1" ...


# How often each kind is hit. A remediator takes no slot in the first ten seconds of its life.
WEIGHTS = {
    "mpathd": 3.0,
    "remediator": 2.5,
    "route": 2.0,
    "fleetlock": 2.0,
    "alertmanager": 1.5,
    "etcd": 1.0,
    "cable": 0.7,
}
# Of these one at a time, and not the next one before the last has heard from its peer again:
# a notification that both have forgotten is not told to be resolved.
PAIRED = "alertmanager"
PAIR_GRACE = 6.0
GRACE = 3.0  # seconds that every victim has between two blows


def kind(victim: str) -> str:
    """Return which kind of part it is."""
    return victim.partition(" ")[0]


def blows(seed: int, seconds: float, victims: Sequence[str]) -> list[Blow]:
    """Make a plan; the last blow has ended when the seconds are over."""
    rolls = random.Random(f"{seed}/blows")
    free: dict[str, float] = {}
    planned = []
    at = 1.0
    while True:
        at += rolls.uniform(0.3, 2.0)
        chosen = rolls.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        victim = rolls.choice([name for name in victims if kind(name) == chosen])
        deed = Deed.PAUSE if rolls.random() < 0.3 else Deed.KILL
        deed = Deed.PULL if chosen == "cable" else deed
        end = at + rolls.uniform(0.1, 4.0)
        if end > seconds:
            return planned
        turn = _turn(victim)
        if free.get(turn, 0.0) > at:
            continue
        free[turn] = end + (PAIR_GRACE if chosen == PAIRED else GRACE)
        planned.append(Blow(at, end, deed, victim))


def _turn(victim: str) -> str:
    """Whatever has the same turn is not hit at once: both cables of a host, the pair."""
    return PAIRED if kind(victim) == PAIRED else victim.partition("/")[0]
