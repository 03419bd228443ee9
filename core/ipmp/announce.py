"""When to announce which address from which member. Sans-IO: `now` in, announcements out.

Schedule and pace are those of linux-peers 2.4: gratuitous ARP at 0, 1.1, 3.1 and 5.1 s (more than
the 1 s locktime of Linux peers apart), unsolicited NA at 0, 1 and 2 s (RFC 4861 7.2.6: at most
three). Announcements of a planned move and all repeats share one pace a member: at most `rate` in
any second, because switches with ARP inspection close a port that exceeds 15. First ones go before
repeats. Urgent first ones (the old member is dead) are not paced: each waits with a dark address.

The link believes the last announcement of an address, so there is one schedule an address: a new
one, from whichever member, takes the place of the old one, and an address that its member has lost
has none.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping

import msgspec

from ipmp.world import is_ipv4

#: Seconds between an announcement and its next repeat.
PAUSES_IPV4 = (1.1, 2.0, 2.0)
PAUSES_IPV6 = (1.0, 1.0)

#: Seconds until one that could not be sent is tried again, with all its repeats.
RETRY = 0.5
FIRST, LAST = -1, len(PAUSES_IPV4)  # positions in the schedule: of that one; nothing follows

#: Seconds in which a member sends no more than its rate.
WINDOW = 1.0


class Announcement(msgspec.Struct, frozen=True):
    """Say on the link of `member` that the address is there."""

    key: str
    member: str


class _Schedule(msgspec.Struct, frozen=True, gc=False):
    """The one schedule of an address; `number` tells it from those that it replaced."""

    member: str
    number: int
    sent: bool  # its first announcement is out


_Repeat = tuple[float, str, int, int]  # due, key, schedule number, position in the schedule


class _Queue:
    """What one member still has to announce, and when it last spoke."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.spoken: deque[float] = deque(maxlen=rate)
        self.firsts: deque[tuple[str, int]] = deque()  # (key, schedule number)
        self.repeats: list[_Repeat] = []  # heap

    def free(self, now: float) -> float:
        """When the pace allows another announcement."""
        return now if len(self.spoken) < self.rate else max(now, self.spoken[0] + WINDOW)

    def ready(self, now: float) -> float | None:
        """When the next announcement may go; None when nothing waits."""
        if self.firsts:
            return self.free(now)
        return max(self.repeats[0][0], self.free(now)) if self.repeats else None


