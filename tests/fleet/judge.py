"""Looks at the fleet from outside, all the time, and says what must not be.

What is drained is read from each daemon's own memory, several times a second. Two looks that show
the same drain (a request of its own) show that it was there at every moment in between; so what is
counted at a time was there at one time, although the hosts are looked at one after the other.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable

from ipmp.fleetlock.client import FleetLockClient, RefusedError, UnreachableError
from ipmp.fleetlock.config import FleetConfig
from ipmp.model import OfflineIntent
from tests.endurance.course import MEMBERS
from tests.fleet.site import Site

LOOK = 0.02  # seconds between two looks at what is drained
ASK = 0.5  # ... between two questions to the budget servers and the daemons
SEEN_WITHIN = 0.5  # a daemon knows of a pulled cable after so long
PLUGGED_FOR = 3.0  # and trusts one that was plugged in after so long

_ALERT = re.compile(r"alert (\S+) \(")

Key = tuple[str, str]  # host, interface
Look = dict[Key, OfflineIntent]


class Cut:
    """A cable that was pulled, in Unix seconds."""

    def __init__(self, host: str, member: str) -> None:
        self.host = host
        self.member = member
        self.began = time.time()
        self.ended = 0.0

    def covers(self, when: float) -> bool:
        """Whether it was out at that time, and the daemon knew."""
        return self.began + SEEN_WITHIN < when and (not self.ended or when < self.ended)

    def is_over(self, now: float) -> bool:
        return bool(self.ended) and now > self.ended + PLUGGED_FOR


class Judge:
    """Judges until it is stopped; `breaches` should stay empty.

    One thread looks at what is drained; another one asks, and may have to wait for answers.
    """

    def __init__(self, site: Site, fired: Callable[[], Counter[str]]) -> None:
        self.looks = 0
        self.breaches: dict[str, None] = {}  # sentences, each once
        self.most: Counter[str] = Counter()  # drained at a time, by pool
        self.drains: Counter[str] = Counter()  # by the name of the alert
        self.cuts: list[Cut] = []
        self._site = site
        self._fired = fired
        self._requests: set[str] = set()
        self._servers = FleetLockClient(FleetConfig(urls=site.servers, timeout=2.0))  # type: ignore[arg-type]
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._every, args=task, daemon=True)
            for task in ((LOOK, self._watch), (ASK, self._ask_servers), (ASK, self._ask_daemons))
        ]
        self._before: Look = {}

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def holders(self) -> set[tuple[str, str]] | None:
        """Who holds a slot of which pool; None when no server answers."""
        try:
            groups = asyncio.run(self._servers.groups())
        except (UnreachableError, RefusedError):
            return None
        return {(group.group, holder.id) for group in groups for holder in group.holders}

    def _every(self, seconds: float, task: Callable[[], None]) -> None:
        while not self._over.wait(seconds):
            try:
                task()
            except Exception as error:  # else it would judge no longer, and nobody would know
                self._breach(f"{task.__name__} has failed: {error!r}")

    def _watch(self) -> None:
        now = self._look()
        self._count(_lasting(self._before, now))
        for key in now:
            self._first_sight(key, now)
        self._before = now
        self.looks += 1

    def _look(self) -> Look:
        return {
            (host.name, member): intent
            for host in self._site.hosts.values()
            for member, intent in host.drained().items()
        }

    def _count(self, drained: Look) -> None:
        now: Counter[str] = Counter()
        for host, _ in drained:
            now.update(self._site.hosts[host].pools)
        for pool, number in now.items():
            self.most[pool] = max(self.most[pool], number)
            if number > self._site.slots[pool]:
                self._breach(f"{number} of {pool} were drained at a time: {_names(drained)}")

    def _first_sight(self, key: Key, look: Look) -> None:
        """Judge a drain by itself."""
        host, member = key
        intent = look[key]
        if intent.request_id in self._requests:
            return
        self._requests.add(intent.request_id)
        found = _ALERT.search(intent.reason)
        alert = found[1] if found else intent.reason
        self.drains[alert] += 1
        if self.drains[alert] > self._fired()[alert]:
            self._breach(f"{host}: {alert} has drained {member} once more than it has fired")
        if all((host, other) in look for other in MEMBERS):
            self._breach(f"{host}: no member is left: {_names(look)}")
        for cut in self.cuts:
            if cut.host == host and cut.member != member and cut.covers(intent.since):
                self._breach(f"{host}: {member} was drained when {cut.member} was cut off")

    def _ask_servers(self) -> None:
        """Who was drained before and after the answer holds slots in the answer."""
        before = self._look()
        holders = self.holders()
        if holders is None:
            return
        for host, member in _lasting(before, self._look()):
            for pool in self._site.hosts[host].pools:
                if (pool, f"{host}/{member}") not in holders:
                    self._breach(f"{host}: {member} is drained without a slot of {pool}")

    def _ask_daemons(self) -> None:
        """A member works at any time, unless a cable was pulled of late."""
        for host in self._site.hosts.values():
            status = host.status()
            now = time.time()
            cut = any(c.host == host.name and not c.is_over(now) for c in self.cuts)
            for group in status.groups if status and not cut else ():
                if group.usable < 1:
                    self._breach(f"{host.name}: no member works: {_names(self._look())}")

    def _breach(self, sentence: str) -> None:
        self.breaches[sentence] = None


def _lasting(before: Look, now: Look) -> Look:
    """What was drained all the time between two looks."""
    return {
        key: intent
        for key, intent in now.items()
        if key in before and before[key].request_id == intent.request_id
    }


def _names(look: Look) -> str:
    by_host = defaultdict(list)
    for host, member in look:
        by_host[host].append(member)
    return ", ".join(f"{host} {' '.join(members)}" for host, members in sorted(by_host.items()))
