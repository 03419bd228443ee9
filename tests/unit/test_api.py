"""The status and control API over real Unix sockets, as docs/api.md promises it."""

import asyncio
import itertools

import aiohttp
import msgspec
import pytest
import structlog
from yarl import URL

from ipmp.api.once import Once
from ipmp.client import Client, ProblemError
from ipmp.config import ConfigError
from ipmp.decision import Decision, Kind, Reason, Refusal
from ipmp.model import (
    AddressStatus,
    Event,
    Family,
    OperationRequest,
    OperationResult,
    Problem,
    ProblemCode,
    Status,
)
from tests.support.api import ME, decision, running_api, status, until

OFFLINE = "/v1/interfaces/ni0/offline"


@pytest.fixture
async def api(tmp_path):
    async with running_api(tmp_path, keep_alive=0.05, patience=0.5) as api:
        yield api


async def problem_of(response: aiohttp.ClientResponse) -> Problem:
    assert response.content_type == "application/problem+json"
    found = msgspec.json.decode(await response.read(), type=Problem)
    assert found.status == response.status
    assert "Traceback" not in found.detail
    return found


def refused(reason: Reason) -> Refusal:
    return Refusal(Decision(Kind.REFUSED, reason, "ipmp0", interface="ni0"))


# Reading.


@pytest.mark.parametrize("session", ["read", "control"])
async def test_status_is_the_struct_on_both_sockets(api, session):
    response = await getattr(api, session).get("/v1/status")
    assert response.status == 200
    assert response.content_type == "application/json"
    assert msgspec.json.decode(await response.read(), type=Status) == api.controller.current


async def test_a_changed_status_is_shown_at_once(api):
    for host in ("one", "two"):
        api.controller.current = msgspec.structs.replace(api.controller.current, host=host)
        assert (await (await api.read.get("/v1/status")).json())["host"] == host


async def test_the_status_of_ten_thousand_addresses(api):
    addresses = tuple(
        AddressStatus(f"10.0.{i // 256}.{i % 256}/16", "ipmp0", Family.IPV4, "ni0", reason="home")
        for i in range(10_000)
    )
    api.controller.current = status(addresses=addresses)
    response = await api.read.get("/v1/status")
    found = msgspec.json.decode(await response.read(), type=Status)
    assert found.addresses == addresses


async def test_history_with_filters(api):
    api.controller.publish(decision(0), decision(1), decision(0))
    response = await api.read.get("/v1/history?interface=ni0&limit=5&kind=interface-state&since=0")
    found = msgspec.json.decode(await response.read(), type=list[Event])
    assert [event.id for event in found] == [1, 3]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=10001", "limit=many", "since=today", "kind=rain", "colour=red"]
)
async def test_a_bad_query_of_the_history(api, query):
    response = await api.read.get(f"/v1/history?{query}")
    assert response.status == 400
    assert (await problem_of(response)).detail.startswith("the query is not valid: ")


async def test_explain(api):
    response = await api.read.get("/v1/explain/192.168.1.5/24")
    assert await response.json() == {"object": "192.168.1.5/24", "sentences": ["It is on ni0."]}


async def test_explain_what_does_not_exist(api):
    response = await api.read.get("/v1/explain/eth7%1b")
    assert response.status == 404
    assert (await problem_of(response)).detail == (
        "eth7? is not a group, a member or a data address of this host"
    )


# What the read-only socket does not do.


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", [OFFLINE, "/v1/status", "/v1/reload", "/nowhere"])
async def test_the_status_socket_only_answers_get(api, method, path):
    response = await api.read.request(method, path)
    assert response.status == 405
    assert response.headers["Allow"] == "GET"
    assert api.controller.calls == []


@pytest.mark.parametrize("session", ["read", "control"])
async def test_unknown_paths(api, session):
    response = await getattr(api, session).get("/v2/status")
    assert response.status == 404
    assert (await problem_of(response)).code == ProblemCode.INVALID


async def test_get_of_an_operation(api):
    response = await api.control.get(OFFLINE)
    assert response.status == 405
    assert response.headers["Allow"] == "POST"


# Operating.


@pytest.mark.parametrize("operation", ["offline", "online", "hold", "release"])
async def test_operations_reach_the_controller_with_their_actor(api, operation):
    body = {"reason": "switch", "dry_run": True}
    response = await api.control.post(f"/v1/interfaces/ni0/{operation}", json=body)
    assert response.status == 200
    found = msgspec.json.decode(await response.read(), type=OperationResult)
    assert found == OperationResult("ni0", operation, changed=True, dry_run=True)
    request = OperationRequest(reason="switch", dry_run=True)
    assert api.controller.calls == [(operation, "ni0", request, ME)]


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("192.168.1.5", "192.168.1.5"),
        ("192.168.1.5%2F24", "192.168.1.5/24"),
        ("FD00:1:0::5%2F64", "fd00:1::5/64"),
    ],
)
async def test_an_address_to_forget_reaches_the_controller_as_the_kernel_spells_it(
    api, path, address
):
    body = {"reason": "gone", "dry_run": True}
    response = await api.control.post(URL(f"/v1/addresses/{path}/forget", encoded=True), json=body)
    assert response.status == 200
    request = OperationRequest(reason="gone", dry_run=True)
    assert api.controller.calls == [("forget", address, request, ME)]


