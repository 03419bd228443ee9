"""What the remediator remembers between two notifications and across restarts: plain values.

An *episode* is the newest thing heard about one alert and what it names. A *drain* says that an
interface is offline on our account. An *operation* is what the daemon has been, or is about to be,
asked for and has not answered. An *act* is the trace that an operation leaves for the limits. Times
are Unix seconds, except `started`: microseconds since 1970, as the alert itself said.
"""

from __future__ import annotations

import hashlib
import uuid
from enum import StrEnum

import msgspec

from ipmp_remediator.decision import Action, Decision, Kind, Reason
from ipmp_remediator.payload import AlertStatus
from ipmp_remediator.policy import Wish

_ACTION = {AlertStatus.FIRING: Action.DRAIN, AlertStatus.RESOLVED: Action.UNDRAIN}


class Outcome(StrEnum):
    """How far an episode has come. Whatever it is, a firing episode keeps a drain in place."""

    PENDING = "pending"  # its drain is wanted
    DONE = "done"  # it has had its drain, or needed none; it gets no second one
    GIVEN_UP = "given_up"  # its drain failed or was undone: it neither gets nor keeps one


class Request(msgspec.Struct, frozen=True):
    """What a policy has made of an alert."""

    fingerprint: str
    group: str
    interface: str  # empty: a hold of the whole group
    alertname: str
    policy: str
    wish: Wish
    status: AlertStatus
    started: int

    @property
    def action(self) -> Action | None:
        """What the alert's state asks for, where it asks for anything."""
        return _ACTION[self.status] if self.wish is Wish.OFFLINE else None

    def decide(
        self, kind: Kind, reason: Reason, action: Action | None = None, **detail: str | int | float
    ) -> Decision:
        """Make a decision about this request."""
        return Decision(
            kind=kind,
            reason=reason,
            action=action or self.action,
            alertname=self.alertname,
            fingerprint=self.fingerprint,
            group=self.group,
            interface=self.interface,
            policy=self.policy,
            detail=detail,
        )


class Episode(Request, frozen=True, kw_only=True):
    """The newest thing heard about one alert and what it names."""

    first: float  # when this episode was first heard of
    heard: float  # when it was last heard of
    changed: float  # when its status became what it is
    outcome: Outcome
    told: str = ""  # kind and reason that were last recorded about it

    @property
    def firing(self) -> bool:
        """Tell whether the alert is open."""
        return self.status is AlertStatus.FIRING

    @property
    def approval_id(self) -> str:
        """What a person approves: this episode on this interface, nothing else."""
        text = f"{self.fingerprint}/{self.started}/{self.group}/{self.interface}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]


class Drain(msgspec.Struct, frozen=True):
    """An interface that is offline on our account."""

    interface: str
    group: str
    fingerprint: str  # the alert that it was drained for
    alertname: str
    policy: str
    request_id: str  # the daemon's offline intent carries the same one while it is ours
    since: float
    undo: str = ""  # the Reason why it is to be undone although its alert fires
    escalated: bool = False  # a person was called, as it did not help
    told: str = ""

    def decide(self, kind: Kind, reason: Reason, **detail: str | int | float) -> Decision:
        """Make a decision about bringing it back."""
        return Decision(
            kind=kind,
            reason=reason,
            action=Action.UNDRAIN,
            alertname=self.alertname,
            fingerprint=self.fingerprint,
            group=self.group,
            interface=self.interface,
            policy=self.policy,
            detail=detail,
        )


class Operation(msgspec.Struct, frozen=True):
    """What the daemon is asked for; stored before it hears of it.

    A repeat after a crash carries the same request_id, so it is the same operation to the daemon.
    """

    request_id: str
    action: Action
    interface: str
    group: str
    fingerprint: str
    alertname: str
    policy: str
    reason: Reason  # why: firing, resolved, or what undoes it
    began: float
    name: str = ""  # the alert that wants it online

    def decide(
        self, kind: Kind, reason: Reason | None = None, **detail: str | int | float
    ) -> Decision:
        """Make a decision about it."""
        return Decision(
            kind=kind,
            reason=reason or self.reason,
            action=self.action,
            alertname=self.alertname,
            fingerprint=self.fingerprint,
            group=self.group,
            interface=self.interface,
            policy=self.policy,
            detail={"name": self.name, **detail} if self.name else detail,
        )


class Act(msgspec.Struct, frozen=True):
    """An operation that the daemon was asked for and did not refuse."""

    time: float
    action: Action
    interface: str
    group: str


class Onset(msgspec.Struct, frozen=True):
    """A new alert began to ask for a drain."""

    time: float
    policy: str
    interface: str


class Trouble(msgspec.Struct, frozen=True):
    """What the storm stop and the circuit breaker remember."""

    storm_since: float = 0.0  # 0: there is none
    storm_last: float = 0.0  # when so many alerts were last seen
    failures: int = 0  # own failures in a row
    failed_at: float = 0.0


def new_request_id() -> str:
    """Return a name that no other operation has."""
    return f"remediator-{uuid.uuid4()}"


class Change(msgspec.Struct, frozen=True):
    """A decision of the planner, and what it changes in the memory."""

    decision: Decision | None = None  # to be recorded
    episode: Episode | None = None  # as it is now
    drain: Drain | None = None
    forget: str = ""  # an interface that is not drained on our account any more


class Known(msgspec.Struct, frozen=True):
    """What the store knows that matters to one alert as it arrives."""

    episode: Episode | None = None
    drained: bool = False  # the interface is offline on our account, or about to be
    keeper: str = ""  # name of another open alert that keeps it so


class Memory(msgspec.Struct, frozen=True):
    """All that planning needs of what is remembered, read at one moment."""

    episodes: tuple[Episode, ...] = ()  # those that fire, and those of drained interfaces
    drains: tuple[Drain, ...] = ()
    operations: tuple[Operation, ...] = ()
    acts: tuple[Act, ...] = ()
    onsets: tuple[Onset, ...] = ()
    trouble: Trouble = Trouble()
    approved: frozenset[str] = frozenset()

    def pending(self) -> list[Episode]:
        """Return the open alerts whose drain is wanted."""
        return [
            e
            for e in self.episodes
            if e.firing and e.wish is Wish.OFFLINE and e.outcome is Outcome.PENDING
        ]

    def wanted(self) -> set[str]:
        """Return the fingerprints of alerts that anything may be asked for."""
        drained = {drain.fingerprint for drain in self.drains}
        asked = {operation.fingerprint for operation in self.operations}
        return {episode.fingerprint for episode in self.pending()} | drained | asked
