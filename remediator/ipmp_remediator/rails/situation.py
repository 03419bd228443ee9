"""What rails look at: the policy, the daemon's state and our memory, at one moment."""

from __future__ import annotations

import msgspec

from ipmp.model import InterfaceStatus, Status
from ipmp_remediator.decision import Action
from ipmp_remediator.policy import Config, Wish
from ipmp_remediator.rails.weather import recent, weather
from ipmp_remediator.state import Drain, Episode, Memory, Outcome, Trouble


class Situation(msgspec.Struct, frozen=True):
    """Everything that a decision depends on; `now` is Unix seconds."""

    config: Config
    status: Status
    memory: Memory
    trouble: Trouble
    now: float
    standing: tuple[Episode, ...] = ()  # open alerts that speak for an interface or a group
    storm_alerts: int = 0  # how many have begun to ask for drains within the time of `storm`

    @classmethod
    def of(cls, config: Config, status: Status, memory: Memory, now: float) -> Situation:
        """Put it together; what every rail would have to search for is found once."""
        storm = config.limits.storm
        return cls(
            config=config,
            status=status,
            memory=memory,
            trouble=weather(memory, config, now),
            now=now,
            standing=tuple(
                e for e in memory.episodes if e.firing and e.wish in (Wish.HOLD, Wish.ONLINE)
            ),
            storm_alerts=recent(memory, storm.within, now) if storm else 0,
        )

    def interface(self, name: str) -> InterfaceStatus | None:
        """Return the member of this name."""
        return self.status.interface(name)

    def drain(self, interface: str) -> Drain | None:
        """Return our drain of an interface."""
        return next((d for d in self.memory.drains if d.interface == interface), None)

    def open_alert(self, wish: Wish, group: str, interface: str) -> Episode | None:
        """Return a firing alert that wants this of the interface, or of its whole group."""
        return next(
            (
                e
                for e in self.standing
                if e.wish is wish
                and (e.interface == interface or (not e.interface and e.group == group))
            ),
            None,
        )

    def keepers(self, interface: str) -> tuple[Episode, ...]:
        """Return the firing alerts for which an interface stays offline, oldest first."""
        found = [
            e
            for e in self.memory.episodes
            if e.firing
            and e.wish is Wish.OFFLINE
            and e.interface == interface
            and e.outcome is not Outcome.GIVEN_UP
        ]
        return tuple(sorted(found, key=lambda e: (e.started, e.fingerprint)))

    def busy(self, interface: str) -> bool:
        """Tell whether the daemon has been asked about an interface and has not answered."""
        return any(o.interface == interface for o in self.memory.operations)

    def drained(self) -> dict[str, str]:
        """Return interface -> group of what is, or is about to be, offline on our account."""
        asked = {o.interface: o.group for o in self.memory.operations if o.action is Action.DRAIN}
        return {d.interface: d.group for d in self.memory.drains} | asked
