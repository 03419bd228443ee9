"""What a live view is fed with: the daemon's events, and its status when that may have changed.

Two threads ask the daemon, so that a daemon that hangs does not hold up the operator's keys. They
go on asking when the daemon is away, and take up the events where they were.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from ipmp.client import Client, ClientError
from ipmp.model import Event, Status

BACKLOG = 1000  # events asked for at the beginning, and after a gap
RETRY_SECONDS = 1.0
REST_SECONDS = 0.2  # between two readings of the status, however many events there are
BUSY_SECONDS = 1.0  # while something is under way, for its end may not be an event
CALM_SECONDS = 10.0  # what is not told by events; and a daemon that hangs is noticed


class Lost(NamedTuple):
    """The daemon does not answer any more; what is known of it is from before."""

    sentence: str
    since: float  # Unix time


News = Event | Status | Lost


class Feed:
    """News of one daemon, from `begin` on."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._wake: Callable[[], None] = lambda: None
        self._stale = threading.Event()
        self._last = 0  # the number of the last event that was told
        self._busy = False

    def begin(self) -> tuple[Status, list[Event]]:
        """Return what is and what has happened so far; raises ClientError."""
        status = self._client.status()
        self._busy = under_way(status)
        events = self._client.history(limit=BACKLOG)
        self._last = events[-1].id if events else 0
        return status, events

    def start(self, wake: Callable[[], None] = lambda: None) -> None:
        """Ask on in threads, which end with the program; `wake` is called when there is news."""
        self._wake = wake
        for work in (self._follow, self._look):
            threading.Thread(target=work, daemon=True).start()

    def next(self) -> News:
        """Wait for news."""
        return self._news.get()

    def all(self) -> list[News]:
        """Return the news that there are."""
        found: list[News] = []
        with suppress(queue.Empty):
            while True:
                found.append(self._news.get_nowait())
        return found

    def _tell(self, news: News) -> None:
        self._news.put(news)
        self._wake()

    def _follow(self) -> None:
        while True:
            with suppress(ClientError):  # whether the daemon is there is found by _look
                self._catch_up()
                for event in self._client.events(self._last):
                    self._happened(event)
            self._stale.set()
            time.sleep(RETRY_SECONDS)

    def _catch_up(self) -> None:
        """Tell what was missed while there was no stream."""
        events = self._client.history(limit=BACKLOG)
        if events and events[-1].id < self._last:
            self._last = 0  # the history was lost, its numbers begin anew
        for event in events:
            if event.id > self._last:
                self._happened(event)

    def _happened(self, event: Event) -> None:
        self._last = event.id
        self._tell(event)
        self._stale.set()

    def _look(self) -> None:
        lost: Lost | None = None
        while True:
            wait = RETRY_SECONDS if lost else BUSY_SECONDS if self._busy else CALM_SECONDS
            self._stale.wait(wait)
            self._stale.clear()
            try:
                status = self._client.status()
            except ClientError as error:
                before, lost = lost, Lost(str(error), lost.since if lost else time.time())
                if lost != before:
                    self._tell(lost)
                self._busy = False
            else:
                lost, self._busy = None, under_way(status)
                self._tell(status)
            time.sleep(REST_SECONDS)


def under_way(status: Status) -> bool:
    """Whether an operation or a move has begun and not ended."""
    return any(status.daemon.operations_under_way.values()) or any(
        group.moves_under_way for group in status.groups
    )
