"""When to announce which address from which member. Sans-IO: `now` in, announcements out.

Schedule and pace are those of linux-peers 2.4: gratuitous ARP at 0, 1.1, 3.1 and 5.1 s (more than the
1 s locktime of Linux peers apart), unsolicited NA at 0, 1 and 2 s (RFC 4861 7.2.6: at most
three). Announcements of a planned move and all repeats share a token bucket a member; first ones
go before repeats. Urgent first ones (the old member is dead) are not paced: each waits with a dark address.
A schedule is cancelled as soon as the member loses the address.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator

import msgspec

from ipmp.world import is_ipv4

#: Seconds from the first announcement to each repeat.
REPEATS_IPV4 = (1.1, 3.1, 5.1)
REPEATS_IPV6 = (1.0, 2.0)


class Announcement(msgspec.Struct, frozen=True):
    """Say on the link of `member` that the address is there."""

    key: str
    member: str


class _Queue:
    """What one member still has to announce, and its token bucket."""

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self.tokens = rate
        self.filled = now
        self.firsts: deque[str] = deque()
        self.repeats: list[tuple[float, str, int]] = []  # heap of (due, key, generation)

    def fill(self, now: float) -> None:
        self.tokens = min(self.rate, self.tokens + (now - self.filled) * self.rate)
        self.filled = now

    def ready(self, now: float) -> float | None:
        """When the next announcement may go; None when nothing waits."""
        if self.firsts:
            due = now
        elif self.repeats:
            due = self.repeats[0][0]
        else:
            return None
        self.fill(now)
        missing = max(0.0, 1.0 - self.tokens) / self.rate
        return max(due, now + missing)


class Announcer:
    """The announcements of all members."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._announced: dict[tuple[str, str], int] = {}  # -> generation of its schedule
        self._waiting: set[tuple[str, str]] = set()  # first announcement not sent yet
        self._generation = 0

    def __contains__(self, where: object) -> bool:
        """Whether (key, member) has been announced since the member got the address."""
        return where in self._announced

    def assume(self, key: str, member: str) -> None:
        """The link knows this already: the daemon restarted and nothing has moved."""
        self._announced.setdefault((key, member), 0)

    def urgent(self, key: str, member: str, rate: float, now: float) -> None:
        """The caller sends the first one now; the repeats follow on schedule."""
        self._waiting.discard((key, member))
        self._sent(self._queue(member, rate, now), key, member, now)

    def planned(self, key: str, member: str, rate: float, now: float) -> None:
        """Queue the first one; it goes as soon as the member's bucket allows."""
        if (key, member) in self._announced or (key, member) in self._waiting:
            return
        self._waiting.add((key, member))
        self._queue(member, rate, now).firsts.append(key)

    def withdraw(self, key: str, member: str) -> None:
        """The member has lost the address: whatever was still to be sent is cancelled."""
        self._announced.pop((key, member), None)
        self._waiting.discard((key, member))

    def take(self, now: float) -> Iterator[Announcement]:
        """What is to be sent now."""
        for member, queue in self._queues.items():
            queue.fill(now)
            while queue.tokens >= 1.0:
                key = self._pop(queue, member, now)
                if key is None:
                    break
                queue.tokens -= 1.0
                yield Announcement(key, member)

    def deadline(self, now: float) -> float | None:
        """When `take` is worth calling again; None when nothing waits."""
        times = [queue.ready(now) for queue in self._queues.values()]
        return min((t for t in times if t is not None), default=None)

    def outstanding(self, member: str) -> bool:
        """Whether first announcements of this member still wait for their turn."""
        return any(where[1] == member for where in self._waiting)

    def _pop(self, queue: _Queue, member: str, now: float) -> str | None:
        while queue.firsts:
            key = queue.firsts.popleft()
            if (key, member) in self._waiting:
                self._waiting.discard((key, member))
                self._sent(queue, key, member, now)
                return key
        while queue.repeats and queue.repeats[0][0] <= now:
            _, key, generation = heapq.heappop(queue.repeats)
            if self._announced.get((key, member)) == generation:
                return key
        return None

    def _sent(self, queue: _Queue, key: str, member: str, now: float) -> None:
        self._generation += 1
        self._announced[key, member] = self._generation
        for delay in REPEATS_IPV4 if is_ipv4(key) else REPEATS_IPV6:
            heapq.heappush(queue.repeats, (now + delay, key, self._generation))

    def _queue(self, member: str, rate: float, now: float) -> _Queue:
        queue = self._queues.get(member)
        if queue is None or queue.rate != rate:
            fresh = _Queue(rate, now)
            if queue is not None:
                fresh.firsts, fresh.repeats = queue.firsts, queue.repeats
            queue = self._queues[member] = fresh
        return queue
