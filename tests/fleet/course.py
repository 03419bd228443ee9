"""One course: alerts come and go while every part of the fleet is killed and paused, then rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from ipmp.model import InterfaceState
from ipmp_remediator.decision import Kind
from tests.fleet.alerts import Episode, Sources, Teller
from tests.fleet.blows import Blow, Deed, blows, kind
from tests.fleet.hosts import interfaces
from tests.fleet.judge import Cut, Judge
from tests.fleet.site import SLOTS, Site
from tests.support.wait import eventually

LONG = 15.0  # seconds after which an open alert was acted on, or has a reason
ANSWERED_WITHIN = 30.0  # at the end, when nobody is killed any more
REST_WITHIN = 90.0  # a host gives back what it does not know of 12 to 30 s after its start

_UNDECIDED = (Kind.QUEUED, Kind.IGNORED)
_PAST = {Deed.KILL: "kills", Deed.PAUSE: "pauses", Deed.PULL: "pulls"}


class Report(msgspec.Struct):
    """What happened."""

    alerts: int = 0
    drains: int = 0
    most: Counter[str] = msgspec.field(default_factory=Counter)
    blows: Counter[str] = msgspec.field(default_factory=Counter)
    waited: int = 0  # alerts that were open for long
    looks: int = 0  # at what is drained
    breaches: list[str] = msgspec.field(default_factory=list)

    def __str__(self) -> str:
        blows = ", ".join(f"{count} {name}" for name, count in sorted(self.blows.items()))
        most = ", ".join(f"{self.most[pool]} of {slots} in {pool}" for pool, slots in SLOTS.items())
        return (
            f"{self.alerts} alerts, {self.waited} of them open for {LONG:g} s or more; "
            f"{self.drains} drains, at most {most} at a time; "
            f"{self.blows.total()} blows ({blows}); {self.looks} looks, "
            f"breaches: {len(self.breaches)}" + "".join(f"\n  {breach}" for breach in self.breaches)
        )


class Course:
    """Runs it; a seed has the same blows and the same dice for alerts each time."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._site = Site(directory)
        self._seed = seed
        self._sources = Sources(seed, interfaces(list(self._site.hosts.values())))
        self._judge = Judge(self._site, self._sources.fired)
        self.report = Report()

    def run(self, seconds: float) -> Report:
        """Let alerts come and go amid blows, then let all come to rest."""
        tellers = [Teller(self._sources, url) for url in self._site.alertmanagers]
        with self._site:
            for thread in (self._judge, *tellers):
                thread.start()
            try:
                self._amid_blows(seconds)
                self._come_to_rest()
            finally:
                for thread in (self._judge, *tellers):
                    thread.stop()
            self._look_back()
        return self.report

    def _amid_blows(self, seconds: float) -> None:
        planned = blows(self._seed, seconds, [*self._site.victims, *self._site.cables])
        events: list[tuple[float, Callable[[Blow], None], Blow]] = []
        for blow in planned:
            events += [(blow.at, self._strike, blow), (blow.end, self._relent, blow)]
        began = time.monotonic()
        for at, act, blow in sorted(events, key=lambda event: event[0]):
            self._tick_until(began + at)
            act(blow)
        self._tick_until(began + seconds)

    def _tick_until(self, end: float) -> None:
        while (left := end - time.monotonic()) > 0:
            self._sources.tick()
            time.sleep(min(left, 0.05))  # the sources tick so often

    def _strike(self, blow: Blow) -> None:
        self.report.blows[f"{_PAST[blow.deed]} of {kind(blow.victim)}"] += 1
        if blow.deed is Deed.PULL:
            host, _, member = blow.victim.removeprefix("cable ").partition("/")
            self._judge.cuts.append(Cut(host, member))  # before the daemon can know of it
            self._site.pull(blow.victim)
        elif blow.deed is Deed.PAUSE:
            self._site.victims[blow.victim].pause()
        else:
            self._site.victims[blow.victim].kill()

    def _relent(self, blow: Blow) -> None:
        if blow.deed is Deed.PULL:
            (cut,) = [c for c in self._judge.cuts if not c.ended and c.host in blow.victim]
            cut.ended = time.time()
            self._site.plug(blow.victim)
        elif blow.deed is Deed.PAUSE:
            self._site.victims[blow.victim].resume()
        else:
            self._site.victims[blow.victim].start(wait=False)

    def _come_to_rest(self) -> None:
        """What is open is answered; what is resolved comes back, and nobody holds a slot."""
        self._sources.hold()
        for victim in self._site.victims.values():
            victim.await_healthy()
        self._wait("answers to open alerts", lambda: not self._unanswered(), ANSWERED_WITHIN)
        self._sources.resolve()
        self._wait("everything is online", self._is_online, REST_WITHIN)
        self._wait("all slots are given back", lambda: self._judge.holders() == set(), REST_WITHIN)

    def _wait(self, what: str, condition: Callable[[], bool], timeout: float) -> None:
        try:
            eventually(condition, timeout, interval=0.2)
        except AssertionError:
            unanswered = [episode.name for episode in self._unanswered()]
            told = f"holders {self._judge.holders()}, unanswered {unanswered}"
            self.report.breaches.append(f"never at the end: {what} ({told})")

    def _unanswered(self) -> list[Episode]:
        answered = self._answered()
        return [e for e in self._sources.open if (e.host, e.name) not in answered]

    def _answered(self) -> set[tuple[str, str]]:
        """Which alerts of which hosts were acted on, or have a reason."""
        return {
            (host.name, decision.alertname)
            for host in self._site.hosts.values()
            for decision in host.decisions()
            if decision.kind not in _UNDECIDED
        }

    def _is_online(self) -> bool:
        for host in self._site.hosts.values():
            status = host.status()
            assert status is not None, host.name
            for interface in status.interfaces:
                assert interface.offline is None, (host.name, interface)
                assert interface.state is InterfaceState.OK, (host.name, interface)
        return True

    def _look_back(self) -> None:
        report, judge, episodes = self.report, self._judge, self._sources.episodes
        long = [e for e in episodes if e.lasted(time.time()) >= LONG]
        answered = self._answered()
        overlooked = [e for e in long if (e.host, e.name) not in answered]
        report.alerts, report.waited = len(episodes), len(long)
        report.looks = judge.looks
        report.drains, report.most = judge.drains.total(), judge.most
        report.breaches += list(judge.breaches)
        report.breaches += [f"{e.host}: {e.name} was overlooked" for e in overlooked]
        self._compare_with_history()

    def _compare_with_history(self) -> None:
        """What the remediators tell of their drains is no more than there were alerts."""
        told = Counter(
            decision.alertname
            for host in self._site.hosts.values()
            for decision in host.decisions()
            if decision.kind is Kind.DRAINED
        )
        fired = self._sources.fired()
        for name, count in told.items():
            if count > fired[name]:
                self.report.breaches.append(f"{name} fired {fired[name]} times, drained {count}")
