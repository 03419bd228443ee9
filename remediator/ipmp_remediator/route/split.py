"""Split a notification by host: pure, and the parts have the format of the whole.

What is not looked at is passed on as it came, so that a remediator sees what Alertmanager wrote.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NoReturn

import msgspec

from ipmp_remediator.route.targets import host_of

# A remediator takes 256 KiB and 1000 alerts; larger parts are sent in pieces.
PIECE_BYTES = 192 * 1024
PIECE_ALERTS = 200


class NotANotificationError(Exception):
    """The body cannot be split; the message is for the log."""


class Unroutable(StrEnum):
    """Why an alert goes nowhere; sending it again would not help."""

    MISSING_LABEL = "missing_label"
    INVALID_HOST = "invalid_host"
    TOO_LARGE = "too_large"


class Parts(msgspec.Struct, frozen=True):
    """The bodies for each host, and what has none."""

    by_host: dict[str, list[bytes]]
    unroutable: dict[Unroutable, int]
    alerts: int


def split(body: bytes, host_label: str, max_alerts: int) -> Parts:
    """Split a notification; raise NotANotificationError."""
    try:
        envelope, alerts = _parse(body, max_alerts)
        return _split(envelope, alerts, host_label)
    except RecursionError as error:
        raise NotANotificationError("nested too deeply") from error


def _split(envelope: dict[str, Any], alerts: list[dict[str, Any]], host_label: str) -> Parts:
    by_host: dict[str, list[dict[str, Any]]] = {}
    unroutable: Counter[Unroutable] = Counter()
    for alert in alerts:
        found = _host(alert, host_label)
        if isinstance(found, Unroutable):
            unroutable[found] += 1
        else:
            by_host.setdefault(found, []).append(alert)
    parts: dict[str, list[bytes]] = {}
    for host, its_alerts in by_host.items():
        for piece in _pieces(envelope, its_alerts):
            encoded = _encode(envelope, piece)
            if len(encoded) > PIECE_BYTES:  # one alert that no remediator takes
                unroutable[Unroutable.TOO_LARGE] += len(piece)
            else:
                parts.setdefault(host, []).append(encoded)
    return Parts(by_host=parts, unroutable=dict(unroutable), alerts=len(alerts))


def _parse(body: bytes, max_alerts: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except ValueError as error:
        raise NotANotificationError(str(error)[:200]) from error
    if not isinstance(document, dict) or document.get("version") not in ("1", "4"):
        raise NotANotificationError("no notification of version 4")
    alerts = document.pop("alerts", None)
    if not isinstance(alerts, list) or not all(isinstance(alert, dict) for alert in alerts):
        raise NotANotificationError("alerts is not a list of objects")
    if len(alerts) > max_alerts:
        raise NotANotificationError(f"more than {max_alerts} alerts")
    return document, alerts


def _host(alert: dict[str, Any], host_label: str) -> str | Unroutable:
    labels = alert.get("labels")
    value = labels.get(host_label) if isinstance(labels, dict) else None
    if not isinstance(value, str) or not value:
        return Unroutable.MISSING_LABEL
    return host_of(value) or Unroutable.INVALID_HOST


def _pieces(
    envelope: dict[str, Any], alerts: list[dict[str, Any]]
) -> Iterator[list[dict[str, Any]]]:
    """Divide the alerts, in their order, into as few pieces as the limits of a remediator allow."""
    room = PIECE_BYTES - len(_encode(envelope, []))
    piece: list[dict[str, Any]] = []
    size = 0
    for alert in alerts:
        length = len(json.dumps(alert)) + 2
        if piece and (size + length > room or len(piece) == PIECE_ALERTS):
            yield piece
            piece, size = [], 0
        piece.append(alert)
        size += length
    if piece:
        yield piece


def _encode(envelope: dict[str, Any], alerts: list[dict[str, Any]]) -> bytes:
    firing = any(alert.get("status") == "firing" for alert in alerts)
    status = "firing" if firing else "resolved"
    return json.dumps({**envelope, "status": status, "alerts": alerts}).encode()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
