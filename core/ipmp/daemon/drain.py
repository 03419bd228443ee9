"""When may the copies on the old members of planned moves be deleted?

When the new member has announced every address and nothing unicast has arrived on the old one for a
while, or when a stated limit has passed (linux-peers 2.4; DESIGN 4, "a drain is done when it is
verified"). Time and counts come in, verdicts go out.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from enum import Enum

from ipmp.decision import Decision, Kind, Reason
from ipmp.kernel.protocol import QuietCounter

#: Silence that counts as quiet, the limit, and how often to look, in seconds.
QUIET_SECONDS = 0.06
LIMIT_SECONDS = 2.0
POLL_SECONDS = 0.02

Leaving = Mapping[str, str]  # address -> the member that it goes to


class Verdict(Enum):
    """What a drain amounts to now."""

    WAITING = "waiting"
    QUIET = "quiet"
    STILL_RECEIVING = "still-receiving"


class Drain:
    """Addresses that have a copy elsewhere and are about to leave one member."""

    def __init__(self, leaving: Leaving, counter: QuietCounter | None) -> None:
        self.leaving = leaving
        self.verdict = Verdict.WAITING
        self._counter = counter
        self._announced_at: float | None = None
        self._heard_at = 0.0

    def look(self, announced: Container[tuple[str, str]], now: float) -> None:
        """Judge anew; the clock of silence starts when everything has been announced."""
        if self.verdict is not Verdict.WAITING:
            return
        if self._announced_at is None and not all(w in announced for w in self.leaving.items()):
            return
        arrived = self._counter.arrived() if self._counter is not None else 0
        if self._announced_at is None:
            self._announced_at = self._heard_at = now
        elif arrived:
            self._heard_at = now
        if now - self._heard_at >= QUIET_SECONDS:
            self.verdict = Verdict.QUIET
        elif now - self._announced_at >= LIMIT_SECONDS:
            self.verdict = Verdict.STILL_RECEIVING

    def close(self) -> None:
        """Stop counting."""
        if self._counter is not None:
            self._counter.close()


class Drains:
    """The drains of one group, by the member that is left."""

    def __init__(self, count: Callable[[str, frozenset[str]], QuietCounter]) -> None:
        self._count = count
        self._open: dict[str, Drain] = {}
        self._last: dict[str, Verdict] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def judged(self) -> set[str]:
        """Members from which the copies may be deleted."""
        return {m for m, drain in self._open.items() if drain.verdict is not Verdict.WAITING}

    def anew(self, member: str) -> None:
        """A copy has come to a member: what was judged there before is no verdict on it."""
        drain = self._open.get(member)
        if drain is not None and drain.verdict is not Verdict.WAITING:
            self._open[member] = self._start(member, drain.leaving)
            drain.close()

    def update(self, leaving: Mapping[str, Leaving]) -> dict[str, Verdict]:
        """Say what every working member holds for others; returns how drains ended."""
        ended: dict[str, Verdict] = {}
        for member in [m for m in self._open if m not in leaving]:
            over = self._open.pop(member)
            over.close()
            ended[member] = over.verdict
        for member, addresses in leaving.items():
            drain = self._open.get(member)
            if drain is not None:
                judged = drain.verdict is not Verdict.WAITING
                if addresses == drain.leaving or (
                    judged and addresses.items() <= drain.leaving.items()
                ):
                    continue
                drain.close()  # it would wait for what has been turned back
            self._open[member] = self._start(member, addresses)
        self._last |= ended
        return ended

    def look(self, announced: Container[tuple[str, str]], now: float) -> bool:
        """Judge all; True when there is a new verdict."""
        before = self.judged
        for drain in self._open.values():
            drain.look(announced, now)
        return self.judged != before

    def verdict(self, member: str) -> Verdict | None:
        """How the last drain of a member ended."""
        return self._last.get(member)

    def close(self) -> None:
        """Stop all counting."""
        self.update({})

    def _start(self, member: str, leaving: Leaving) -> Drain:
        self._last.pop(member, None)
        try:
            counter = self._count(member, frozenset(leaving))
        except OSError:
            counter = None  # the member has just vanished: nothing arrives there
        return Drain(leaving, counter)


def drained(
    group: str, ended: Mapping[str, Verdict], offline: Callable[[str], bool]
) -> Iterator[Decision]:
    """Whether it is safe to pull those of the members that have been taken offline."""
    for member, verdict in ended.items():
        if not offline(member):
            continue
        if verdict is Verdict.QUIET:
            yield Decision(Kind.DRAINED, Reason.QUIET, group, interface=member)
        elif verdict is Verdict.STILL_RECEIVING:
            detail: dict[str, str | int | float] = {"seconds": round(LIMIT_SECONDS)}
            reason = Reason.STILL_RECEIVING
            yield Decision(Kind.DRAINED, reason, group, interface=member, detail=detail)
