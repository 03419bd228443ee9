"""The parser of notifications: whatever comes, a Notification or a PayloadError."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipmp_remediator.payload import AlertStatus, Notification, PayloadError, parse

# As Alertmanager 0.25 sends it: nanoseconds, quoted receiver, year 1 as the end of what fires.
ALERTMANAGER = b"""{"receiver":"web\\\\.hook","status":"firing","alerts":[{"status":"firing",
"labels":{"alertname":"IpmpTest","code":"200"},"annotations":{"summary":"x"},
"startsAt":"2026-11-23T10:00:00.123456789Z","endsAt":"0001-01-01T00:00:00Z",
"generatorURL":"","fingerprint":"68fcc8fb2e3b4a8c"}],"groupLabels":{"alertname":"IpmpTest"},
"commonLabels":{},"commonAnnotations":{},"externalURL":"http://h:9093","version":"4",
"groupKey":"{}/{code=\\"200\\"}:{alertname=\\"IpmpTest\\"}","truncatedAlerts":0}"""


def test_an_alertmanager_payload() -> None:
    notification = parse(ALERTMANAGER)
    [alert] = notification.alerts
    assert alert.status is AlertStatus.FIRING
    assert alert.name == "IpmpTest"
    assert alert.started == 1795428000_123457
    assert alert.ended == alert.started


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
_ALERT = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["firing", "resolved"]) | _JSON,
        "labels": st.dictionaries(st.text(), st.text()) | _JSON,
        "fingerprint": st.from_regex(r"[0-9a-f]{16}") | _JSON,
        "startsAt": st.datetimes(timezones=st.timezones()).map(str) | _JSON,
        "endsAt": _JSON,
    },
)
_NOTIFICATION = st.fixed_dictionaries(
    {"version": st.just("4") | _JSON, "alerts": st.lists(_ALERT) | _JSON},
    optional={"truncatedAlerts": _JSON},
)


@settings(max_examples=150, deadline=None)
@given(
    st.binary()
    | _JSON.map(lambda v: json.dumps(v).encode())
    | _NOTIFICATION.map(lambda v: json.dumps(v).encode())
)
def test_nothing_else_comes_out(body: bytes) -> None:
    try:
        notification = parse(body)
    except PayloadError:
        return
    assert isinstance(notification, Notification)
    for alert in notification.alerts:
        assert isinstance(alert.started, int)
        assert alert.ended >= alert.started


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_times_at_the_edge_of_the_calendar(time: str) -> None:
    body = ALERTMANAGER.replace(b"2026-11-23T10:00:00.123456789Z", time.encode())
    assert isinstance(parse(body).alerts[0].started, int)
