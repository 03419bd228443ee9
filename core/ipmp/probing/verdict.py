"""From the series of losses to a verdict on a member, and from members to: is it one, or all?

A member has failed when every family that can be judged has lost five probes in a row, over all its
targets; one healthy family keeps it alive. It is repaired by ten answers in a row, over all targets
or from one, on either family (ipmp-semantics 2.7, 2.9). A member whose link goes down has failed
for its probes, too: its link alone does not repair it. Without any target, or before a target has
answered anybody of the group, the verdict is `unknown`, and the member is taken to work (Q2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ipmp.model import ProbeState
from ipmp.probing.detection import LOSSES, SUCCESSES
from ipmp.probing.prober import Prober
from ipmp.probing.values import Standing

OK, FAILED = ProbeState.OK, ProbeState.FAILED
UNKNOWN, DISABLED = ProbeState.UNKNOWN, ProbeState.DISABLED


class Verdict:
    """The verdict on one member, and since when it holds."""

    def __init__(self, state: ProbeState, now: float) -> None:
        self.state = state
        self.since = now
        self.link_lost = False  # failed for its link alone: it may prove itself quickly

    def judge(self, probers: Sequence[Prober], now: float) -> bool:
        """Look at the member's paths again; whether the verdict has changed."""
        state = _judge(self.state, probers)
        self.link_lost = state is FAILED and self._by_link(probers)
        if state is self.state:
            return False
        self.state = state
        self.since = now
        return True

    def _by_link(self, probers: Sequence[Prober]) -> bool:
        if not any(p.path.link for p in probers):
            return True
        return self.link_lost and not all(p.losses >= LOSSES for p in probers)

    def standing(self, probers: Sequence[Prober]) -> Standing:
        """The verdict with the times by which failures of one and of all are told apart.

        With two families the series of the member begins when the second one begins to lose.
        """
        judged = [p for p in probers if p.capable]
        first = [p.first_loss for p in judged if p.first_loss is not None]
        successes = [p.last_success for p in probers if p.last_success is not None]
        return Standing(
            self.state,
            self.since,
            sum(len(p.targets.active) for p in probers),
            min((p.losses for p in judged), default=0),
            max(first) if first and len(first) == len(judged) else None,
            max(successes, default=None),
        )


def _judge(state: ProbeState, probers: Sequence[Prober]) -> ProbeState:
    if not probers:
        return DISABLED
    if not any(p.path.link for p in probers):
        return FAILED if state in (OK, FAILED) else UNKNOWN
    if not any(p.targets.active for p in probers):
        return UNKNOWN
    judged = [p for p in probers if p.capable]
    if state is FAILED:
        return OK if any(_recovered(p) for p in judged) else FAILED
    if not judged:
        return UNKNOWN
    if all(p.losses >= LOSSES for p in judged):
        return FAILED
    return OK if state is OK or any(p.window.successes() for p in judged) else UNKNOWN


def _recovered(prober: Prober) -> bool:
    window = prober.window
    if window.successes() >= SUCCESSES:
        return True
    return any(window.successes(target) >= SUCCESSES for target in prober.targets.active)


class View(msgspec.Struct, frozen=True):
    """What must be known of a member to decide whether it vouches for the group."""

    functioning: bool  # by the group's state machine, before this failure
    link: bool  # its link is not known to be down
    standing: Standing


def vouchers(
    failed: str, members: Mapping[str, View], *, link_lost: bool = False
) -> tuple[str, ...]:
    """The members that prove that `failed` failed alone: none means that the whole group has.

    Only functioning members vouch (Q14), and for a lost link every one of them (Q1). For lost
    probes: one that is not probed, or one that has had an answer after the first loss of this
    series. If all targets are dead nobody has, and nothing must be moved (ipmp-semantics 2.7).
    """
    first_loss = members[failed].standing.first_loss
    return tuple(
        name
        for name, view in members.items()
        if name != failed
        and view.functioning
        and view.link
        and (link_lost or _has_answer_after(first_loss, view.standing))
    )


def _has_answer_after(first_loss: float | None, standing: Standing) -> bool:
    if standing.verdict is DISABLED:
        return True
    if first_loss is None or standing.last_success is None:
        return False
    return standing.verdict is OK and standing.last_success > first_loss
