"""What a host's remediator knows of the budget, against servers that fail in every way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipmp.fleetlock.client import RefusedError, UnreachableError
from ipmp.fleetlock.config import FleetConfig, load
from ipmp.fleetlock.values import ErrorReply
from ipmp.serving.document import DocumentError
from ipmp_remediator.budget import (
    FleetBudget,
    Granted,
    Pace,
    Refused,
    Target,
)
from ipmp_remediator.decision import Reason
from tests.support.wait import eventually_async

NI0, NI1 = Target("ipmp0", "ni0"), Target("ipmp0", "ni1")
POOLS = ("fabric", "rack")
QUICK = Pace(settle=0.1, spread=0.1)


class Server:
    """Slots in memory; `fail` is asked before and after each call and may raise."""

    def __init__(self, slots: int = 1) -> None:
        self.slots = slots
        self.held: dict[str, set[str]] = {pool: set() for pool in POOLS}
        self.calls: list[tuple[str, str, str]] = []
        self.before: Callable[[str, str], Any] = lambda call, pool: None
        self.after: Callable[[str, str], Any] = lambda call, pool: None

    async def take(self, group: str, client: str) -> None:
        self.calls.append(("take", group, client))
        self.before("take", group)
        if client not in self.held[group] and len(self.held[group]) >= self.slots:
            raise RefusedError(409, ErrorReply("failed_lock_semaphore_full", "full"))
        self.held[group].add(client)
        self.after("take", group)

    async def give_back(self, group: str, client: str) -> None:
        self.calls.append(("give_back", group, client))
        self.before("give_back", group)
        self.held[group].discard(client)
        self.after("give_back", group)


def away(call: str, pool: str) -> None:
    raise UnreachableError("no answer")


async def budget(server: Server, *drained: Target, pace: Pace = QUICK) -> FleetBudget:
    it = FleetBudget(server, "db1", lambda group: POOLS, pace)
    await it.start(drained, [])
    return it


async def test_a_slot_of_each_pool_in_one_order() -> None:
    server = Server()
    it = await budget(server)
    assert await it.take(NI0) == Granted()
    assert server.calls == [("take", "fabric", "db1/ni0"), ("take", "rack", "db1/ni0")]
    it.give_back(NI0)
    await eventually_async(lambda: it.owed == 0)
    assert server.held == {"fabric": set(), "rack": set()}
    await it.stop()


async def test_all_pools_or_none() -> None:
    server = Server()
    server.held["rack"].add("other/ni0")
    it = await budget(server)
    answer = await it.take(NI0)
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.BUDGET_FULL
    assert answer.why == "pool rack has no free slot"
    await eventually_async(lambda: not server.held["fabric"])
    server.held["rack"].clear()
    await eventually_async(lambda: it.owed == 0)
    assert await it.take(NI0) == Granted()
    await it.stop()


async def test_fails_closed_and_settles_what_may_have_been_taken() -> None:
    """The answer is lost although the server has taken the slot."""
    server = Server()
    server.after = lambda call, pool: away(call, pool) if call == "take" else None
    it = await budget(server)
    answer = await it.take(NI0)
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.BUDGET_UNREACHABLE
    server.after = lambda call, pool: None
    again = await it.take(NI0)
    assert isinstance(again, Refused)
    assert again.reason is Reason.BUDGET_SETTLING
    await eventually_async(lambda: it.owed == 0)
    assert not server.held["fabric"]
    assert sum(call[0] == "give_back" and call[1] == "fabric" for call in server.calls) == 2
    assert await it.take(NI0) == Granted()
    await it.stop()


async def test_a_take_that_arrives_late_is_given_back_too() -> None:
    server = Server()
    server.before = away
    it = await budget(server)
    await it.take(NI0)
    server.before = lambda call, pool: None
    await eventually_async(lambda: ("give_back", "rack", "db1/ni0") in server.calls)
    server.held["fabric"].add("db1/ni0")
    await eventually_async(lambda: it.owed == 0)
    assert not server.held["fabric"]
    await it.stop()


async def test_gives_back_until_the_server_has_it() -> None:
    server = Server()
    it = await budget(server)
    await it.take(NI0)
    server.before = away
    it.give_back(NI0)
    await eventually_async(lambda: server.calls[-1][0] == "give_back")
    assert await it.take(NI0) == Refused(
        Reason.BUDGET_SETTLING, "an earlier request is being settled, for 1 s"
    )
    server.before = lambda call, pool: None
    await eventually_async(lambda: it.owed == 0, timeout=10)
    assert not server.held["rack"]
    await it.stop()


async def test_a_start_gives_back_all_that_is_not_drained() -> None:
    """Killed between slot and drain, or between online and give-back."""
    server = Server(slots=2)
    for pool in POOLS:
        server.held[pool] |= {"db1/ni0", "db1/ni1"}
    it = FleetBudget(server, "db1", lambda group: POOLS, QUICK)
    await it.start([NI0], [NI0, NI1])
    await eventually_async(lambda: it.owed == 0)
    assert server.held == {"fabric": {"db1/ni0"}, "rack": {"db1/ni0"}}
    await it.stop()


async def test_an_interface_that_two_groups_may_have_keeps_its_slot() -> None:
    server = Server()
    for pool in POOLS:
        server.held[pool].add("db1/ni0")
    it = FleetBudget(server, "db1", lambda group: POOLS, QUICK)
    await it.start([NI0], [NI0, Target("ipmp1", "ni0")])
    await eventually_async(lambda: it.owed == 0)
    assert server.held == {"fabric": {"db1/ni0"}, "rack": {"db1/ni0"}}
    await it.stop()


async def test_a_round_gives_back_what_nobody_holds() -> None:
    server = Server(slots=2)
    it = await budget(server, NI0, pace=Pace(settle=0.1, spread=0.1, round=0.1))
    assert await it.take(NI1) == Granted()
    it.give_back(NI1)
    await eventually_async(lambda: it.owed == 0)
    server.held["rack"] |= {"db1/ni0", "db1/ni1"}
    await eventually_async(lambda: "db1/ni1" not in server.held["rack"])
    assert "db1/ni0" in server.held["rack"]
    await it.stop()


async def test_a_slot_that_an_operator_released_is_taken_anew_or_refused() -> None:
    server = Server()
    it = await budget(server, NI0)
    assert await it.take(NI0) == Granted()
    server.held["rack"] = {"other/ni0"}
    answer = await it.take(NI0)
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.BUDGET_FULL
    await it.stop()


async def test_a_server_that_does_not_know_us() -> None:
    def forbid(call: str, pool: str) -> None:
        raise RefusedError(403, ErrorReply("not_allowed", "who are you?"))

    server = Server()
    server.before = forbid
    it = await budget(server)
    assert await it.take(NI0) == Refused(
        Reason.BUDGET_NOT_ALLOWED, "pool fabric refuses us: who are you?"
    )
    await it.stop()


async def test_giving_back_never_waits() -> None:
    server = Server()
    hang = asyncio.Event()

    async def never(group: str, client: str) -> None:
        await hang.wait()

    it = await budget(server)
    await it.take(NI0)
    server.give_back = never  # type: ignore[method-assign]
    it.give_back(NI0)
    await asyncio.sleep(0)  # it has begun to give it back
    assert it.owed == 1
    await it.stop()


def test_pools_of_an_ipmp_group() -> None:
    config = FleetConfig(urls=("http://x",), pools=("rack", "a"), groups={"storage0": ("fabric",)})
    assert config.pools_of("ipmp0") == ("a", "rack")
    assert config.pools_of("storage0") == ("fabric",)


def test_mistakes_in_fleet_toml(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text('urls = ["ftp://x"]\ntimeout = "0s"\n')
    with pytest.raises(DocumentError) as found:
        load(file)
    assert len(found.value.errors) == 3
    example = Path(__file__).parents[3] / "remediator" / "fleet.toml.example"
    file.write_text(example.read_text())
    assert load(file).pools_of("storage0") == ("storage.fabric-a",)
