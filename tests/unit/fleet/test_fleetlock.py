"""The FleetLock server from outside: real HTTP and TLS to it, a real etcd behind it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ipmp.cli import ipmp
from ipmp.fleetlock.client import FleetLockClient, RefusedError, UnreachableError
from ipmp.fleetlock.config import FleetConfig
from ipmp.fleetlock.values import ReleaseRequest
from ipmp.serving.site import Address, listen
from ipmp.serving.tls import ClientTls, server_context
from ipmp_fleetlock.config import Etcd, FleetlockConfig
from ipmp_fleetlock.etcd import EtcdClient, Stored
from ipmp_fleetlock.metrics import FleetlockMetrics
from ipmp_fleetlock.slots import Slots
from ipmp_fleetlock.web import FleetlockWeb
from tests.support.etcd import etcd, fleetlock
from tests.support.fleet import Authority
from tests.support.wait import eventually

pytestmark = pytest.mark.tools


class Server:
    """A server in this process; `config` may be replaced."""

    def __init__(self, config: FleetlockConfig) -> None:
        self.config = config
        self.url = ""

    def client(self, tls: ClientTls | None = None) -> FleetLockClient:
        return FleetLockClient(FleetConfig(urls=(self.url,), tls=tls or ClientTls()))


@asynccontextmanager
async def server(endpoint: str, prefix: str, **fields: Any) -> AsyncIterator[Server]:
    store = Etcd(endpoints=(endpoint,), prefix=prefix)
    it = Server(FleetlockConfig(**{"slots": {"rack": 2}, "etcd": store} | fields))
    client = EtcdClient(store)
    await client.open()
    site = FleetlockWeb(lambda: it.config, Slots(client, prefix), FleetlockMetrics())
    tls = server_context(it.config.tls) if it.config.tls else None
    runner = await listen(site.application(), [Address("127.0.0.1", 0)], tls)
    it.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield it
    finally:
        await runner.cleanup()
        await client.close()


async def holders(client: FleetLockClient, group: str = "rack") -> list[str]:
    return [h.id for g in await client.groups() if g.group == group for h in g.holders]


async def test_slots_are_taken_refused_and_given_back(endpoint: str, prefix: str) -> None:
    async with server(endpoint, prefix) as it:
        client = it.client()
        await client.take("rack", "a")
        await client.take("rack", "b")
        with pytest.raises(RefusedError, match="all slots of rack are taken: 2") as refused:
            await client.take("rack", "c")
        assert (refused.value.status, refused.value.kind) == (409, "failed_lock_semaphore_full")
        await client.give_back("rack", "a")
        await client.take("rack", "c")
        assert await holders(client) == ["b", "c"]


async def test_both_calls_may_be_repeated(endpoint: str, prefix: str) -> None:
    async with server(endpoint, prefix) as it:
        client = it.client()
        for _ in range(3):
            await client.take("rack", "a")
        [before] = [g for g in await client.groups() if g.group == "rack"]
        assert [h.id for h in before.holders] == ["a"]
        for _ in range(3):
            await client.give_back("rack", "a")
        assert await holders(client) == []


async def test_two_servers_share_the_slots(endpoint: str, prefix: str) -> None:
    async with server(endpoint, prefix) as one, server(endpoint, prefix) as two:
        clients = [one.client(), two.client()]

        async def ask(n: int) -> bool:
            try:
                await clients[n % 2].take("rack", f"host{n}")
            except RefusedError:
                return False
            return True

        assert sum(await asyncio.gather(*map(ask, range(60)))) == 2
        assert len(await holders(clients[0])) == len(await holders(clients[1])) == 2


async def test_fewer_slots_take_none_away_and_more_count_at_once(
    endpoint: str, prefix: str
) -> None:
    async with server(endpoint, prefix) as it:
        client = it.client()
        await client.take("rack", "a")
        await client.take("rack", "b")
        it.config = msgspec.structs.replace(it.config, slots={"rack": 1})
        await client.take("rack", "a")
        await client.give_back("rack", "b")
        with pytest.raises(RefusedError):
            await client.take("rack", "b")
        it.config = msgspec.structs.replace(it.config, slots={"rack": 2})
        await client.take("rack", "b")


async def test_a_group_without_slots_is_refused_unless_there_is_a_default(
    endpoint: str, prefix: str
) -> None:
    async with server(endpoint, prefix) as it:
        with pytest.raises(RefusedError) as refused:
            await it.client().take("other", "a")
        assert refused.value.kind == "unknown_group"
        await it.client().give_back("other", "a")
        it.config = msgspec.structs.replace(it.config, default_slots=1)
        await it.client().take("other", "a")


async def test_a_give_back_from_before_a_new_take_comes_too_late(
    endpoint: str, prefix: str
) -> None:
    """A transaction that was on its way while the client took its slot anew must fail."""
    async with server(endpoint, prefix) as it:
        client = it.client()
        await client.take("rack", "a")
        late = EtcdClient(it.config.etcd)
        await late.open()
        _, seen = await late.swap(f"{prefix}rack", Stored(), None)
        await client.take("rack", "a")
        same, _ = await late.swap(f"{prefix}rack", seen, b'{"holders":[]}')
        await late.close()
        assert not same
        assert await holders(client) == ["a"]


GOOD = {"client_params": {"id": "a", "group": "rack"}}


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, GOOD, 400),
        ({"fleet-lock-protocol": "false"}, GOOD, 400),
        ({"fleet-lock-protocol": "true"}, {}, 400),
        ({"fleet-lock-protocol": "true"}, {"client_params": {"id": "", "group": "rack"}}, 400),
        ({"fleet-lock-protocol": "true"}, {"client_params": {"id": "a", "group": "a/b"}}, 400),
        ({"fleet-lock-protocol": "true"}, {"client_params": {"id": "a" * 20000}}, 413),
        ({"fleet-lock-protocol": "true"}, GOOD | {"more": 1}, 200),
    ],
)
@pytest.mark.parametrize("path", ["/v1/pre-reboot", "/v1/steady-state"])
async def test_the_protocol(
    endpoint: str, prefix: str, path: str, headers: dict[str, str], body: Any, status: int
) -> None:
    async with (
        server(endpoint, prefix) as it,
        aiohttp.ClientSession() as session,
        session.post(it.url + path, json=body, headers=headers) as answer,
    ):
        assert answer.status == status
        assert set(await answer.json()) == ({"kind", "value"} if status != 200 else set())


async def test_certificates_say_whose_slot_it_is(
    endpoint: str, prefix: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    fields = {"tls": authority.server("127.0.0.1"), "operators": frozenset({"ops.example"})}
    async with server(endpoint, prefix, **fields) as it:
        db1 = it.client(authority.client("db1.example"))
        db2 = it.client(authority.client("db2.example"))
        operator = it.client(authority.client("ops.example"))
        await db1.take("rack", "db1.example/ni0")
        for call in (db2.take, db2.give_back):
            with pytest.raises(RefusedError) as refused:
                await call("rack", "db1.example/ni0")
            assert refused.value.kind == "not_allowed"
        order = ReleaseRequest(id="db1.example/ni0", group="rack", reason="scrapped")
        with pytest.raises(RefusedError, match="operators"):
            await db2.release(order)
        assert await holders(operator) == ["db1.example/ni0"]
        await operator.release(order)
        assert await holders(operator) == []
        with pytest.raises(RefusedError) as gone:
            await operator.release(order)
        assert gone.value.kind == "not_a_holder"
        with pytest.raises(UnreachableError):
            await it.client(ClientTls(ca_file=authority.file)).take("rack", "x")


async def test_what_is_held_and_since_when_is_in_the_metrics(endpoint: str, prefix: str) -> None:
    async with server(endpoint, prefix) as it, aiohttp.ClientSession(it.url) as session:
        await it.client().take("rack", "a")
        [group] = await it.client().groups()

        async def samples() -> dict[str, float]:
            async with session.get("/metrics") as answer:
                families = text_string_to_metric_families(await answer.text())
            return {s.name: s.value for f in families for s in f.samples if "_bucket" not in s.name}

        found = await samples()
        assert found["ipmp_fleet_budget_slots"] == 2
        assert found["ipmp_fleet_budget_slots_in_use"] == 1
        since = found["ipmp_fleetlock_holder_since_timestamp_seconds"]
        assert since == group.holders[0].since
        await it.client().give_back("rack", "a")
        assert (await samples())["ipmp_fleet_budget_slots_in_use"] == 0
        assert "ipmp_fleetlock_holder_since_timestamp_seconds" not in await samples()


def test_servers_and_etcd_that_were_killed_know_what_was_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the commands: `ipmp_fleetlock` as a process, and `ipmp fleet`."""
    store, endpoint = etcd(tmp_path)
    config = tmp_path / "fleetlock.toml"
    config.write_text(f'[slots]\nrack = 1\n[etcd]\nendpoints = ["{endpoint}"]\ntimeout = "1s"\n')
    budget, url = fleetlock(tmp_path, config)
    fleet = tmp_path / "fleet.toml"
    fleet.write_text(f'urls = ["{url}"]\npools = ["rack"]\ntimeout = "7s"\n')

    def command(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["ipmp", "fleet", *words, "--config", str(fleet)])
        status = ipmp.main()
        out, err = capsys.readouterr()
        return status, out + err

    async def take(client: str) -> None:
        await FleetLockClient(FleetConfig(urls=(url,), pools=("rack",))).take("rack", client)

    try:
        store.start()
        budget.start()
        asyncio.run(take("db1/ni0"))
        store.kill()
        with pytest.raises(UnreachableError, match="503"):
            asyncio.run(take("db2/ni0"))
        assert command("holders")[0] == 1
        budget.kill()
        assert "no FleetLock server can be asked" in command("holders")[1]
        store.start()
        budget.start()
        with pytest.raises(RefusedError):
            asyncio.run(take("db2/ni0"))
        status, text = command("holders")
        assert status == 0
        header, row = text.splitlines()
        assert header.split() == ["POOL", "SLOTS", "HELD", "AGE", "HOLDER"]
        assert row.split()[:3] + row.split()[4:] == ["rack", "1", "1", "db1/ni0"]
        config.write_text(config.read_text().replace("rack = 1", "rack = 2"))
        budget.hang_up()
        eventually(lambda: command("holders")[1].splitlines()[1].split()[1] == "2")
        asyncio.run(take("db2/ni0"))
        assert command("release", "rack", "db1/ni0", "--reason", "scrapped")[0] == 0
        assert command("release", "rack", "db1/ni0", "--reason", "scrapped")[0] == 1
        assert "db1" not in command("holders")[1]
    finally:
        budget.kill()
        store.kill()


def test_mistakes_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "fleetlock.toml"
    file.write_text('slot = 1\n[slots]\n"a/b" = 1\n[etcd]\nendpoints = []\ntimeout = "x"\n')
    done = subprocess.run(
        [sys.executable, "-m", "ipmp_fleetlock.main", "--check", "--config.file", str(file)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 4
    example = Path(__file__).parents[3] / "fleet" / "fleetlock.toml.example"
    file.write_text(example.read_text())
    Authority(tmp_path, "hosts-ca").issue("fleetlock")
    done = subprocess.run(
        [sys.executable, "-m", "ipmp_fleetlock.main", "--check", "--config.file", str(file)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
