"""Rails of pace: a cooldown for each interface, rates, and no answer to what we have caused."""

from __future__ import annotations

from collections.abc import Callable

from ipmp_remediator.decision import Action, Decision, Kind, Reason
from ipmp_remediator.policy import Rate
from ipmp_remediator.rails.situation import Situation
from ipmp_remediator.state import Act, Episode

_MICROSECONDS = 1_000_000


def cooled_down(episode: Episode, situation: Situation) -> Decision | None:
    """An interface that we have just drained or brought back is left alone for a while."""
    times = [a.time for a in situation.memory.acts if a.interface == episode.interface]
    left = max(times, default=0.0) + situation.config.limits.cooldown - situation.now
    if left <= 0:
        return None
    return episode.decide(Kind.REFUSED, Reason.COOLDOWN, seconds=round(left, 1))


def rate_of_interface(episode: Episode, situation: Situation) -> Decision | None:
    """What is drained again and again has a cause that draining does not remove."""
    return _rate(
        episode,
        situation,
        situation.config.limits.rate_interface,
        Reason.RATE_INTERFACE,
        lambda act: act.interface == episode.interface,
    )


def rate_of_group(episode: Episode, situation: Situation) -> Decision | None:
    """So many drains of one group within so long."""
    return _rate(
        episode,
        situation,
        situation.config.limits.rate_group,
        Reason.RATE_GROUP,
        lambda act: act.group == episode.group,
    )


def rate_of_host(episode: Episode, situation: Situation) -> Decision | None:
    """So many drains of everything on this host within so long."""
    return _rate(
        episode, situation, situation.config.limits.rate_host, Reason.RATE_HOST, lambda act: True
    )


def not_our_own_doing(episode: Episode, situation: Situation) -> Decision | None:
    """What begins right after we moved a group's addresses may well be our own doing.

    It is refused for as long as this alert fires: its cause does not become another one by waiting.
    """
    began = episode.started / _MICROSECONDS
    guard = situation.config.limits.loop_guard
    for act in situation.memory.acts:
        if act.group == episode.group and act.time <= began < act.time + guard:
            return episode.decide(Kind.REFUSED, Reason.LOOP_GUARD, name=act.interface)
    return None


def _rate(
    episode: Episode,
    situation: Situation,
    rate: Rate | None,
    reason: Reason,
    counts: Callable[[Act], bool],
) -> Decision | None:
    if rate is None:
        return None
    begin = situation.now - rate.seconds
    count = sum(
        act.time > begin and act.action is Action.DRAIN and counts(act)
        for act in situation.memory.acts
    )
    if count < rate.count:
        return None
    return episode.decide(
        Kind.REFUSED, reason, count=count, limit=rate.count, seconds=round(rate.seconds)
    )
