"""What a runner asks of the daemon around it; tests may put something simpler there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ipmp.config import GroupConfig
from ipmp.decision import Decision
from ipmp.homes import Codec
from ipmp.kernel.protocol import Kernel
from ipmp.model import ProbeReport


class Context(Protocol):
    """What a runner asks of the daemon."""

    kernel: Kernel
    codec: Codec

    def monotonic(self) -> float:
        """Seconds of the clock that never goes back."""

    def wall(self) -> float:
        """Unix time."""

    def emit(self, decisions: Iterable[Decision]) -> None:
        """Log, remember and publish decisions."""

    def offline(self, interface: str) -> bool:
        """Whether somebody asked for the interface to be offline."""

    def announce(self, key: str, member: str) -> bool:
        """Send one announcement; False when it could not be sent and should be tried again."""

    def probed(self, reports: Iterable[ProbeReport]) -> None:
        """Probes were answered or lost."""

    def appeared(self, config: GroupConfig) -> None:
        """A member has appeared: the kernel gave it default settings."""

    def homes_changed(self) -> None:
        """Homes of a group have changed and must be written before anything moves."""

    def passed(self) -> None:
        """A pass is over: states, places and counters may have changed."""
