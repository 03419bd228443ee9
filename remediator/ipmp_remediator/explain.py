"""Why is an interface (not) drained by us? Sentences from the memory, the rails and the audit."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ipmp_remediator.decision import Record
from ipmp_remediator.policy import Wish
from ipmp_remediator.rails import objections
from ipmp_remediator.rails.situation import Situation
from ipmp_remediator.state import Drain, Episode, Outcome


def explain(name: str, situation: Situation, records: Iterable[Record]) -> list[str]:
    """Return the present first, then what led to it; `name` is an interface or a group."""
    memory = situation.memory
    drains = [d for d in memory.drains if name in (d.interface, d.group)]
    episodes = [e for e in memory.episodes if e.firing and name in (e.interface, e.group)]
    sentences = [_drain(drain) for drain in drains]
    for episode in episodes:
        sentences += _episode(episode, situation)
    return sentences + [f"{_clock(r.time)} {r.sentence}" for r in records]


def awaiting_approval(situation: Situation) -> list[Episode]:
    """Return the alerts that nothing but a missing approval keeps from a drain."""
    return [
        e
        for e in situation.memory.episodes
        if _pending(e) and [d.reason for d in objections(e, situation)] == ["approval"]
    ]


def _pending(episode: Episode) -> bool:
    return episode.firing and episode.wish is Wish.OFFLINE and episode.outcome is Outcome.PENDING


def _drain(drain: Drain) -> str:
    return (
        f"The remediator has taken {drain.interface} offline for alert {drain.alertname}, "
        f"{_clock(drain.since)}."
    )


def _episode(episode: Episode, situation: Situation) -> list[str]:
    if not _pending(episode):
        return [f"Alert {episode.alertname} is open for it (policy {episode.policy})."]
    found = objections(episode, situation)
    if not found and episode.told.startswith("refused/budget_"):
        return [f"Alert {episode.alertname} is open and waits for a slot of the fleet's budget."]
    if not found:
        return [f"Alert {episode.alertname} is open, and nothing objects to the drain."]
    return [f"Alert {episode.alertname} is open and not acted on: {d.sentence()}." for d in found]


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")