class Announcer:
    """The announcements of all members."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._schedules: dict[str, _Schedule] = {}  # by address
        self._number = 0
        self._refresh_at: float | None = None

    def __contains__(self, where: object) -> bool:
        """Whether (key, member) holds: the member was the last to announce it, and has it still."""
        key, member = where if isinstance(where, tuple) else ("", "")
        schedule = self._schedules.get(key)
        return schedule is not None and schedule.sent and schedule.member == member

    def assume(self, key: str, member: str) -> None:
        """The link knows this already: the daemon restarted and nothing has moved."""
        self._schedules.setdefault(key, _Schedule(member, 0, sent=True))

    def urgent(self, keys: Iterable[str], member: str, rate: int, now: float) -> None:
        """The caller has just sent the first ones; the repeats follow on schedule."""
        queue = self._queue(member, rate)
        for key in keys:
            self._sent(queue, key, member, now)

    def planned(self, key: str, member: str, rate: int) -> None:
        """Queue the first one; it goes as soon as the member's pace allows."""
        schedule = self._schedules.get(key)
        if schedule is None or schedule.member != member:
            number = self._schedule(key, member, sent=False)
            self._queue(member, rate).firsts.append((key, number))

    def failed(self, key: str, member: str, now: float) -> None:
        """What was taken last could not be sent: begin anew in a while."""
        schedule = self._schedules.get(key)
        if schedule is not None and schedule.member == member:
            number = self._schedule(key, member, sent=False)
            heapq.heappush(self._queues[member].repeats, (now + RETRY, key, number, FIRST))

    def withdraw(self, gone: Iterable[tuple[str, str]]) -> None:
        """Of each (key, member), the member has lost it: what was still to be sent is cancelled."""
        for key, member in gone:
            schedule = self._schedules.get(key)
            if schedule is not None and schedule.member == member:
                del self._schedules[key]

    def forget(self, key: str) -> None:
        """The address is not one of ours any more."""
        self._schedules.pop(key, None)

    def silence(self, member: str) -> None:
        """The member is not what it was: whatever it has must be announced anew."""
        self._queues.pop(member, None)
        self._schedules = {k: s for k, s in self._schedules.items() if s.member != member}

    def check(self, held: Mapping[str, Container[str]]) -> None:
        """Withdraw what is still to be sent for addresses that their member has lost."""
        for member, queue in self._queues.items():
            there = held.get(member, ())
            lost = [key for key, _ in queue.firsts if key not in there]
            lost += (key for _, key, _, _ in queue.repeats if key not in there)
            self.withdraw((key, member) for key in lost)

    def refresh(self, every: float | None, rate: int, now: float) -> None:
        """Repeat all once more when that was so long ago, each in its turn; call it at each tick.

        For switches that forget a quiet host, and routers that missed all of a schedule
        (keepalived's garp_master_refresh, linux-peers 2.1). None: never.
        """
        if every is None:
            self._refresh_at = None
        elif self._refresh_at is None or self._refresh_at > now + every:
            self._refresh_at = now + every
        elif self._refresh_at <= now:
            self._refresh_at = now + every
            for key, schedule in self._schedules.items():
                if schedule.sent:
                    once = (now, key, schedule.number, LAST)
                    heapq.heappush(self._queue(schedule.member, rate).repeats, once)

    def take(self, now: float) -> Iterator[Announcement]:
        """What is to be sent now."""
        for member, queue in self._queues.items():
            while queue.free(now) <= now and (key := self._pop(queue, member, now)) is not None:
                queue.spoken.append(now)
                yield Announcement(key, member)

    def deadline(self, now: float) -> float | None:
        """When `take` is worth calling again; None when nothing waits."""
        times = [self._refresh_at, *(queue.ready(now) for queue in self._queues.values())]
        return min((t for t in times if t is not None), default=None)

    def _pop(self, queue: _Queue, member: str, now: float) -> str | None:
        while queue.firsts:
            key, number = queue.firsts.popleft()
            if self._current(key, number):
                self._sent(queue, key, member, now)
                return key
        while queue.repeats and queue.repeats[0][0] <= now:
            due, key, number, position = heapq.heappop(queue.repeats)
            if self._current(key, number):
                if position == FIRST:
                    self._sent(queue, key, member, now)
                else:
                    self._repeat(queue, key, number, position + 1, due)
                return key
        return None

    def _sent(self, queue: _Queue, key: str, member: str, now: float) -> None:
        self._repeat(queue, key, self._schedule(key, member, sent=True), 0, now)

    def _repeat(self, queue: _Queue, key: str, number: int, position: int, after: float) -> None:
        """Schedule the repeat at this position, so long after the announcement before it."""
        pauses = PAUSES_IPV4 if is_ipv4(key) else PAUSES_IPV6
        if position < len(pauses):
            heapq.heappush(queue.repeats, (after + pauses[position], key, number, position))

    def _schedule(self, key: str, member: str, *, sent: bool) -> int:
        self._number += 1
        self._schedules[key] = _Schedule(member, self._number, sent)
        return self._number

    def _current(self, key: str, number: int) -> bool:
        schedule = self._schedules.get(key)
        return schedule is not None and schedule.number == number

    def _queue(self, member: str, rate: int) -> _Queue:
        queue = self._queues.get(member)
        if queue is None:
            queue = self._queues[member] = _Queue(rate)
        if queue.rate != rate:
            queue.rate, queue.spoken = rate, deque(queue.spoken, maxlen=rate)
        return queue
