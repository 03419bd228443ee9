"""Rails of the alert: still heard of, long and often enough, and not outvoted by another alert."""

from __future__ import annotations

from ipmp_remediator.decision import Decision, Kind, Reason
from ipmp_remediator.policy import Config, Wish
from ipmp_remediator.rails.situation import Situation
from ipmp_remediator.state import Drain, Episode


def max_age(config: Config, policy: str) -> float:
    """Return the age beyond which an alert of this policy is not acted on."""
    found = config.policy(policy)
    return config.max_alert_age if found is None or not found.max_alert_age else found.max_alert_age


def fresh(episode: Episode, situation: Situation) -> Decision | None:
    """After an outage of hours our memory of an alert is not a reason to act."""
    silent, limit = situation.now - episode.heard, max_age(situation.config, episode.policy)
    if silent <= limit:
        return None
    why = f"nothing was heard of it for {silent:.0f} s, the limit is {limit:.0f} s"
    return episode.decide(Kind.REFUSED, Reason.STALE, why=why)


def long_enough(episode: Episode, situation: Situation) -> Decision | None:
    """`delay` of the policy: short trouble passes by itself."""
    policy = situation.config.policy(episode.policy)
    left = episode.first + policy.delay - situation.now if policy else 0.0
    if policy is None or left <= 0:
        return None
    return episode.decide(
        Kind.REFUSED, Reason.DELAY, limit=_whole(policy.delay), seconds=_whole(left)
    )


def often_enough(episode: Episode, situation: Situation) -> Decision | None:
    """`threshold` of the policy: n alerts within t for the same interface."""
    policy = situation.config.policy(episode.policy)
    if policy is None or policy.threshold is None:
        return None
    begin = situation.now - policy.threshold.seconds
    seen = sum(
        onset.policy == episode.policy
        and onset.interface == episode.interface
        and onset.time > begin
        for onset in situation.memory.onsets
    )
    if seen >= policy.threshold.count:
        return None
    return episode.decide(
        Kind.REFUSED,
        Reason.THRESHOLD,
        limit=policy.threshold.count,
        seconds=_whole(policy.threshold.seconds),
        count=seen,
    )


def not_held_by_alert(episode: Episode, situation: Situation) -> Decision | None:
    """A policy with action `hold` speaks for the interface or its group."""
    hold = situation.open_alert(Wish.HOLD, episode.group, episode.interface)
    if hold is None:
        return None
    return episode.decide(Kind.REFUSED, Reason.ALERT_HOLD, name=hold.alertname)


def not_wanted_online(episode: Episode, situation: Situation) -> Decision | None:
    """A policy with action `online` outranks those with `offline`."""
    wanted = situation.open_alert(Wish.ONLINE, episode.group, episode.interface)
    if wanted is None:
        return None
    return episode.decide(Kind.REFUSED, Reason.ALERT_ONLINE, name=wanted.alertname)


def return_not_held_by_alert(drain: Drain, situation: Situation) -> Decision | None:
    """A hold by an alert leaves things as they are, both ways."""
    hold = situation.open_alert(Wish.HOLD, drain.group, drain.interface)
    if hold is None:
        return None
    return drain.decide(Kind.REFUSED, Reason.ALERT_HOLD, name=hold.alertname)


def _whole(seconds: float) -> int | float:
    """Seconds as people write them."""
    return round(seconds, 1) if seconds < 10 and seconds != int(seconds) else round(seconds)
