"""Rails of the target: only what is allowed, and only what the daemon has in that group."""

from __future__ import annotations

from ipmp_remediator.decision import Decision, Kind, Reason
from ipmp_remediator.rails.situation import Situation
from ipmp_remediator.state import Episode


def allowed(episode: Episode, situation: Situation) -> Decision | None:
    """The policy file may have changed since the alert came."""
    if (episode.group, episode.interface) in situation.config.allow:
        return None
    return episode.decide(Kind.REFUSED, Reason.NOT_ALLOWED)


def member(episode: Episode, situation: Situation) -> Decision | None:
    """The group of the label must be the group of the interface."""
    interface = situation.interface(episode.interface)
    if interface is None:
        return episode.decide(Kind.REFUSED, Reason.UNKNOWN_OBJECT)
    if interface.group != episode.group:
        return episode.decide(Kind.REFUSED, Reason.NOT_IN_GROUP)
    return None
