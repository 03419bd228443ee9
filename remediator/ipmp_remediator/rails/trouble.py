"""Rails of trouble: the storm stop, with hysteresis, and the breaker on our own failures."""

from __future__ import annotations

from ipmp_remediator.decision import Decision, Kind, Reason
from ipmp_remediator.policy import Config
from ipmp_remediator.rails.situation import Situation
from ipmp_remediator.state import Episode, Memory, Trouble


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


def no_storm(episode: Episode, situation: Situation) -> Decision | None:
    """While many ask at once the trouble is elsewhere, and each drain makes it worse."""
    storm = situation.config.limits.storm
    if storm is None or not situation.trouble.storm_since:
        return None
    return episode.decide(
        Kind.REFUSED,
        Reason.STORM,
        count=recent(situation.memory, storm.within, situation.now),
        seconds=round(storm.within),
        limit=round(storm.calm),
    )


def circuit_closed(episode: Episode, situation: Situation) -> Decision | None:
    """After `failures` in a row nothing is tried for `retry_after`, then one at a time."""
    breaker, trouble = situation.config.limits.breaker, situation.trouble
    if breaker is None or trouble.failures < breaker.failures:
        return None
    left = trouble.failed_at + breaker.retry_after - situation.now
    if left <= 0:
        return None
    return episode.decide(
        Kind.REFUSED, Reason.BREAKER, count=trouble.failures, seconds=round(left, 1)
    )


def _with(trouble: Trouble, since: float, last: float) -> Trouble:
    return Trouble(since, last, trouble.failures, trouble.failed_at)
