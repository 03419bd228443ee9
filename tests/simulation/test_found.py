"""Orders of events that once went wrong, one test each; the simulator had found them by chance."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from ipmp.kernel.protocol import Failure
from ipmp.plan import AddAnchor, ShiftRoute, Step
from ipmp.world import AF_INET, AF_INET6, Link, RouteKey, Snapshot
from tests.simulation import routes
from tests.simulation.connection import Faults
from tests.simulation.payloads import Held, route_payload
from tests.simulation.scenario import STATIC, GroupPlan, put
from tests.simulation.world import World

A, B, C = "192.0.2.5/24", "192.0.2.6/24", "192.0.3.7/26"
ROUTE = RouteKey(AF_INET, 254, "10.0.1.0/24", 0, 0)
REST = 3.0  # seconds that are enough to come to rest


def plan(*members: str, **options: object) -> GroupPlan:
    """A group without announcement pace, damping and probes."""
    defaults = {"standby": [], "rate": 1000, "up_delay": "0s"}
    return GroupPlan("ipmp0", 0, list(members), **{**defaults, **options})  # type: ignore[arg-type]


@contextmanager
def host(group: GroupPlan, addresses: dict[str, list[str]]) -> Iterator[World]:
    """A host with one group and these addresses, on which the daemon runs."""
    world = World(0, [group])
    for name, keys in addresses.items():
        for key in keys:
            put(world.kernel, world.kernel.names[name], key)
    with world:
        world.settle()
        yield world


def carrier(world: World, name: str, carrier: bool) -> None:
    world.kernel.set_carrier(world.kernel.names[name], carrier)


def holders(world: World, key: str) -> list[str]:
    return [d.name for d in world.kernel.devices.values() if d.find(key)]


def in_next_reading(
    world: World, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]
) -> None:
    """Do it when the daemon has read the kernel the next time, and before it knows the answer."""
    assert world.life is not None
    connection = world.life.connection
    read = connection.snapshot

    async def snapshot(links: dict[str, Link]) -> Snapshot:
        monkeypatch.setattr(connection, "snapshot", read)
        found = await read(links)
        act()
        await asyncio.sleep(0.1)  # virtual time in which the event of it arrives
        return found

    monkeypatch.setattr(connection, "snapshot", snapshot)


def at_step(world: World, monkeypatch: pytest.MonkeyPatch, act: Callable[[Step], bool]) -> None:
    """Do it before each step; whether the kernel refuses the step."""
    assert world.life is not None
    monkeypatch.setattr(world.life.connection, "refuses", act)


def test_a_pass_that_a_reload_overtakes_learns_nothing_from_other_members(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with host(plan("n00", "n01"), {"n00": [A], "n01": [B]}) as world:
        put(world.kernel, world.kernel.names["n00"], C)
        in_next_reading(world, monkeypatch, world.reload)
        world.configure([plan("n01")])
        world.run(REST)
        assert world.life is not None
        assert world.life.daemon is not None
        assert list(world.life.daemon.runners["ipmp0"].homes.addresses) == [B]


def test_a_route_that_is_deleted_during_a_reading_does_not_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with host(plan("n00", "n01"), {"n00": [A], "n01": [B]}) as world:
        index = world.kernel.names["n00"].ifindex
        raw = route_payload(ROUTE, index, gateway="192.0.2.1", protocol=STATIC)
        routes.new(world.kernel, raw, 0)
        world.settle()
        in_next_reading(world, monkeypatch, lambda: routes.delete(world.kernel, raw))
        put(world.kernel, world.kernel.names["n00"], C)
        world.run(REST)
        assert ROUTE not in world.kernel.tables


def test_addresses_are_retired_only_when_the_anchor_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with host(plan("n00", "n01", addresses={C: "n00"}), {"n01": [A]}) as world:
        index = world.kernel.names["n00"].ifindex
        raw = route_payload(ROUTE, index, gateway=None, protocol=STATIC)
        routes.new(world.kernel, raw, 0)
        world.settle()
        at_step(world, monkeypatch, lambda step: isinstance(step, AddAnchor))
        world.configure([plan("n00", "n01")])
        world.reload()
        world.run(REST)
        assert holders(world, C) == ["n00"]
        assert [e.ifindex for e in world.kernel.tables[ROUTE]] == [index]
        monkeypatch.undo()
        world.run(15.0)
        assert holders(world, C) == []
        assert ROUTE in world.kernel.tables


@pytest.mark.parametrize("killed", [True, False])
def test_a_connected_route_that_was_left_away_gets_its_metric_back(
    monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    with host(plan("n00", "n01"), {"n00": [A], "n01": [B]}) as world:
        carrier(world, "n00", False)
        world.settle()
        assert world.life is not None
        life = world.life

        def die(step: Step) -> bool:
            if isinstance(step, ShiftRoute) and not step.away:
                monkeypatch.undo()
                if killed:
                    life.kill()
                return True
            return False

        at_step(world, monkeypatch, die)
        carrier(world, "n00", True)
        world.run(REST)
        found = world.kernel.names["n01"].find(B)
        assert found is not None
        assert found.metric, "its route is away"
        world.settle()
        found = world.kernel.names["n01"].find(B)
        assert found is not None
        assert found.metric == 0


def test_who_starts_with_another_file_retires_what_it_does_not_list_any_more() -> None:
    with host(plan("n00", "n01", addresses={C: None}), {"n00": [A], "n01": [B]}) as world:
        assert holders(world, C)
        world.stop()
        world.run(REST)
        world.configure([plan("n00", "n01")])
        world.start()
        world.run(REST)
        assert holders(world, C) == []


def test_who_is_stopped_amid_a_reading_takes_nothing_for_removed_on_purpose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with host(plan("n00", "n01"), {"n00": [A], "n01": [B]}) as world:
        world.suffer(Faults(lose=1.0))
        world.kernel.delete(Held(A, world.kernel.names["n00"].ifindex))
        in_next_reading(world, monkeypatch, world.stop)
        world.run(15.0)
        assert world.life is None
        world.start()
        world.run(REST)
        assert holders(world, A) == ["n00"]


def test_a_copy_that_is_back_before_the_next_reading_is_removed_ever_more_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with host(plan("n00", "n01"), {"n00": [A], "n01": [B]}) as world:
        intruded, delete = world.kernel.names["n01"], world.kernel.delete
        removed: list[float] = []

        def undone(wanted: Held, by: object | None = None) -> None:
            delete(wanted, by)
            if by is not None and wanted.ifindex == intruded.ifindex:
                removed.append(world.clock.monotonic())
                put(world.kernel, intruded, A)

        monkeypatch.setattr(world.kernel, "delete", undone)
        put(world.kernel, intruded, A)
        world.run(20.0)
        waits = [later - earlier for earlier, later in pairwise(removed)]
        assert len(waits) >= 4
        assert waits == sorted(waits)
        monkeypatch.undo()
        world.settle()
        assert holders(world, A) == ["n00"]


@pytest.mark.parametrize("key", [ROUTE, RouteKey(AF_INET6, 254, "2001:db8:f1::/64", 0, 1024)])
def test_a_route_that_is_on_two_members_ends_as_one(key: RouteKey) -> None:
    group = plan("n00", "n01", failback=False)
    with host(group, {"n00": [A, "2001:db8:1::5/64"], "n01": [B, "2001:db8:1::6/64"]}) as world:
        for name in ("n00", "n01"):
            raw = route_payload(key, world.kernel.names[name].ifindex, protocol=STATIC)
            routes.new(world.kernel, raw, 0)
        world.run(REST)
        assert len(world.kernel.tables[key]) == 1
        assert world.life is not None
        written = world.life.last_write
        world.run(15.0)
        assert world.life.last_write == written


def over(world: World, key: RouteKey) -> list[str]:
    """The members through which the only route with this key leaves."""
    (entry,) = world.kernel.tables[key]
    return [world.kernel.devices[index].name for index in entry.hops]


@pytest.mark.parametrize("killed", [True, False])
def test_a_spread_route_whose_home_left_and_cannot_take_it_stays_with_the_group(
    killed: bool,
) -> None:
    members = ("n00", "n01", "n02")
    held = {name: [f"192.0.2.{number}/24"] for number, name in enumerate(members, 5)}
    with host(plan(*members, outbound="spread"), held) as world:
        index = world.kernel.names["n00"].ifindex
        raw = route_payload(ROUTE, index, gateway="192.0.2.1", protocol=STATIC)
        routes.new(world.kernel, raw, 0)
        world.settle()
        assert over(world, ROUTE) == list(members)
        world.kernel.set_up(world.kernel.names["n00"], False)
        world.configure([plan("n01", "n02", outbound="spread")])
        world.reload()
        world.run(REST)
        if killed:
            world.clock.after(0.0, world.kill)
        world.run(15.0)
        world.start()
        carrier(world, "n01", False)
        world.run(REST)
        assert over(world, ROUTE) == ["n02"]


def test_a_spread_ipv6_route_that_lost_its_source_for_good_still_leaves_dead_members() -> None:
    key = RouteKey(AF_INET6, 254, "2001:db8:f1::/64", 0, 1024)
    group, stranger = plan("n00", "n01", outbound="spread", adopt=False), "2001:db8:1::9/64"
    with host(group, {"n00": [A, stranger], "n01": [B]}) as world:
        index, source = world.kernel.names["n00"].ifindex, "2001:db8:1::9"
        raw = route_payload(key, index, gateway="fe80::1", source=source, protocol=STATIC)
        routes.new(world.kernel, raw, 0)
        world.settle()
        assert over(world, key) == ["n00", "n01"]
        world.kernel.delete(Held(stranger, index))
        carrier(world, "n00", False)
        world.run(REST)
        assert over(world, key) == ["n01"]


def test_a_stop_is_not_lost_when_the_kernel_fails_at_that_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with host(plan("n00", "n01"), {"n00": [A], "n01": [B]}) as world:
        assert world.life is not None

        stopped: list[asyncio.Task[object]] = []

        async def apply(prepared: object, course: object) -> list[Failure]:
            stopped.extend(t for t in asyncio.all_tasks() if t.get_name() == "group ipmp0")
            stopped[0].cancel()
            raise OSError(errno.ENOBUFS, "No buffer space available")

        monkeypatch.setattr(world.life.connection, "apply", apply)
        carrier(world, "n00", False)
        world.run(REST)
        assert [task.cancelled() for task in stopped] == [True]
