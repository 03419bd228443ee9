"""Alerts that fire and are resolved, told to all Alertmanagers as Prometheus does: repeatedly."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPException
from typing import Any

import msgspec

from tests.support.alertmanagers import post, rfc3339

EVERY = 2.0  # seconds between two tellings of the same; at a change it is told at once
LASTS = 30.0  # seconds after which an alert that is not told again ends by itself
TOLD_RESOLVED = 120.0  # seconds for which the end of an alert is told
AGAIN = 0.3  # the part of alerts that are the same as the last one of their source
GAPS = ((0.5, 8.0), (5.0, 40.0))  # seconds between the alerts of each source of an interface
OPEN = ((3.0, 9.0), (3.0, 9.0), (3.0, 9.0), (15.0, 40.0))  # one of these, for how long

Key = tuple[str, str, int]  # host, interface, number of the source


class Episode(msgspec.Struct):
    """An alert, from its firing to its end."""

    name: str  # of the alert: unique, but for those that fire again
    host: str
    interface: str
    began: float  # Unix seconds
    ended: float = 0.0

    def payload(self, now: float) -> dict[str, Any]:
        return {
            "labels": {
                "alertname": self.name,
                "instance": f"{self.host}:10088",
                "group": "ipmp0",
                "interface": self.interface,
                "remediation": "drain",
            },
            "startsAt": rfc3339(self.began),
            "endsAt": rfc3339(self.ended or now + LASTS),
        }

    def lasted(self, now: float) -> float:
        return (self.ended or now) - self.began


class Sources:
    """Some sources of alerts for each interface; each follows a dice of its own."""

    def __init__(self, seed: int, interfaces: Sequence[tuple[str, str]]) -> None:
        self.episodes: list[Episode] = []
        self.changed = threading.Condition()
        keys = [(*interface, n) for interface in interfaces for n in range(len(GAPS))]
        self._dice = {key: random.Random(f"{seed}/{key}") for key in keys}
        self._open: dict[Key, Episode] = {}
        self._last: dict[Key, Episode] = {}
        self._due = {
            key: time.time() + dice.uniform(0, GAPS[key[2]][1]) for key, dice in self._dice.items()
        }

    def tick(self) -> None:
        """Let begin and end what is due."""
        now = time.time()
        for key in [key for key, due in self._due.items() if due <= now]:
            if key in self._open:
                self._end(key, now)
                self._due[key] = now + self._dice[key].uniform(*GAPS[key[2]])
            else:
                self._begin(key, now)

    def resolve(self) -> None:
        """End everything; nothing begins any more."""
        self._due.clear()
        for key in tuple(self._open):
            self._end(key, time.time())

    def hold(self) -> None:
        """What is open stays open; nothing begins or ends any more."""
        self._due.clear()

    @property
    def open(self) -> list[Episode]:
        return list(self._open.values())

    def fired(self) -> Counter[str]:
        """How often each alert has fired so far."""
        return Counter(episode.name for episode in self.episodes)

    def told(self) -> list[dict[str, Any]]:
        """What Prometheus would tell now."""
        now = time.time()
        newest = {e.name: e for e in self.episodes}  # of one that fires again only the last
        return [
            e.payload(now) for e in newest.values() if not e.ended or e.ended > now - TOLD_RESOLVED
        ]

    def _begin(self, key: Key, now: float) -> None:
        dice, last = self._dice[key], self._last.get(key)
        again = last is not None and dice.random() < AGAIN
        host, interface, _ = key
        name = last.name if last and again else f"Drain{len(self.episodes)}"
        episode = Episode(name, host, interface, began=now)
        self._due[key] = now + dice.uniform(*dice.choice(OPEN))
        self._open[key] = self._last[key] = episode
        with self.changed:
            self.episodes.append(episode)
            self.changed.notify_all()

    def _end(self, key: Key, now: float) -> None:
        with self.changed:
            self._open.pop(key).ended = now
            self.changed.notify_all()


class Teller(threading.Thread):
    """Tells everything to one Alertmanager."""

    def __init__(self, sources: Sources, url: str) -> None:
        super().__init__(daemon=True)
        self._sources = sources
        self._url = url
        self._over = False

    def run(self) -> None:
        while not self._over:
            with self._sources.changed:
                told = self._sources.told()
            with suppress(OSError, HTTPException):  # it is dead, or paused: it is told again
                post(self._url, told)
            with self._sources.changed:
                self._sources.changed.wait(EVERY)

    def stop(self) -> None:
        self._over = True
        with self._sources.changed:
            self._sources.changed.notify_all()
        self.join()
