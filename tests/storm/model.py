"""What a storm of notifications must lead to, computed from the accepted ones alone.

Written from the contract, not from the program: an interface is wanted offline while the newest
episode of its alert has not been resolved; whatever else is accepted changes nothing.
"""

from __future__ import annotations

import msgspec

Effect = tuple[str, str]  # operation, interface


class News(msgspec.Struct, frozen=True):
    """One alert of an accepted notification."""

    interface: str
    episode: int
    firing: bool


class Model:
    """Follows the accepted notifications; `settle` says what must have been done since."""

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}
        self._over: set[tuple[str, int]] = set()
        self._offline: set[str] = set()

    def accept(self, news: News) -> None:
        """Take in one alert, in any order."""
        newest = self._newest.get(news.interface, -1)
        self._newest[news.interface] = max(newest, news.episode)
        if not news.firing:
            self._over.add((news.interface, news.episode))

    def settle(self) -> list[Effect]:
        """Return the effects, sorted, that lead from the last settled state to the present one."""
        wanted = {
            interface
            for interface, episode in self._newest.items()
            if (interface, episode) not in self._over
        }
        effects = [("offline", name) for name in wanted - self._offline]
        effects += [("online", name) for name in self._offline - wanted]
        self._offline = wanted
        return sorted(effects)
