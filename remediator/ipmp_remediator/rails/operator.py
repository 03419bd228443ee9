"""Rails of people: holds, pauses, maintenance windows, approval. Automation never outranks them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ipmp_remediator.decision import Decision, Kind, Reason
from ipmp_remediator.policy import Window
from ipmp_remediator.rails.situation import Situation
from ipmp_remediator.state import Drain, Episode

_Decide = Callable[..., Decision]


def not_paused(episode: Episode, situation: Situation) -> Decision | None:
    """`ipmp pause`, or `[pause]` in the policy file."""
    return _paused(episode.decide, situation)


def return_not_paused(drain: Drain, situation: Situation) -> Decision | None:
    """While it is paused nothing is brought back either."""
    return _paused(drain.decide, situation)


def not_held(episode: Episode, situation: Situation) -> Decision | None:
    """`ipmp hold`: nobody but a person touches the interface."""
    return _held(episode.decide, episode.interface, situation)


def return_not_held(drain: Drain, situation: Situation) -> Decision | None:
    """What we drained stays so while a person holds it."""
    return _held(drain.decide, drain.interface, situation)


def no_maintenance(episode: Episode, situation: Situation) -> Decision | None:
    """Within a window of `[[maintenance]]` people work on the network; alerts are expected."""
    return _maintenance(episode.decide, episode.group, situation)


def return_no_maintenance(drain: Drain, situation: Situation) -> Decision | None:
    """Nothing is brought back under the hands of those who work on it."""
    return _maintenance(drain.decide, drain.group, situation)


def approved(episode: Episode, situation: Situation) -> Decision | None:
    """A policy with `approval` waits for `ipmp approve`."""
    policy = situation.config.policy(episode.policy)
    if policy is None or not policy.approval or episode.approval_id in situation.memory.approved:
        return None
    return episode.decide(Kind.REFUSED, Reason.APPROVAL, id=episode.approval_id)


def window_end(window: Window, now: float) -> float | None:
    """Return when the window that is open now ends (Unix seconds), or None.

    Window times are wall-clock times of the window's zone, so a window over a change of daylight
    saving time is as much longer or shorter as the clock of the people who work in it.
    """
    local = datetime.fromtimestamp(now, UTC).astimezone(window.zone)
    for back in (0, 1):  # it may have begun yesterday
        day = (local - timedelta(days=back)).replace(hour=0, minute=0, second=0, microsecond=0)
        if day.weekday() not in window.days:
            continue
        begin = day + timedelta(minutes=window.begin)
        overnight = 1 if window.end <= window.begin else 0
        end = day + timedelta(days=overnight, minutes=window.end)
        if begin.timestamp() <= now < end.timestamp():
            return end.timestamp()
    return None


def _paused(decide: _Decide, situation: Situation) -> Decision | None:
    pause, by_file = situation.status.daemon.paused, situation.config.pause
    if pause and (not pause.until or pause.until > situation.now):
        return decide(Kind.REFUSED, Reason.PAUSED, actor=pause.actor, why=pause.reason)
    if by_file and (by_file.until is None or by_file.until > situation.now):
        return decide(Kind.REFUSED, Reason.PAUSED, actor="the policy file", why=by_file.reason)
    return None


def _held(decide: _Decide, name: str, situation: Situation) -> Decision | None:
    interface = situation.interface(name)
    if interface is None or interface.hold is None:
        return None
    why = f"{interface.hold.reason} ({interface.hold.actor})"
    return decide(Kind.REFUSED, Reason.HELD, why=why)


def _maintenance(decide: _Decide, group: str, situation: Situation) -> Decision | None:
    for window in situation.config.maintenance:
        end = window_end(window, situation.now)
        if end is not None and (not window.groups or group in window.groups):
            seconds = round(end - situation.now)
            return decide(Kind.REFUSED, Reason.MAINTENANCE, name=window.name, seconds=seconds)
    return None
