"""Rails of redundancy: enough must be left, and few may be drained at a time.

The daemon refuses the last usable interfaces by itself, whoever asks; here the policy may ask for
more, and the answer comes without asking.
"""

from __future__ import annotations

from ipmp.model import InterfaceState
from ipmp_remediator.decision import Decision, Kind, Reason
from ipmp_remediator.rails.situation import Situation
from ipmp_remediator.state import Episode


def enough_left(episode: Episode, situation: Situation) -> Decision | None:
    """Draining a usable interface must leave `min_usable`; one that failed is no loss."""
    interface, group = situation.interface(episode.interface), situation.status.group(episode.group)
    if interface is None or group is None or interface.state is not InterfaceState.OK:
        return None
    least = max(group.min_usable, situation.config.limits.min_usable)
    if group.usable - 1 >= least:
        return None
    why = f"{group.usable} are usable now, at least {least} must stay so"
    return episode.decide(Kind.REFUSED, Reason.MIN_USABLE, why=why)


def few_drained_in_group(episode: Episode, situation: Situation) -> Decision | None:
    """At most `drained_group` interfaces of a group are offline on our account at a time."""
    limit = situation.config.limits.drained_group
    count = sum(group == episode.group for group in situation.drained().values())
    if limit is None or count < limit:
        return None
    return episode.decide(Kind.REFUSED, Reason.CONCURRENCY_GROUP, count=count, limit=limit)


def few_drained_on_host(episode: Episode, situation: Situation) -> Decision | None:
    """At most `drained_host` interfaces of the host are offline on our account at a time."""
    limit, count = situation.config.limits.drained_host, len(situation.drained())
    if limit is None or count < limit:
        return None
    return episode.decide(Kind.REFUSED, Reason.CONCURRENCY_HOST, count=count, limit=limit)
