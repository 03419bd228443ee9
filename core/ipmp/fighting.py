"""When another program undoes what was put right, again and again: how often to repair. Pure.

The first repair is made at once. The next one of the same thing waits 0.1 s, then twice as long
each time, up to a minute, so that no program can make us write and announce without end. A repair
that has held for a second was worth it: after that, the wait begins at 0.1 s again. Four repairs
without a minute of calm in between are a fight, which is told once a member; so is its end.

A repair is a decision of one of the kinds in `REPAIRS`; what is repaired is known by the step that
does it (`plan.identity`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ipmp.decision import Decision, Kind, Reason
from ipmp.model import Fight

FIRST_SECONDS = 0.1  # from one repair to the next
LONGEST_SECONDS = 60.0
HELD_SECONDS = 1.0  # a repair that has held so long was not in vain
CALM_SECONDS = 60.0  # without a repair: the fight is over
ENOUGH = 4  # repairs that make a fight

#: What was put right, and how the fight about it is called.
REPAIRS = {
    Kind.ADDRESS_RESTORED: Reason.REMOVED,
    Kind.ADDRESS_REMOVED: Reason.DUPLICATED,
    Kind.ROUTE_RESTORED: Reason.REROUTED,
}

Identity = tuple[str, str]  # what `plan.identity` makes of the step that repairs


class _Thing(msgspec.Struct):
    """What has been repaired lately."""

    repair: Decision  # the last one
    since: float
    last: float
    count: int = 1
    delay: float = FIRST_SECONDS
    waiting: bool = True  # nobody has looked since the wait was over
    told: bool = False

    @property
    def until(self) -> float:
        """When it may be repaired again."""
        return self.last + self.delay


def is_repair(decision: Decision) -> bool:
    """Whether it tells of a repair, of which `Fights.note` wants to know."""
    return decision.kind in REPAIRS


class Fights:
    """The repairs of one group. `now` is monotonic time, in seconds."""

    def __init__(self) -> None:
        self._things: dict[Identity, _Thing] = {}

    def note(self, what: Identity, decision: Decision, now: float) -> None:
        """Note a repair that has been made."""
        thing = self._things.get(what)
        if thing is None or now > thing.until + CALM_SECONDS:
            self._things[what] = _Thing(decision, since=now, last=now)
            return
        in_vain = now <= thing.until + HELD_SECONDS
        thing.delay = min(2 * thing.delay, LONGEST_SECONDS) if in_vain else FIRST_SECONDS
        thing.repair, thing.last, thing.waiting = decision, now, True
        thing.count += 1

    def held(self, now: float) -> set[Identity]:
        """What must not be repaired yet; what is not held any more has been looked at by this."""
        for thing in self._things.values():
            thing.waiting = thing.until > now
        return {what for what, thing in self._things.items() if thing.waiting}

    def deadlines(self) -> Iterator[float]:
        """When a wait is over, or a fight."""
        for thing in self._things.values():
            if thing.waiting:
                yield thing.until
            elif thing.told:
                yield thing.until + CALM_SECONDS

    def news(self, group: str, now: float) -> list[Decision]:
        """Members on which a fight has begun, or the last one has ended, since the last call."""
        before = self._contested()
        begun = [t for t in self._things.values() if t.count >= ENOUGH and not t.told]
        for thing in begun:
            thing.told = True
        over = {w: t for w, t in self._things.items() if now >= t.until + CALM_SECONDS}
        for what in over:
            del self._things[what]
        ended = [thing for thing in over.values() if thing.told]
        after = self._contested()
        return [
            *_told(group, (t for t in begun if t.repair.interface not in before), ended=False),
            *_told(group, (t for t in ended if t.repair.interface not in after), ended=True),
        ]

    def _contested(self) -> set[str]:
        """Members on which a fight goes on."""
        return {thing.repair.interface for thing in self._things.values() if thing.told}

    def current(self, group: str) -> tuple[Fight, ...]:
        """The fights that have been told and are not over."""
        return tuple(
            Fight(
                subject=_subject(thing),
                interface=thing.repair.interface,
                repairs=thing.count,
                sentence=_decision(group, [thing], ended=False).sentence(),
            )
            for thing in self._things.values()
            if thing.told
        )


def _told(group: str, things: Iterable[_Thing], *, ended: bool) -> Iterator[Decision]:
    """One decision for each member, however many addresses it is about.

    Addresses come first: routes that vanish with them are only a consequence.
    """
    together: dict[str, list[_Thing]] = {}
    for thing in sorted(things, key=lambda t: t.repair.kind is Kind.ROUTE_RESTORED):
        together.setdefault(thing.repair.interface, []).append(thing)
    return (_decision(group, fought, ended=ended) for fought in together.values())


def _decision(group: str, things: list[_Thing], *, ended: bool) -> Decision:
    first = things[0]
    others = f" and {len(things) - 1} more" if len(things) > 1 else ""
    return Decision(
        Kind.FIGHTING,
        Reason.CALM if ended else REPAIRS[first.repair.kind],
        group,
        interface=first.repair.interface,
        address=first.repair.address,
        detail={
            "name": f"{_subject(first)}{others}",
            "count": first.count,
            "seconds": round(first.last - first.since, 1),
        },
    )


def _subject(thing: _Thing) -> str:
    """The address or the route that it is about."""
    return thing.repair.address or str(thing.repair.detail.get("value", ""))
