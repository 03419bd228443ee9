"""The dispatcher from outside: real TLS to hosts that ask for a certificate, real HTTP to it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ipmp.serving.admission import TokenFile
from ipmp.serving.site import Address, listen
from ipmp.serving.tls import ClientTls, ServerTls, server_context
from ipmp_remediator.route.config import Limits, RouteConfig, Targets
from ipmp_remediator.route.dispatch import Dispatcher
from ipmp_remediator.route.metrics import RouteMetrics
from ipmp_remediator.route.targets import targets_of
from ipmp_remediator.route.web import RouteWeb
from tests.support.fleet import Authority, Host, hosts
from tests.support.remediator import alert, notification
from tests.support.wait import eventually_async

NAMES = ["db1.example", "db2.example", "db3.example"]


class Route:
    """A dispatcher in this process, and its hosts."""

    def __init__(self, url: str, found: dict[str, Host], targets: Path) -> None:
        self.url = url
        self.hosts = found
        self.targets = targets
        self.session = aiohttp.ClientSession()

    async def post(self, *alerts: dict[str, Any], **arguments: Any) -> int:
        body = json.dumps(notification(*alerts))
        return await self.post_body(body, **arguments)

    async def post_body(self, body: Any, **arguments: Any) -> int:
        headers = {"Content-Type": "application/json"} | arguments.pop("headers", {})
        async with self.session.post(f"{self.url}/alerts", data=body, headers=headers) as answer:
            return answer.status

    async def metric(self, name: str, **labels: str) -> float:
        async with self.session.get(f"{self.url}/metrics") as answer:
            text = await answer.text()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        raise AssertionError(f"no sample {name} {labels}")


def write_targets(path: Path, found: dict[str, Host]) -> None:
    groups = [
        {"targets": [host.address], "labels": {"instance": f"{name}:10088"}}
        for name, host in found.items()
    ]
    path.write_text(json.dumps(groups))


Open = Callable[..., Any]


@pytest.fixture
def route(tmp_path: Path) -> Open:
    """Makes a dispatcher with three hosts; keyword arguments go into its configuration."""
    authority = Authority(tmp_path)

    @asynccontextmanager
    async def opened(*, tls: ClientTls | None = None, **fields: Any) -> AsyncIterator[Route]:
        async with AsyncExitStack() as stack:
            found = await stack.enter_async_context(hosts(authority, NAMES))
            file = tmp_path / "targets.json"
            write_targets(file, found)
            config = RouteConfig(
                targets=Targets(file=file),
                hosts_tls=tls or authority.client("route.example"),
                **fields,
            )
            metrics, targets = RouteMetrics(), targets_of(config)
            dispatcher = Dispatcher(config, targets, metrics)
            await dispatcher.open()
            stack.push_async_callback(dispatcher.close)
            site = RouteWeb(config, targets, dispatcher, metrics)
            runner = await listen(site.application(), [Address("127.0.0.1", 0)], None)
            stack.push_async_callback(runner.cleanup)
            route = Route(f"http://127.0.0.1:{runner.addresses[0][1]}", found, file)
            stack.push_async_callback(route.session.close)
            yield route

    return opened


def for_host(host: str, **fields: Any) -> dict[str, Any]:
    return alert(instance=f"{host}:10088", **fields)


async def test_each_host_gets_its_alerts_and_no_others(route: Open) -> None:
    async with route() as it:
        sent = [for_host(name, name=f"Alert{n}") for n in range(4) for name in NAMES]
        assert await it.post(*sent) == 202
        for name, host in it.hosts.items():
            assert [a.name for a in host.alerts] == [f"Alert{n}" for n in range(4)]
            assert {a.labels["instance"] for a in host.alerts} == {f"{name}:10088"}
            assert host.posts == 1


async def test_hosts_see_the_certificate_and_the_token(route: Open, tmp_path: Path) -> None:
    (tmp_path / "hosts.token").write_text("open sesame\n")
    async with route(hosts_token_file=tmp_path / "hosts.token") as it:
        assert await it.post(for_host("db1.example")) == 202
        assert it.hosts["db1.example"].senders == {"route.example"}
        assert it.hosts["db1.example"].tokens == {"Bearer open sesame"}


async def test_without_a_certificate_no_host_takes_anything(route: Open, tmp_path: Path) -> None:
    async with route(tls=ClientTls(ca_file=tmp_path / "ca.crt")) as it:
        assert await it.post(for_host("db1.example")) == 503
        assert not it.hosts["db1.example"].alerts


async def test_a_host_of_another_authority_gets_nothing(route: Open, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    cert, key = other.issue("route.example")
    async with route(tls=ClientTls(ca_file=other.file, cert_file=cert, key_file=key)) as it:
        assert await it.post(for_host("db1.example")) == 503
        assert it.hosts["db1.example"].posts == 0
        assert await it.metric("ipmp_route_deliveries_total", outcome="unreachable") == 1


@pytest.mark.parametrize("status", [302, 307, 400, 401, 413, 500, 503])
async def test_503_until_every_host_has_stored_its_part(route: Open, status: int) -> None:
    async with route() as it:
        away = it.hosts["db2.example"]
        away.status, away.location = status, "/alerts" if status < 400 else ""
        alerts = [for_host(name) for name in NAMES]
        assert await it.post(*alerts) == 503
        assert len(it.hosts["db1.example"].alerts) == len(it.hosts["db3.example"].alerts) == 1
        assert await it.metric("ipmp_route_deliveries_total", outcome="refused") == 1
        away.status, away.location = 202, ""
        assert await it.post(*alerts) == 202
        assert len(away.alerts) == 1


async def test_a_silent_host_delays_nobody_else_and_ends_in_503(route: Open) -> None:
    limits = Limits(host_timeout=0.3, timeout=5.0)  # type: ignore[arg-type]
    async with route(limits=limits) as it:
        it.hosts["db1.example"].silent.clear()
        assert await it.post(*(for_host(name) for name in NAMES)) == 503
        assert len(it.hosts["db2.example"].alerts) == len(it.hosts["db3.example"].alerts) == 1
        assert await it.metric("ipmp_route_deliveries_total", outcome="timeout") == 1


async def test_a_host_that_is_down_is_found_when_it_is_back(route: Open, tmp_path: Path) -> None:
    async with route() as it:
        host = it.hosts["db1.example"]
        await host.stop()
        assert await it.post(for_host("db1.example")) == 503
        await host.start(_tls(tmp_path))  # on another port
        write_targets(it.targets, it.hosts)
        assert await it.post(for_host("db1.example")) == 202


def _tls(directory: Path) -> Any:
    return server_context(
        ServerTls(directory / "127.0.0.1.crt", directory / "127.0.0.1.key", directory / "ca.crt")
    )


async def test_a_host_that_was_restarted_is_not_missed(route: Open, tmp_path: Path) -> None:
    """The connection that was kept for the next part is closed by then."""
    async with route() as it:
        host = it.hosts["db1.example"]
        assert await it.post(for_host("db1.example")) == 202
        port = int(host.address.rpartition(":")[2])
        await host.stop()
        await host.start(_tls(tmp_path), port)
        assert await it.post(for_host("db1.example")) == 202
        assert len(host.alerts) == 2


async def test_an_unknown_host_is_tried_again_and_found_once_it_is_in_the_file(route: Open) -> None:
    async with route() as it:
        write_targets(it.targets, {"db1.example": it.hosts["db1.example"]})
        assert await it.post(for_host("db1.example"), for_host("db2.example")) == 503
        assert len(it.hosts["db1.example"].alerts) == 1
        assert await it.metric("ipmp_route_deliveries_total", outcome="unknown_host") == 1
        write_targets(it.targets, it.hosts)
        assert await it.post(for_host("db2.example")) == 202


async def test_a_damaged_file_leaves_the_targets_in_force(route: Open) -> None:
    async with route() as it:
        it.targets.write_text("[{")
        assert await it.post(for_host("db1.example")) == 202


async def test_what_no_host_can_be_read_from_is_told_and_not_tried_again(route: Open) -> None:
    async with route() as it:
        strange = [alert(), alert(instance=""), alert(instance="db1.example/../x:1")]
        assert await it.post(for_host("db1.example"), *strange) == 202
        assert len(it.hosts["db1.example"].alerts) == 1
        total = "ipmp_route_alerts_unroutable_total"
        assert await it.metric(total, reason="missing_label") == 2
        assert await it.metric(total, reason="invalid_host") == 1
        assert await it.metric("ipmp_route_alerts_total") == 4


async def test_large_parts_arrive_in_pieces_that_a_remediator_takes(route: Open) -> None:
    async with route() as it:
        many = [for_host("db1.example", name=f"A{n}", note="x" * 1500) for n in range(600)]
        huge = for_host("db1.example", note="x" * 250_000)
        assert await it.post(*many, huge) == 202
        assert [a.name for a in it.hosts["db1.example"].alerts] == [f"A{n}" for n in range(600)]
        total = "ipmp_route_alerts_unroutable_total"
        assert await it.metric(total, reason="too_large") == 1


async def test_only_so_many_connections_at_a_time(route: Open) -> None:
    async with route(limits=Limits(connections=1)) as it:
        posts = [it.post(for_host("db1.example")) for _ in range(20)]
        assert set(await asyncio.gather(*posts)) == {202}
        assert it.hosts["db1.example"].most_at_once == 1


async def test_more_notifications_than_the_limit_get_503(route: Open) -> None:
    async with route(limits=Limits(notifications=1)) as it:
        host = it.hosts["db1.example"]
        host.silent.clear()
        first = asyncio.create_task(it.post(for_host("db1.example")))
        await eventually_async(lambda: host.at_once == 1)
        assert await it.post(for_host("db2.example")) == 503
        host.silent.set()
        assert await first == 202


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"version": "4"}',
        b'{"version": "3", "alerts": []}',
        b'{"version": "4", "alerts": [1]}',
        b'{"version": "4", "alerts": [], "x": NaN}',
        b"[" * 100_000,
        b'{"version": "4", "x": ' + b"[" * 900 + b"]" * 900 + b', "alerts": [' + b"{}," * 9 + b"]}",
    ],
)
async def test_what_is_no_notification_gets_400_never_5xx(route: Open, body: bytes) -> None:
    async with route() as it:
        assert await it.post_body(body) == 400


async def test_other_limits_of_requests(route: Open) -> None:
    async with route(limits=Limits(body=2048, alerts=2)) as it:
        assert await it.post_body(b"x" * 4096) == 413
        assert await it.post_body(b"{}", headers={"Content-Type": "text/plain"}) == 415
        assert await it.post_body(b"{}", headers={"Content-Encoding": "identity"}) == 415
        empty = json.dumps({"version": "4", "alerts": [{}, {}, {}]})
        assert await it.post_body(empty) == 400
        async with it.session.get(f"{it.url}/alerts") as answer:
            assert answer.status == 405


async def test_alertmanager_needs_the_token(route: Open, tmp_path: Path) -> None:
    token = tmp_path / "route.token"
    token.write_text("sesame")
    assert TokenFile(token).token() == b"sesame"
    async with route(token_file=token) as it:
        assert await it.post(for_host("db1.example")) == 401
        right = {"Authorization": "Bearer sesame"}
        assert await it.post(for_host("db1.example"), headers=right) == 202
        token.unlink()
        assert await it.post(for_host("db1.example"), headers=right) == 401


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ipmp_remediator.command", "route", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "100"},
        timeout=60,
    )


def test_check_tells_every_mistake_at_once(tmp_path: Path) -> None:
    file = tmp_path / "route.toml"
    file.write_text(
        'host_label = "a-b"\nhots_label = "x"\n[targets]\nfile = "t"\n'
        "[limits]\ntimeout = 9\nconnections = 0\n"
    )
    done = command("--check", "--config.file", str(file))
    assert done.returncode == 1
    wrong = done.stderr.splitlines()
    assert len(wrong) == 5
    for key in ("host_label", "hots_label", "limits.timeout", "limits.connections", "hosts_tls"):
        assert any(f"{file}: {key} " in line for line in wrong), key


def test_check_of_the_example(tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "remediator" / "route.toml.example"
    (tmp_path / "route.toml").write_text(example.read_text())
    for name in ("hosts-ca", "alertmanagers-ca"):
        Authority(tmp_path, name)
    cert, key = Authority(tmp_path).issue("route")
    assert (cert.name, key.name) == ("route.crt", "route.key")
    (tmp_path / "route.token").write_text("sesame")
    (tmp_path / "remediators.json").write_text('[{"targets": ["db1.example:10089"]}]')
    done = command("--check", "--config.file", str(tmp_path / "route.toml"))
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_served_to_everybody(tmp_path: Path) -> None:
    cert, key = Authority(tmp_path).issue("route")
    (tmp_path / "t.json").write_text("[]")
    file = tmp_path / "route.toml"
    file.write_text(
        f'[targets]\nfile = "t.json"\n[hosts_tls]\ncert_file = "{cert}"\nkey_file = "{key}"\n'
    )
    done = command("--config.file", str(file), "--web.listen-address", "0.0.0.0:0")
    assert done.returncode == 1
    assert "anybody could send" in done.stderr
