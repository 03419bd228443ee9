"""Whether a group's loop gets on: what the watchdog of the service manager is told by."""

from __future__ import annotations

from collections.abc import Callable


class Pulse:
    """When a loop that has something to do last got on with it.

    A pass that failed is not over: if all those that follow fail, too, the loop is stuck.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._since: float | None = None

    def begin(self) -> None:
        """There is something to do; time runs from the first time on that this is said."""
        if self._since is None:
            self._since = self._monotonic()

    def beat(self) -> None:
        """A part of it is done."""
        self._since = self._monotonic()

    def rest(self) -> None:
        """All of it is done."""
        self._since = None

    def stuck_for(self) -> float:
        """Seconds since it last got on; 0 while there is nothing to do."""
        return 0.0 if self._since is None else self._monotonic() - self._since
