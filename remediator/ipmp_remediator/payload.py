"""Parse a webhook notification: strict JSON, strict types and limits, lenient on unknown keys.

Alertmanager's payload has version "4"; Grafana's alerting webhook sends the same fields as version
"1". Whatever is wrong with a body ends in a PayloadError, never in another exception: a 5xx answer
would make Alertmanager send the same bytes again and again.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal, NoReturn

import msgspec

MAX_BODY_BYTES = 256 * 1024  # one alert is about 1 kB
MAX_ALERTS = 1000
MAX_LABELS = 64
MAX_DEPTH = 16  # Alertmanager's own need 4

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_LabelName = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_LabelValue = Annotated[str, msgspec.Meta(max_length=2048)]
_Labels = Annotated[dict[_LabelName, _LabelValue], msgspec.Meta(max_length=MAX_LABELS)]
_Annotation = Annotated[str, msgspec.Meta(max_length=16384)]
_Annotations = Annotated[dict[_LabelName, _Annotation], msgspec.Meta(max_length=MAX_LABELS)]
_Fingerprint = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z_-]{1,64}\Z")]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class PayloadError(Exception):
    """The body is not a notification that can be acted on; the message is for the log."""


class AlertStatus(StrEnum):
    """State of one alert; the notification's own top-level status says nothing about it."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Alert(msgspec.Struct, frozen=True, rename="camel"):
    """One alert of a notification."""

    status: AlertStatus
    labels: _Labels
    fingerprint: _Fingerprint  # hash of the label set; the same for every episode
    starts_at: _Time  # constant over the repeats of one episode
    ends_at: _Time | None = None  # year 1 while the alert fires
    annotations: _Annotations = {}

    @property
    def name(self) -> str:
        """The alert's name, empty when it has none."""
        return self.labels.get("alertname", "")

    @property
    def started(self) -> int:
        """Start of this episode, microseconds since 1970."""
        return (self.starts_at - _EPOCH) // _MICROSECOND

    @property
    def ended(self) -> int:
        """End of this episode, microseconds since 1970; its start when the sender gave no end."""
        if self.ends_at is None:
            return self.started
        return max(self.started, (self.ends_at - _EPOCH) // _MICROSECOND)


class Notification(msgspec.Struct, frozen=True, rename="camel"):
    """One notification: alerts, each to be judged by itself."""

    version: Literal["1", "4"]
    alerts: Annotated[tuple[Alert, ...], msgspec.Meta(max_length=MAX_ALERTS)]
    truncated_alerts: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 0


def parse(body: bytes) -> Notification:
    """Parse the body of a notification; raise PayloadError for anything that is not one."""
    try:
        document = json.loads(
            body.decode("utf-8"), object_pairs_hook=_strict_object, parse_constant=_no_constant
        )
        _require_shallow(document, MAX_DEPTH)
        return msgspec.convert(document, Notification)
    except RecursionError as error:
        raise PayloadError("nested too deeply") from error
    except (ValueError, OverflowError) as error:  # includes Unicode, JSON and validation errors
        raise PayloadError(str(error)[:200]) from error


def _strict_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Build an object; refuse duplicate keys, and lone surrogates, which UTF-8 cannot store."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object has the same key twice")
    for key, value in pairs:
        key.encode()
        if isinstance(value, str):
            value.encode()
    return result


def _require_shallow(value: object, left: int) -> None:
    """Refuse what is nested deeper than any notification is."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return
    if left == 0:
        raise ValueError("nested too deeply")
    for item in value:
        _require_shallow(item, left - 1)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
