"""A scrape over HTTP, from a real socket to a real (stand-in) daemon's socket."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import threading
import time
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ipmp.model import Status
from ipmp_exporter import exposition
from ipmp_exporter.collectors import DEFAULT
from ipmp_exporter.collectors.family import Subject
from ipmp_exporter.collectors.groups import GROUPS
from ipmp_exporter.server import Exporter
from tests.support import exporter_statuses as statuses
from tests.support.exporter_daemon import FakeDaemon
from tests.support.wait import eventually_async

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0"}
TIMEOUT = "X-Prometheus-Scrape-Timeout-Seconds"


async def scrape(client: TestClient, path: str = "/metrics", **headers: str) -> str:
    async with client.get(path, headers=headers) as response:
        assert response.status == 200
        return await response.text()


def series(text: str) -> dict[str, str]:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: number for name, _, number in lines}


def without_self(text: str) -> dict[str, str]:
    changing = ("process_", "ipmp_collector_duration_seconds")
    return {k: v for k, v in series(text).items() if not k.startswith(changing)}


async def test_scrape_tells_the_state(client: TestClient, daemon: FakeDaemon) -> None:
    found = series(await scrape(client))
    assert found["ipmp_up"] == "1.0"
    assert found['ipmp_group_interfaces{group="ipmp0"}'] == "2.0"
    daemon.answer = statuses.offline()
    key = 'ipmp_interface_state{group="ipmp0",interface="ni0",ipmp_interface_state="offline"}'
    assert found[key] == "0.0"
    assert series(await scrape(client))[key] == "1.0"


async def test_two_scrapes_of_one_state_are_equal(client: TestClient, daemon: FakeDaemon) -> None:
    assert without_self(await scrape(client)) == without_self(await scrape(client))


@pytest.mark.checklist("7.2", 17)
async def test_each_of_many_concurrent_scrapes_shows_one_snapshot(
    client: TestClient, daemon: FakeDaemon
) -> None:
    """With timeouts of their own, so that each has a reading of its own."""
    alone = await alone_of(client, daemon)
    daemon.may_answer.clear()
    waiting = []
    order = ["healthy", "offline"] * 8
    for number, name in enumerate(order):
        daemon.answer = getattr(statuses, name)()
        asked = daemon.requests
        waiting.append(asyncio.create_task(scrape(client, **{TIMEOUT: f"{10 + number}"})))
        await eventually_async(lambda asked=asked: daemon.requests > asked)
    daemon.may_answer.set()
    texts = await asyncio.gather(*waiting)
    assert [without_self(text) for text in texts] == [alone[name] for name in order]


@pytest.mark.checklist("7.2", 17)
async def test_scrapes_that_share_a_reading_see_nothing_older_than_their_question(
    client: TestClient, daemon: FakeDaemon
) -> None:
    alone = await alone_of(client, daemon)
    daemon.may_answer.clear()
    daemon.answer, asked = statuses.healthy(), daemon.requests
    first = asyncio.create_task(scrape(client))
    await eventually_async(lambda: daemon.requests > asked)
    daemon.answer = statuses.offline()
    later = [asyncio.create_task(scrape(client)) for _ in range(15)]
    daemon.may_answer.set()
    assert without_self(await first) == alone["healthy"]
    texts = [without_self(text) for text in await asyncio.gather(*later)]
    assert texts == [alone["offline"]] * 15


async def alone_of(client: TestClient, daemon: FakeDaemon) -> dict[str, str]:
    """What a scrape of each state shows that nobody else disturbs."""
    shown = {}
    for name in ("healthy", "offline"):
        daemon.answer = getattr(statuses, name)()
        shown[name] = without_self(await scrape(client))
    return shown


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain; version=0.0.4; charset=utf-8"),
        (
            "text/plain;version=1.0.0",
            "text/plain; version=1.0.0; charset=utf-8; escaping=underscores",
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
        ),
        ("application/openmetrics-text;version=abc", "text/plain; version=0.0.4; charset=utf-8"),
        (",,;;=ÿ", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
@pytest.mark.checklist("7.2", 25)
async def test_content_type(
    client: TestClient, daemon: FakeDaemon, accept: str | None, content_type: str
) -> None:
    headers = {"Accept": accept} if accept is not None else {}
    async with client.get("/metrics", headers=headers, skip_auto_headers=["Accept"]) as response:
        assert response.status == 200
        assert response.headers.getall("Content-Type") == [content_type]
        assert response.headers["Vary"] == "Accept, Accept-Encoding"
        text = await response.text()
    assert text.endswith("# EOF\n") == content_type.startswith("application/openmetrics-text")
    assert "ipmp_up 1.0\n" in text


@pytest.mark.checklist("7.2", 25)
async def test_header_that_is_not_text(client: TestClient, daemon: FakeDaemon) -> None:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(b"GET /metrics HTTP/1.0\r\nAccept: \xff\xfe;version=\x80,\r\n\r\n")
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in answer


@pytest.mark.parametrize("scheme", ["underscores", "allow-utf-8", "values"])
@pytest.mark.checklist("7.2", 26)
async def test_escaping_leaves_our_names_as_they_are(
    client: TestClient, daemon: FakeDaemon, scheme: str
) -> None:
    accept = f"text/plain;version=1.0.0;escaping={scheme}"
    assert without_self(await scrape(client, Accept=accept)) == without_self(await scrape(client))


async def test_two_accept_headers_are_one_list(client: TestClient, daemon: FakeDaemon) -> None:
    headers = [("Accept", "text/plain;q=0.1"), ("Accept", "application/openmetrics-text")]
    async with client.get("/metrics", headers=headers) as response:
        assert response.content_type == "application/openmetrics-text"


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"), [("gzip", True), ("gzip;q=0", False), ("deflate", False)]
)
@pytest.mark.checklist("7.2", 27)
async def test_compression(daemon: FakeDaemon, accept_encoding: str, compressed: bool) -> None:
    server = TestServer(Exporter(daemon.run_dir).app())
    async with (
        TestClient(server, auto_decompress=False) as client,
        client.get("/metrics", headers={"Accept-Encoding": accept_encoding}) as response,
    ):
        body = await response.read()
        assert response.headers.get("Content-Encoding") == ("gzip" if compressed else None)
        assert int(response.headers["Content-Length"]) == len(body)
    assert b"ipmp_up 1.0\n" in (gzip.decompress(body) if compressed else body)


@pytest.mark.checklist("7.2", 28)
async def test_head_has_the_headers_and_no_body(client: TestClient, daemon: FakeDaemon) -> None:
    async with client.head("/metrics", headers=OPENMETRICS) as response:
        assert response.status == 200
        assert response.content_type == "application/openmetrics-text"
        assert int(response.headers["Content-Length"]) > 1000
        assert await response.read() == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy"])
@pytest.mark.checklist("7.2", 28)
async def test_only_get_and_head(
    client: TestClient, daemon: FakeDaemon, method: str, path: str
) -> None:
    async with client.request(method, path) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"
    assert daemon.requests == 0


@pytest.mark.checklist("7.2", 19)
async def test_names_choose_series(client: TestClient, daemon: FakeDaemon) -> None:
    path = "/metrics?name[]=ipmp_up&name[]=ipmp_group_interfaces"
    assert series(await scrape(client, path)) == {
        'ipmp_group_interfaces{group="ipmp0"}': "2.0",
        'ipmp_group_interfaces{group="storage"}': "2.0",
        "ipmp_up": "1.0",
    }
    own = series(await scrape(client, "/metrics?name[]=process_open_fds"))
    assert list(own) == ["process_open_fds"]
    timed = series(await scrape(client, "/metrics?name[]=ipmp_collector_duration_seconds"))
    assert len(timed) == 1 + len(DEFAULT)  # the reading itself, and every collector


@pytest.mark.checklist("7.2", 19)
async def test_unknown_name_is_an_empty_valid_body(client: TestClient, daemon: FakeDaemon) -> None:
    assert await scrape(client, "/metrics?name[]=nonsense") == ""
    text = await scrape(client, "/metrics?name[]=nonsense", **OPENMETRICS)
    assert text == "# EOF\n"
    assert list(text_string_to_metric_families(text)) == []


async def assert_away(client: TestClient, **headers: str) -> None:
    text = await scrape(client, **(OPENMETRICS | headers))
    found = series(text)
    assert list(text_string_to_metric_families(text))
    assert found["ipmp_up"] == "0.0"
    assert found['ipmp_collector_success{collector="status"}'] == "0.0"
    assert "process_open_fds" in found
    assert [name for name in found if name.startswith("ipmp_build_info")]
    assert not [name for name in found if name.startswith(("ipmp_group", "ipmp_interface"))]


@pytest.mark.checklist("7.2", 21)
async def test_daemon_that_goes_and_comes(client: TestClient, run_dir: Path) -> None:
    await assert_away(client)
    async with FakeDaemon(run_dir, statuses.healthy()).listening():
        assert series(await scrape(client))["ipmp_up"] == "1.0"
    await assert_away(client)
    async with FakeDaemon(run_dir, statuses.healthy()).listening():
        assert series(await scrape(client))["ipmp_up"] == "1.0"


async def test_socket_that_nobody_listens_on(client: TestClient, run_dir: Path) -> None:
    (run_dir / "status.sock").touch()
    await assert_away(client)


@pytest.mark.checklist("7.2", 29)
async def test_slow_daemon_costs_less_than_the_scraper_waits(
    client: TestClient, daemon: FakeDaemon
) -> None:
    daemon.may_answer.clear()
    began = time.monotonic()
    await assert_away(client, **{TIMEOUT: "0.4"})
    assert time.monotonic() - began < 0.4
    daemon.may_answer.set()
    assert series(await scrape(client))["ipmp_up"] == "1.0"


@pytest.mark.parametrize("timeout", ["soon", "-1", "0", "nan", "inf", ""])
async def test_strange_timeout_is_ignored(
    client: TestClient, daemon: FakeDaemon, timeout: str
) -> None:
    assert series(await scrape(client, **{TIMEOUT: timeout}))["ipmp_up"] == "1.0"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b'{"host": "\xff"}',
        b'{"host": 5, "time": "x"}',
        b"[" * 200_000,
        b'{"x":' * 200_000,
        json.dumps({"host": "h", "time": 1, "daemon": {}, "groups": 1}).encode(),
    ],
)
@pytest.mark.checklist("7.2", 21)
async def test_garbage_from_the_daemon(
    client: TestClient, daemon: FakeDaemon, answer: bytes
) -> None:
    daemon.answer = answer
    await assert_away(client)


@pytest.mark.parametrize("http_status", [204, 301, 404, 500, 503])
async def test_error_from_the_daemon(
    client: TestClient, daemon: FakeDaemon, http_status: int
) -> None:
    daemon.http_status = http_status
    await assert_away(client)


async def test_something_else_on_the_socket(client: TestClient, run_dir: Path) -> None:
    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org ESMTP\r\n")
        writer.close()

    async with await asyncio.start_unix_server(slam, run_dir / "status.sock"):
        await assert_away(client)


@pytest.mark.checklist("7.2", 30)
async def test_rendering_does_not_hold_up_the_loop(daemon: FakeDaemon) -> None:
    """A subject that does not end until the exporter has answered something else meanwhile."""
    rendering, answered = threading.Event(), threading.Event()

    class Endless(Subject):
        def collect(self, status: Status) -> list[exposition.Metric]:
            rendering.set()
            assert answered.wait(10), "the loop was blocked"
            return []

    exporter = Exporter(daemon.run_dir, subjects=(Endless("endless", ()),))
    async with TestClient(TestServer(exporter.app())) as client:
        waiting = asyncio.create_task(scrape(client))
        await eventually_async(rendering.is_set)
        assert await scrape(client, "/-/healthy") == "ipmp_exporter is healthy.\n"
        answered.set()
        found = series(await waiting)
    assert found['ipmp_collector_success{collector="endless"}'] == "1.0"


@pytest.mark.checklist("7.2", 29)
async def test_what_is_late_is_left_out_and_reported(daemon: FakeDaemon) -> None:
    """Prometheus has given up by then: better a part of the truth in time."""

    class Slow(Subject):
        def collect(self, status: Status) -> list[exposition.Metric]:
            time.sleep(0.3)  # most of what the scraper waits
            return super().collect(status)

    subjects = (Slow("slow", ()), GROUPS)
    async with TestClient(TestServer(Exporter(daemon.run_dir, subjects=subjects).app())) as client:
        found = series(await scrape(client, **{TIMEOUT: "0.4"}))
        assert found['ipmp_collector_success{collector="slow"}'] == "1.0"
        assert found['ipmp_collector_success{collector="groups"}'] == "0.0"
        assert found["ipmp_up"] == "1.0"
        assert 'ipmp_group_interfaces{group="ipmp0"}' not in found
        found = series(await scrape(client, **{TIMEOUT: "10"}))
        assert found['ipmp_group_interfaces{group="ipmp0"}'] == "2.0"


@pytest.mark.checklist("7.2", 33)
async def test_collect_and_exclude_choose_collectors(
    client: TestClient, daemon: FakeDaemon
) -> None:
    def collectors(found: dict[str, str]) -> set[str]:
        pattern = re.compile(r'ipmp_collector_success{collector="(\w+)"}')
        return {m[1] for m in map(pattern.fullmatch, found) if m}

    two = series(await scrape(client, "/metrics?collect[]=groups&collect[]=daemon"))
    assert collectors(two) == {"status", "groups", "daemon"}
    assert not [name for name in two if name.startswith("ipmp_interface_")]
    rest = series(await scrape(client, "/metrics?exclude[]=addresses"))
    assert collectors(rest) == {"status"} | {s.name for s in DEFAULT} - {"addresses"}
    assert not [name for name in rest if name.startswith("ipmp_address_")]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("collect[]=weather", "there is no collector 'weather' switched on"),
        ("collect[]=targets", "there is no collector 'targets' switched on"),
        ("exclude[]=", "there is no collector ''"),
        ("collect[]=groups&exclude[]=daemon", "cannot be combined"),
        ("collects[]=groups", "there is no parameter 'collects[]'"),
        ("&".join(["name[]=x"] * 101), "at most 100 names"),
    ],
)
async def test_query_that_cannot_be_meant(
    client: TestClient, daemon: FakeDaemon, query: str, words: str
) -> None:
    async with client.get(f"/metrics?{query}") as response:
        assert response.status == 400
        assert words in await response.text()
    assert daemon.requests == 0


async def test_more_scrapes_than_allowed_are_told_to_come_again(daemon: FakeDaemon) -> None:
    daemon.may_answer.clear()
    exporter = Exporter(daemon.run_dir, max_requests=2)
    async with TestClient(TestServer(exporter.app())) as client:
        timeouts = ("10", "11")  # so that each has a reading of its own
        waiting = [asyncio.create_task(scrape(client, **{TIMEOUT: t})) for t in timeouts]
        await eventually_async(lambda: daemon.requests == 2)
        async with client.get("/metrics") as response:
            assert response.status == 503
            assert "--web.max-requests" in await response.text()
        assert await scrape(client, "/-/healthy")
        daemon.may_answer.set()
        await asyncio.gather(*waiting)
        assert series(await scrape(client))["ipmp_up"] == "1.0"


async def test_own_process_can_be_left_out(daemon: FakeDaemon) -> None:
    exporter = Exporter(daemon.run_dir, own_process=False)
    async with TestClient(TestServer(exporter.app())) as client:
        assert not [n for n in series(await scrape(client)) if n.startswith("process_")]


async def test_thousands_of_addresses(client: TestClient, daemon: FakeDaemon) -> None:
    daemon.answer = statuses.many(members=4, addresses=2000)
    found = series(await scrape(client, Accept="text/plain"))
    placed = [v for name, v in found.items() if name.startswith("ipmp_address_placement{")]
    assert (len(placed), placed.count("1.0")) == (8000, 2000)


@pytest.mark.checklist("7.2", 18)
async def test_two_exporters_in_one_process_do_not_meet(
    client: TestClient, daemon: FakeDaemon, tmp_path: Path
) -> None:
    async with TestClient(TestServer(Exporter(tmp_path, "/other").app())) as other:
        assert series(await scrape(other, "/other"))["ipmp_up"] == "0.0"
        async with other.get("/metrics") as response:
            assert response.status == 404
    assert series(await scrape(client))["ipmp_up"] == "1.0"
