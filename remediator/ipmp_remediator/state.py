"""What the remediator remembers between two notifications and across restarts: plain values.

A *request* is an alert that a policy has turned into an action on one interface. An *episode* is
the newest thing heard about one alert and its target. A *job* is a request that waits to be carried
out. A *drain* says that an interface is offline on our account, and for which alert. Times are Unix
seconds, except `started`: microseconds since 1970, as the alert itself said.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ipmp_remediator.decision import Action, Decision, Kind, Reason
from ipmp_remediator.payload import AlertStatus


class Request(msgspec.Struct, frozen=True):
    """An alert that asks for an action on one interface."""

    action: Action
    alertname: str
    fingerprint: str
    started: int
    group: str
    interface: str
    policy: str

    def decide(self, kind: Kind, reason: Reason, **detail: str | int | float) -> Decision:
        """Make a decision about this request."""
        return Decision(
            kind=kind,
            reason=reason,
            action=self.action,
            alertname=self.alertname,
            fingerprint=self.fingerprint,
            group=self.group,
            interface=self.interface,
            policy=self.policy,
            detail=detail,
        )


class Job(Request, frozen=True, kw_only=True):
    """A request in the queue.

    `request_id` is stored before the daemon hears of it, so that a repeat after a crash is the same
    operation to the daemon. `sent` is stored before the daemon is asked: from then on only the
    daemon's answer may end the job.
    """

    id: int
    request_id: str
    not_before: float  # hold-down: until then the job stands in nobody's way
    sent: bool = False
    tries: int = 0
    waiting: str = ""  # the Reason that was last recorded for waiting


class Outcome(StrEnum):
    """How far the newest episode of an alert has come."""

    PENDING = "pending"
    DONE = "done"
    REFUSED = "refused"  # a repeat of the alert may try again


class Episode(msgspec.Struct, frozen=True):
    """The newest thing heard about one alert and its target."""

    fingerprint: str
    group: str
    interface: str
    alertname: str
    policy: str
    started: int
    status: AlertStatus
    outcome: Outcome


class Drain(msgspec.Struct, frozen=True):
    """An interface that is offline on our account."""

    interface: str
    group: str
    fingerprint: str  # the alert that keeps it offline
    alertname: str
    request_id: str  # the daemon's offline intent carries the same one while it is ours
    since: float


class Known(msgspec.Struct, frozen=True):
    """What the store knows that matters to one request."""

    episode: Episode | None = None
    drained: bool = False  # the alert has drained the interface, or a queued job is to do so
