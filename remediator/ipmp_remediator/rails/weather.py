"""Is there a storm? It begins at once and ends with hysteresis, so that it does not come and go."""

from __future__ import annotations

from ipmp_remediator.policy import Config
from ipmp_remediator.state import Memory, Trouble


def weather(memory: Memory, config: Config, now: float) -> Trouble:
    """Return what the storm stop remembers from now on.

    It begins when `alerts` new alerts have asked for drains within `within`, and ends when for
    `calm` seconds there were fewer than half as many within such a time.
    """
    storm, trouble = config.limits.storm, memory.trouble
    if storm is None:
        return _with(trouble, 0.0, 0.0)
    count = recent(memory, storm.within, now)
    if not trouble.storm_since:
        return _with(trouble, now, now) if count >= storm.alerts else trouble
    if 2 * count >= storm.alerts:
        return _with(trouble, trouble.storm_since, now)
    over = now - trouble.storm_last >= storm.calm
    return _with(trouble, 0.0, 0.0) if over else trouble


def recent(memory: Memory, within: float, now: float) -> int:
    """Count the alerts that have begun to ask for drains within so many seconds."""
    return sum(onset.time > now - within for onset in memory.onsets)


def _with(trouble: Trouble, since: float, last: float) -> Trouble:
    return Trouble(since, last, trouble.failures, trouble.failed_at)
