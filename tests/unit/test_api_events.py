"""The stream of events: resumed, alive, ended, and never a burden to the daemon."""

import asyncio
import socket
import time

import aiohttp
import msgspec
import pytest

from ipmp.model import Event
from tests.support.api import decision, running_api, until


@pytest.fixture
async def api(tmp_path):
    async with running_api(tmp_path, keep_alive=0.05, patience=0.5) as api:
        yield api


async def lines(response: aiohttp.ClientResponse, count: int) -> list[int]:
    """The numbers of the next events; empty lines are signs of life."""
    found: list[int] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            line = await response.content.readline()
            assert line.endswith(b"\n"), "the stream has ended"
            if line.strip():
                found.append(msgspec.json.decode(line, type=Event).id)
    return found


async def test_events_since_a_number_and_then_live(api):
    api.controller.publish(*map(decision, range(5)))
    response = await api.read.get("/v1/events?since=2")
    assert response.content_type == "application/x-ndjson"
    assert await lines(response, 3) == [3, 4, 5]
    api.controller.publish(decision(6), decision(7))
    assert await lines(response, 2) == [6, 7]


async def test_events_without_a_number_are_new_ones(api):
    api.controller.publish(*map(decision, range(5)))
    response = await api.read.get("/v1/events")
    api.controller.publish(decision(6))
    assert await lines(response, 1) == [6]


async def test_a_number_from_the_future_starts_with_the_oldest(api):
    api.controller.publish(decision(1), decision(2))
    response = await api.read.get("/v1/events?since=4000")
    assert await lines(response, 2) == [1, 2]


@pytest.mark.parametrize("query", ["since=-1", "since=x", "from=1"])
async def test_a_bad_query_of_the_events(api, query):
    assert (await api.read.get(f"/v1/events?{query}")).status == 400


async def test_a_quiet_stream_shows_signs_of_life(api):
    response = await api.read.get("/v1/events")
    assert [await response.content.readline() for _ in range(3)] == [b"\n"] * 3


async def test_a_client_that_leaves_is_unsubscribed(api):
    response = await api.read.get("/v1/events")
    await until(lambda: api.controller.queues)
    response.close()
    await until(lambda: not api.controller.queues)


async def test_a_reader_that_is_killed_as_it_is_written_to_leaves_no_traceback(api, caplog):
    for _ in range(20):
        reader = socket.socket(socket.AF_UNIX)
        reader.connect(str(api.run_dir / "status.sock"))
        reader.sendall(b"GET /v1/events HTTP/1.1\r\nHost: mpathd\r\n\r\n")
        await until(lambda: api.controller.queues)
        reader.close()
        api.controller.publish(*map(decision, range(100)))  # before the end is noticed
        await until(lambda: not api.controller.queues)
    assert caplog.text == ""


async def test_a_reader_that_takes_nothing_is_dropped(api):
    reader = socket.socket(socket.AF_UNIX)
    reader.connect(str(api.run_dir / "status.sock"))
    reader.sendall(b"GET /v1/events HTTP/1.1\r\nHost: mpathd\r\n\r\n")
    await until(lambda: api.controller.queues)
    (queue,) = api.controller.queues
    begun = time.monotonic()
    while api.controller.queues and time.monotonic() - begun < 10:
        api.controller.publish(*map(decision, range(100)))
        assert queue.qsize() <= 1000
        await asyncio.sleep(0.001)  # the server writes, until its patience is over
    assert not api.controller.queues
    reader.settimeout(5)
    # In a thread: the server closes the connection in this loop.
    received = await asyncio.to_thread(lambda: b"".join(iter(lambda: reader.recv(65536), b"")))
    assert not received.endswith(b"0\r\n\r\n"), "cut off, and not as if it were complete"
    reader.close()


async def test_a_reader_that_missed_an_event_is_told_by_the_end_of_its_stream(api):
    response = await api.read.get("/v1/events")
    await until(lambda: api.controller.queues)
    api.controller.publish(*map(decision, range(1500)))  # at once, so that the queue overflows
    async with asyncio.timeout(5):
        rest = await response.read()
    assert rest.strip() == b""


async def test_too_many_streams_are_refused(api, monkeypatch):
    monkeypatch.setattr("ipmp.api.stream.MAX_STREAMS", 1)
    first = await api.read.get("/v1/events")
    second = await api.read.get("/v1/events")
    assert second.status == 503
    assert (await second.json(content_type=None))["code"] == "busy"
    first.close()


async def test_close_ends_streams_promptly_and_in_order(tmp_path):
    async with running_api(tmp_path) as api:  # keep-alive of 15 s
        response = await api.read.get("/v1/events")
        await until(lambda: api.controller.queues)
        begun = time.monotonic()
        await api.server.close()
        assert time.monotonic() - begun < 1.5
        assert (await response.read()).strip() == b""
