"""Rails of trouble: the storm stop, with hysteresis, and the breaker on our own failures."""

from __future__ import annotations

from ipmp_remediator.decision import Decision, Kind, Reason
from ipmp_remediator.policy import Breaker
from ipmp_remediator.rails.situation import Situation
from ipmp_remediator.state import Episode, Trouble


def no_storm(episode: Episode, situation: Situation) -> Decision | None:
    """While many ask at once the trouble is elsewhere, and each drain makes it worse."""
    storm = situation.config.limits.storm
    if storm is None or not situation.trouble.storm_since:
        return None
    return episode.decide(
        Kind.REFUSED,
        Reason.STORM,
        count=situation.storm_alerts,
        seconds=round(storm.within),
        limit=round(storm.calm),
    )


def circuit_closed(episode: Episode, situation: Situation) -> Decision | None:
    """After `failures` in a row nothing is tried for `retry_after`, then one at a time."""
    trouble = situation.trouble
    left = open_for(situation.config.limits.breaker, trouble, situation.now)
    if left is None or left <= 0:
        return None
    return episode.decide(
        Kind.REFUSED, Reason.BREAKER, count=trouble.failures, seconds=round(left, 1)
    )


def open_for(breaker: Breaker | None, trouble: Trouble, now: float) -> float | None:
    """For how many seconds more the circuit is open: None when closed, 0 or less when half open."""
    if breaker is None or trouble.failures < breaker.failures:
        return None
    return trouble.failed_at + breaker.retry_after - now