@pytest.mark.parametrize(
    "path", ["ni0", "192.168.1.5.6", "::%251b", "%1b[31m", "1.2.3.4%00", "::%2F%1b"]
)
async def test_what_is_no_address_is_an_unknown_one(api, path):
    response = await api.control.post(URL(f"/v1/addresses/{path}/forget", encoded=True))
    assert response.status == 404
    found = await problem_of(response)
    assert found.code == ProblemCode.UNKNOWN_ADDRESS
    assert found.detail.isprintable()
    assert api.controller.calls == []


async def test_forget_twice_with_one_request_id_is_one_operation(api):
    for _ in range(2):
        response = await api.control.post(
            "/v1/addresses/192.168.1.5/forget", json={"request_id": "a"}
        )
        assert response.status == 200
    assert len(api.controller.calls) == 1


async def test_a_program_is_named_before_its_user(api):
    for actor in ("if_mpadm", "remediator"):
        await api.control.post(OFFLINE, json={"actor": actor})
    assert [call[3] for call in api.controller.calls] == [
        f"if_mpadm by {ME}",
        f"remediator by {ME}",
    ]


async def test_pause_resume_and_reload(api):
    assert (await api.control.post("/v1/pause", json={"reason": "work"})).status == 200
    assert (await api.control.post("/v1/resume")).status == 200
    assert await (await api.control.post("/v1/reload")).json() == {"generation": 7}
    assert api.controller.calls == [
        ("pause", OperationRequest(reason="work"), ME),
        ("resume", OperationRequest(), ME),
        ("reload", ME),
    ]


async def test_a_reload_with_errors_tells_them_all(api):
    api.controller.error = ConfigError(("ipmp.toml: a: wrong", "ipmp.toml: b: wrong"))
    response = await api.control.post("/v1/reload")
    assert response.status == 422
    found = await problem_of(response)
    assert (found.code, found.detail) == ("invalid", "ipmp.toml: a: wrong\nipmp.toml: b: wrong")


@pytest.mark.parametrize(
    ("reason", "http_status", "code"),
    [
        (Reason.UNKNOWN_INTERFACE, 404, "unknown-interface"),
        (Reason.UNKNOWN_ADDRESS, 404, "unknown-address"),
        (Reason.DECLARED, 422, "invalid"),
        (Reason.MINIMUM_REDUNDANCY, 409, "minimum-redundancy"),
        (Reason.NOT_IN_GROUP, 409, "not-in-group"),
        (Reason.ALREADY_OFFLINE, 409, "already-offline"),
        (Reason.NOT_OFFLINE, 409, "not-offline"),
        (Reason.DUPLICATE_HWADDR, 409, "duplicate-hwaddr"),
        (Reason.HELD, 409, "held"),
        (Reason.BUSY, 503, "busy"),
        (Reason.KERNEL_REFUSED, 503, "busy"),
        (Reason.INVALID, 422, "invalid"),
        (Reason.DYNAMIC_ADDRESS, 422, "invalid"),
    ],
)
async def test_refusals(api, reason, http_status, code):
    api.controller.error = refused(reason)
    response = await api.control.post(OFFLINE)
    assert response.status == http_status
    found = await problem_of(response)
    assert (found.code, found.detail) == (code, refused(reason).decision.sentence())


async def test_a_defect_is_logged_and_not_shown(api):
    api.controller.error = RuntimeError("secret")
    with structlog.testing.capture_logs() as logged:
        response = await api.control.post(OFFLINE)
    assert response.status == 500
    found = await problem_of(response)
    assert (found.code, found.detail) == ("internal", "mpathd failed to answer; its log says why")
    assert [entry["event"] for entry in logged] == ["a request failed"]


# Bodies that mean nothing.


@pytest.mark.parametrize(
    ("body", "http_status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"colour": "red"}', 400),
        (b'{"reason": 5}', 400),
        (b'{"dry_run": "yes"}', 400),
        (b'{"reason": "\xff"}', 400),
        (b"[" * 60_000, 400),
        (b'{"reason": ' + b"[" * 60_000, 400),
        (b'{"reason": "' + b"x" * 65_536 + b'"}', 413),
        (b'{"reason": "' + b"x" * 501 + b'"}', 422),
        (b'{"reason": "two\\nlines"}', 422),
        (b'{"reason": "\\u001b[31mred"}', 422),
        (b'{"request_id": "' + b"x" * 129 + b'"}', 422),
        (b'{"actor": "root (uid 0)"}', 422),
    ],
)
async def test_bad_bodies_change_nothing(api, body, http_status):
    response = await api.control.post(OFFLINE, data=body)
    assert response.status == http_status
    assert (await problem_of(response)).code == ProblemCode.INVALID
    assert api.controller.calls == []


