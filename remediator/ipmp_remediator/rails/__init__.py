"""The rails: what may stand between an alert that wants a drain and the drain.

One file for each family. A rail is a pure function of the episode and the situation: it lets the
episode pass (None) or objects with a Decision that has a reason of its own. All rails are asked, so
that `explain` can tell every objection; the first one, in the order of `DRAIN_RAILS`, is recorded.
What is needed at all comes first, what people said next, then what limits us. Approval is asked for
only when nothing else objects. The fleet's budget has its place after the host's own limits.
"""

from __future__ import annotations

from collections.abc import Callable

from ipmp_remediator.decision import Decision
from ipmp_remediator.rails import alert, operator, pace, redundancy, target, trouble
from ipmp_remediator.rails.situation import Situation
from ipmp_remediator.state import Drain, Episode

Rail = Callable[[Episode, Situation], Decision | None]
ReturnRail = Callable[[Drain, Situation], Decision | None]

DRAIN_RAILS: tuple[Rail, ...] = (
    target.allowed,
    target.member,
    alert.fresh,
    operator.not_paused,
    operator.not_held,
    operator.no_maintenance,
    alert.not_held_by_alert,
    alert.not_wanted_online,
    alert.long_enough,
    alert.often_enough,
    pace.not_our_own_doing,
    redundancy.enough_left,
    redundancy.few_drained_in_group,
    redundancy.few_drained_on_host,
    pace.cooled_down,
    pace.rate_of_interface,
    pace.rate_of_group,
    pace.rate_of_host,
    trouble.no_storm,
    trouble.circuit_closed,
)
LAST_RAILS: tuple[Rail, ...] = (operator.approved,)

RETURN_RAILS: tuple[ReturnRail, ...] = (
    operator.return_not_paused,
    operator.return_not_held,
    operator.return_no_maintenance,
    alert.return_not_held_by_alert,
)


def objections(episode: Episode, situation: Situation) -> tuple[Decision, ...]:
    """Return every objection to draining what the episode names, the first reason first."""
    found = tuple(d for rail in DRAIN_RAILS if (d := rail(episode, situation)))
    return found or tuple(d for rail in LAST_RAILS if (d := rail(episode, situation)))


def return_objections(drain: Drain, situation: Situation) -> tuple[Decision, ...]:
    """Return every objection to bringing a drained interface back."""
    return tuple(d for rail in RETURN_RAILS if (d := rail(drain, situation)))
