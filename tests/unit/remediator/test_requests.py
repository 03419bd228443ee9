"""What a sender gets for a wrong, hostile or unfortunate request: the right status, no effect."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_control_daemon import FakeDaemon
from tests.support.remediator import TOKEN, InProcess, alert, notification, until, write_policy

SENTINEL = "SENTINEL-of-the-request"


def _valid() -> bytes:
    return json.dumps(notification(alert())).encode()


def _with_alert(**changes: Any) -> bytes:
    return json.dumps(notification(alert() | changes)).encode()


def _deep_value() -> bytes:
    return _valid()[:-1] + b', "x": ' + b"[" * 90_000 + b"]" * 90_000 + b"}"


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 65536):
        yield b" " * 65536


GARBAGE: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"{" + SENTINEL.encode(),
    "not UTF-8": b'{"version": "4", "alerts": [], "x": "\xff\xfe"}',
    "a list": b"[]",
    "a number of 5000 digits": b"9" * 5000,
    "NaN": b'{"version": "4", "alerts": [], "truncatedAlerts": NaN}',
    "deep nesting": b"[" * 100_000,
    "deep nesting in an unknown key": _deep_value(),
    "version 5": json.dumps(notification(version="5")).encode(),
    "version as a number": json.dumps(notification(version=4)).encode(),
    "no version": b'{"alerts": []}',
    "no alerts": b'{"version": "4"}',
    "alerts is no list": json.dumps(notification(alerts={"a": 1})).encode(),
    "an alert is no object": json.dumps(notification(alerts=[SENTINEL])).encode(),
    "1001 alerts": json.dumps(
        notification(alerts=[{**alert(), "annotations": {}, "labels": {}}] * 1001)
    ).encode(),
    "unknown status": _with_alert(status=SENTINEL),
    "labels are numbers": _with_alert(labels={"a": 1}),
    "65 labels": _with_alert(labels={f"l{i}": "x" for i in range(65)}),
    "a label of 3000 bytes": _with_alert(labels={"a": "x" * 3000}),
    "a time without zone": _with_alert(startsAt="2026-01-01T00:00:00"),
    "no time": _with_alert(startsAt=SENTINEL),
    "no fingerprint": _with_alert(fingerprint=None),
    "a hostile fingerprint": _with_alert(fingerprint="../../etc/passwd"),
    "a fingerprint and a newline": _with_alert(fingerprint="abc\n"),
    "a key twice": b'{"version": "4", "version": "4", "alerts": []}',
    "a lone surrogate": b'{"version": "4", "alerts": [{"x": "\\ud800"}]}',
    "a truncated count beyond reason": json.dumps(notification(truncatedAlerts=10**400)).encode(),
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
@pytest.mark.checklist("7.1", 9)
async def test_garbage_is_400_and_changes_nothing(
    remediator: InProcess, daemon: FakeDaemon, body: bytes
) -> None:
    status, text, _ = await remediator.request("POST", "/alerts", data=body)
    assert status == 400
    assert SENTINEL not in text
    assert daemon.requests == []
    assert await remediator.decisions() == []
    await remediator.counts(1, "ipmp_webhook_requests_total", code="400")


@pytest.mark.parametrize(
    ("headers", "method"),
    [
        ({"Authorization": "Bearer wrong"}, "bearer"),
        ({"Authorization": f"Bearer {TOKEN}x"}, "bearer"),
        ({"Authorization": "Bearer t\u00f6ken"}, "bearer"),
        ({"Authorization": "Bearer"}, "bearer"),
        ({"Authorization": "Basic dXNlcjpwYXNz"}, "other"),
        ({}, "none"),
    ],
)
@pytest.mark.checklist("7.1", 3)
async def test_a_wrong_or_missing_token_is_401(
    remediator: InProcess, daemon: FakeDaemon, headers: dict[str, str], method: str
) -> None:
    status, text, answer = await remediator.request(
        "POST", "/alerts", data=_valid(), token=None, headers=headers
    )
    assert status == 401
    assert answer["www-authenticate"].startswith("Bearer")
    assert TOKEN not in text
    assert await remediator.decisions() == []
    assert daemon.requests == []
    name = "ipmp_webhook_authentication_failures_total"
    await remediator.counts(1, name, method=method)
    await remediator.counts(1, "ipmp_webhook_requests_total", code="401")


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        (415, {"data": _valid(), "headers": {"Content-Type": "text/plain"}}),
        (415, {"data": _valid(), "headers": {"Content-Type": "multipart/form-data; boundary=x"}}),
        (415, {"data": _valid(), "headers": {"Content-Encoding": "gzip"}}),
        (413, {"data": b" " * 2 * 1024 * 1024}),
        (413, {"data": lambda: _chunks(2 * 1024 * 1024)}),
    ],
    ids=["text", "multipart", "gzip", "2 MiB", "2 MiB chunked"],
)
@pytest.mark.checklist("7.1", 8)
@pytest.mark.checklist("7.1", 10)
async def test_wrong_type_and_size(
    remediator: InProcess, daemon: FakeDaemon, status: int, arguments: dict[str, Any]
) -> None:
    if isinstance(arguments["data"], Callable):
        arguments = arguments | {"data": arguments["data"]()}
    answer, _, _ = await remediator.request("POST", "/alerts", **arguments)
    assert answer == status
    assert await remediator.decisions() == []
    assert daemon.requests == []
    assert await remediator.metric("ipmp_webhook_requests_total", code=str(status)) == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
@pytest.mark.checklist("7.1", 10)
async def test_other_methods_are_405(remediator: InProcess, method: str) -> None:
    status, _, headers = await remediator.request(method, "/alerts")
    assert status == 405
    assert headers["allow"] == "POST"
    await remediator.counts(1, "ipmp_webhook_requests_total", code="405")


@pytest.mark.parametrize("path", ["/alerts/", "/alerts//", "/nothing", "/v1/decisions/"])
async def test_other_paths_are_404_and_never_a_redirect(remediator: InProcess, path: str) -> None:
    status, text, _ = await remediator.request("POST", path, data=_valid())
    assert status == 404
    assert path not in text


@pytest.mark.checklist("7.1", 1)
@pytest.mark.checklist("7.1", 10)
async def test_content_type_with_charset_and_unknown_keys_are_accepted(
    remediator: InProcess,
) -> None:
    body = json.dumps(notification(alert(), notification_reason="x", routeLabels={})).encode()
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert await remediator.post_body(body, headers=headers) == 202


async def test_grafana_is_understood(remediator: InProcess, daemon: FakeDaemon) -> None:
    sent = alert() | {"values": {"B": 1}, "dashboardURL": "", "silenceURL": ""}
    body = notification(sent, version="1", orgId=1, title="x", state="alerting", message="x")
    assert await remediator.post_body(json.dumps(body)) == 202
    await remediator.decided("drained", "firing")
    assert daemon.effects == [("offline", "ni0")]


async def test_truncated_alerts_are_counted(remediator: InProcess) -> None:
    body = json.dumps(notification(truncatedAlerts=7))
    assert await remediator.post_body(body) == 202
    await remediator.counts(7, "ipmp_webhook_alerts_truncated_total")


@pytest.mark.checklist("7.1", 13)
async def test_503_when_it_cannot_store_then_202(remediator: InProcess, daemon: FakeDaemon) -> None:
    path = remediator.settings.state_dir / "remediator.sqlite"
    foreign = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    sent = alert()
    try:
        await asyncio.to_thread(foreign.execute, "BEGIN EXCLUSIVE")
        assert await remediator.post(sent) == 503
        assert daemon.requests == []
    finally:
        foreign.close()
    assert await remediator.post(sent) == 202
    await remediator.decided("drained", "firing")
    await remediator.counts(1, "ipmp_webhook_requests_total", code="503")


@pytest.mark.checklist("7.1", 13)
async def test_503_when_the_queue_is_full(tmp_path: Path, run_dir: Path) -> None:
    policy = write_policy(tmp_path, max_pending=2)
    async with InProcess(tmp_path, run_dir, policy) as remediator:  # no daemon: jobs wait
        assert await remediator.post(alert("ni0"), alert("ni1")) == 202
        assert await remediator.post(alert("ni2")) == 503
        await remediator.counts(2, "ipmp_remediation_pending")
        repeat = alert("ni0", remediation="nothing")  # wants no place in the queue
        assert await remediator.post(repeat) == 202


@pytest.mark.checklist("7.1", 4)
async def test_a_token_file_may_change_and_fails_closed(
    remediator: InProcess, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("another-token\n")
    status, _, _ = await remediator.request("POST", "/alerts", data=_valid())
    assert status == 401
    status, _, _ = await remediator.request("POST", "/alerts", data=_valid(), token="another-token")
    assert status == 202
    for broken in (lambda: token.write_text(""), token.unlink):
        broken()
        for credentials in ("another-token", "", None):
            status, _, _ = await remediator.request(
                "POST", "/alerts", data=_valid(), token=credentials
            )
            assert status == 503


async def test_decisions_need_the_token_and_a_sane_limit(remediator: InProcess) -> None:
    status, _, _ = await remediator.request("GET", "/v1/decisions", token="wrong")
    assert status == 401
    for limit in ("0", "1001", "-1", "x", "\u0663", "99999999999"):
        status, _, _ = await remediator.request("GET", f"/v1/decisions?limit={limit}")
        assert status == 400, limit
    assert await remediator.post(*(alert(f"ni{i}") for i in range(3))) == 202
    assert len(await remediator.decisions(limit=2)) == 2


@pytest.mark.checklist("7.1", 41)
async def test_health_readiness_and_landing_page_need_no_token(remediator: InProcess) -> None:
    for path in ("/-/healthy", "/-/ready", "/", "/metrics"):
        status, _, _ = await remediator.request("GET", path, token=None)
        assert status == 200, path
    _, page, headers = await remediator.request("GET", "/", token=None)
    assert headers["content-type"].startswith("text/html")
    assert 'href="/metrics"' in page


@pytest.mark.checklist("7.1", 11)
async def test_a_slow_daemon_does_not_delay_the_answer(
    remediator: InProcess, daemon: FakeDaemon
) -> None:
    daemon.before_effect.shut()
    assert await remediator.post(alert("ni0")) == 202
    await asyncio.wait_for(daemon.before_effect.reached.wait(), 10)
    assert await remediator.post(alert("ni1")) == 202
    await remediator.counts(1, "ipmp_remediation_in_progress")
    daemon.before_effect.open()
    await until(lambda: len(daemon.effects) == 2, "both are drained")