async def test_a_hold_without_a_reason(api):
    response = await api.control.post("/v1/interfaces/ni0/hold", json={})
    assert response.status == 422
    assert (await problem_of(response)).detail == (
        "a hold needs a reason, for whoever finds it later"
    )


@pytest.mark.parametrize("name", ["ni0%1b[31m", "a-name-that-is-too-long", "ni%200", "ni%2f0"])
async def test_names_that_no_interface_has(api, name):
    response = await api.control.post(f"/v1/interfaces/{name}/offline")
    assert response.status == 404
    assert (await problem_of(response)).detail.isprintable()
    assert api.controller.calls == []


# The same request id twice is one operation.


async def test_a_repeated_request_gets_the_first_answer(api):
    answers = [await api.control.post(OFFLINE, json={"request_id": "a"}) for _ in range(3)]
    assert len({await answer.read() for answer in answers}) == 1
    assert len(api.controller.calls) == 1
    await api.control.post(OFFLINE, json={"request_id": "b"})
    assert len(api.controller.calls) == 2


async def test_a_repeated_request_gets_the_first_refusal(api):
    api.controller.error = refused(Reason.MINIMUM_REDUNDANCY)
    for _ in range(2):
        assert (await api.control.post(OFFLINE, json={"request_id": "a"})).status == 409
    assert len(api.controller.calls) == 1


@pytest.mark.parametrize("error", [refused(Reason.BUSY), RuntimeError("a defect")])
async def test_what_failed_for_now_is_tried_again(api, error):
    api.controller.error = error
    assert (await api.control.post(OFFLINE, json={"request_id": "a"})).status >= 500
    api.controller.error = None
    assert (await api.control.post(OFFLINE, json={"request_id": "a"})).status == 200
    assert len(api.controller.calls) == 2


async def test_duplicates_wait_for_the_operation_that_is_under_way(api):
    api.controller.gate.clear()
    posts = [
        asyncio.create_task(api.control.post(OFFLINE, json={"request_id": "a"})) for _ in range(5)
    ]
    await until(lambda: api.controller.calls)
    api.controller.gate.set()
    assert [(await post).status for post in posts] == [200] * 5
    assert len(api.controller.calls) == 1


async def test_the_operation_goes_on_when_its_client_leaves(api):
    api.controller.gate.clear()
    post = asyncio.create_task(api.control.post(OFFLINE, json={"request_id": "a"}))
    await until(lambda: api.controller.calls)
    post.cancel()
    api.controller.gate.set()
    assert (await api.control.post(OFFLINE, json={"request_id": "a"})).status == 200
    assert len(api.controller.calls) == 1


async def test_one_that_stops_waiting_does_not_end_the_operation_for_others():
    gate = asyncio.Event()
    result = OperationResult("ni0", "offline", changed=True)

    async def operate() -> OperationResult:
        await gate.wait()
        return result

    once = Once()
    first, second = (
        asyncio.create_task(once.run("a", ("offline", "ni0", False), operate)) for _ in range(2)
    )
    await asyncio.sleep(0)  # both have asked
    first.cancel()
    gate.set()
    assert await second == result


async def test_a_request_id_is_for_one_operation(api):
    await api.control.post(OFFLINE, json={"request_id": "a"})
    response = await api.control.post("/v1/interfaces/ni1/online", json={"request_id": "a"})
    assert response.status == 422
    assert (await problem_of(response)).detail == (
        "refused for ni1: its request_id was used before to offline ni0"
    )


async def test_answers_are_forgotten_when_old_or_too_many():
    calls: list[str] = []

    async def run(once: Once, request_id: str) -> None:
        async def operate() -> OperationResult:
            calls.append(request_id)
            return OperationResult("ni0", "offline", changed=True)

        await once.run(request_id, ("offline", "ni0", False), operate)

    short = Once(kept_seconds=0.0)
    await run(short, "a")
    await run(short, "a")
    assert calls == ["a", "a"]
    few = Once(kept_answers=2)
    for request_id in ("b", "c", "d", "d", "b"):
        await run(few, request_id)
    assert calls == ["a", "a", "b", "c", "d", "b"]


async def test_the_client_of_the_command_line_tools_understands_every_answer(api):
    def talk() -> None:
        client = Client(api.run_dir)
        assert client.status() == api.controller.current
        assert [event.id for event in client.history(interface="ni1")] == [2]
        assert client.explain("192.168.1.5/24") == ("It is on ni0.",)
        assert client.operate("offline", "ni0").changed
        client.pause(OperationRequest(reason="work"))
        client.resume()
        assert client.reload() == 7
        assert [event.id for event in itertools.islice(client.events(since=0), 2)] == [1, 2]
        api.controller.error = refused(Reason.MINIMUM_REDUNDANCY)
        with pytest.raises(ProblemError) as caught:
            client.operate("offline", "ni0")
        assert caught.value.problem.code is ProblemCode.MINIMUM_REDUNDANCY

    api.controller.publish(decision(0), decision(1))
    await asyncio.to_thread(talk)
