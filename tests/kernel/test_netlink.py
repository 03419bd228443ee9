"""How Linux answers and tells, below the contract: why netlink.py and linux.py are as they are."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from ipmp.kernel import codec, netlink, route_codec
from ipmp.kernel.events import Events, is_local_route
from ipmp.kernel.linux import LinuxKernel
from ipmp.kernel.netlink import Message, Part, Requests
from ipmp.kernel.protocol import Kernel
from ipmp.plan import AddAddress
from ipmp.world import AF_INET, AF_INET6, SCOPE_LINK, Address, DataAddress
from tests.kernel.linux_world import LINUX_ONLY, batch
from tests.kernel.steps import GROUP, add, attempt, do, look, reroute, routes
from tests.kernel.world import World

pytestmark = [pytest.mark.netns, LINUX_ONLY]

RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR = 5, 9
RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE = 7, 11
MANY = [f"10.0.{number // 250}.{number % 250 + 1}/16" for number in range(2000)]
RCVBUF_BEFORE_6_17 = 212_992


# Dumps: pyroute2-eval 1.2 -----------------------------------------------------------------------


class Reading:
    """Reads the addresses of ni0 while others add one to it, in the first `changes` attempts."""

    def __init__(self, kernel: Kernel, world: World, changes: int) -> None:
        batch(*(f"addr add {key} dev ni0" for key in MANY))
        self.starts = 0
        self._index = kernel.links(("ni0",))["ni0"].ifindex
        self._world = world
        self._changes = changes

    async def read(self, requests: Requests) -> list[str]:
        return await requests.dump(codec.address_dump(AF_INET), self._parse)

    def _parse(self, message: Message) -> str | None:
        if codec.address_index(message.payload) != self._index:
            return None
        key = codec.parse_address(message.payload, "ni0").key
        if key == MANY[0]:
            self.starts += 1
            if self.starts <= self._changes:
                self._world.add_address(f"10.{100 + self.starts}.0.1/16", "ni0")
        return key


async def test_an_interrupted_dump_is_read_again(kernel: Kernel, world: World) -> None:
    reading = Reading(kernel, world, changes=1)
    requests = Requests()
    assert sorted(await reading.read(requests)) == sorted([*MANY, "10.101.0.1/16"])
    assert reading.starts == 2
    requests.close()


async def test_of_dumps_that_are_always_interrupted_the_last_counts(
    kernel: Kernel, world: World
) -> None:
    reading = Reading(kernel, world, changes=netlink.DUMP_ATTEMPTS)
    requests = Requests()
    assert set(await reading.read(requests)) >= set(MANY)
    assert reading.starts == netlink.DUMP_ATTEMPTS
    requests.close()


async def test_what_a_dump_tells_again_is_not_parsed_again(kernel: Kernel, world: World) -> None:
    batch(*(f"addr add {key} dev ni0" for key in MANY))
    parsed: list[str] = []

    def parse(message: Message) -> str:
        parsed.append(codec.parse_address(message.payload, "").key)
        return parsed[-1]

    requests, known = Requests(), dict[bytes, Part[str]]()

    async def read() -> list[str]:
        parsed.clear()
        return await requests.dump(codec.address_dump(AF_INET), parse, known)

    await read()  # the kernel has learnt how large the buffer is
    first = await read()
    assert first == parsed
    assert set(MANY) <= set(first)
    assert await read() == first
    assert parsed == []
    world.delete_address(MANY[-1], "ni0")
    world.add_address("10.0.100.1/16", "ni0")
    assert await read() == [*(key for key in first if key != MANY[-1]), "10.0.100.1/16"]
    assert 0 < len(parsed) < len(MANY) / 2
    requests.close()


@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
async def test_a_snapshot_misses_no_address_when_others_change_some_meanwhile(
    kernel: Kernel, world: World, monkeypatch: pytest.MonkeyPatch, family: int
) -> None:
    """The kernel does not mark an interrupted dump that it filters by interface."""
    many = MANY if family == AF_INET else [f"2001:db8::{n + 1:x}/64" for n in range(1000)]
    batch("link set ni0 down", *(f"addr add {key} dev ni0" for key in many), "link set ni0 up")
    parse, calls = codec.parse_address, []

    def interrupted(payload: bytes, member: str) -> Address:
        found = parse(payload, member)
        if found.family == family:
            calls.append(found.key)
        if len(calls) == 5:  # all before the second datagram is read
            world.delete_address(many[2], "ni0")
        return found

    monkeypatch.setattr(codec, "parse_address", interrupted)
    held = (await look(kernel)).addresses["ni0"]
    assert len(calls) > len(many) + 5, "it was not read again"
    assert many[2] not in held
    assert set(many) - set(held) == {many[2]}


async def test_a_dump_that_is_cancelled_does_not_spoil_the_next(
    kernel: Kernel, world: World
) -> None:
    """The kernel answers EBUSY while the last dump of a socket has not been read to its end."""
    reading = Reading(kernel, world, changes=0)
    requests = Requests()
    task = asyncio.create_task(reading.read(requests))
    while not (reading.starts or task.done()):
        await asyncio.sleep(0)  # a turn of the reader, and no more: it must be amid the dump
    assert not task.done(), "the dump fitted into one datagram"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await reading.read(requests) == MANY
    requests.close()


# Refusals ---------------------------------------------------------------------------------------


async def test_refusals_of_a_whole_chunk_fit_into_a_small_receive_buffer(
    kernel: Kernel, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What older kernels permit without privilege; answers that are dropped are waited for."""
    monkeypatch.setattr(netlink, "REQUEST_BUFFER_BYTES", RCVBUF_BEFORE_6_17 // 2)
    cramped = LinuxKernel()
    world.add_address("10.0.0.1/16", "ni0")
    unfit = [replace(codec.declared_spec(key), scope=SCOPE_LINK) for key in MANY[1:600]]
    steps = [AddAddress(DataAddress(spec, GROUP, 0), "ni0", "", 0) for spec in unfit]
    async with asyncio.timeout(10):
        failures = await attempt(cramped, *steps)
    assert [failure.step for failure in failures] == steps
    cramped.close()


# What the kernel tells: pyroute2-eval 3.2, 3.3 --------------------------------------------------


async def test_the_local_route_of_an_ipv6_address_is_told_after_the_address(
    kernel: Kernel, world: World
) -> None:
    events = Events((RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE))
    await do(kernel, *(add(world, f"2001:db8::{n:x}/64", "ni0") for n in range(1, 9)))
    told, _ = events.read()
    events.close()
    address_at = {
        codec.parse_address(m.payload, "").key.partition("/")[0]: position
        for position, m in enumerate(told)
        if m.type == codec.RTM_NEWADDR
    }
    route_at = {
        local[1]: position
        for position, m in enumerate(told)
        if (local := is_local_route(m)) is not None
    }
    assert len(address_at) == 8
    assert address_at.keys() == route_at.keys(), "apply() returned before the last local route"
    assert all(address_at[address] < route_at[address] for address in address_at)


async def test_a_port_and_the_local_table_can_be_left_out_by_the_kernel(
    kernel: Kernel, world: World
) -> None:
    """The move of a thousand addresses is not read four thousand times by who makes it."""
    assert isinstance(kernel, LinuxKernel)
    kernel.links(("ni0",))
    events = Events((RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE), ignored_port=kernel._batches.port)
    ours = [f"192.0.2.{n}/24" for n in range(1, 100)]
    await do(kernel, *(add(world, key, "ni0") for key in ours))
    world.add_address("198.51.100.1/24", "ni0")
    world.add_route("10.1.0.0/16", "ni0", via="192.0.2.254")
    told, _ = events.read()
    events.close()
    addresses = [
        codec.parse_address(m.payload, "ni0").key for m in told if m.type == codec.RTM_NEWADDR
    ]
    found = [route_codec.route_key(m.payload) for m in told if m.type == codec.RTM_NEWROUTE]
    assert addresses == ["198.51.100.1/24"]
    assert [(key.table, key.destination) for key in found] == [
        (route_codec.TABLE_MAIN, "192.0.2.0/24"),
        (route_codec.TABLE_MAIN, "198.51.100.0/24"),
        (route_codec.TABLE_MAIN, "10.1.0.0/16"),
    ]


@pytest.mark.parametrize(
    ("key", "destination", "via"),
    [
        ("192.0.2.1/24", "10.1.0.0/16", "192.0.2.254"),
        ("2001:db8::1/64", "2001:db8:1::/64", "2001:db8::fe"),
    ],
)
async def test_a_route_is_replaced_without_a_gap(
    kernel: Kernel, world: World, key: str, destination: str, via: str
) -> None:
    """One event says that the new route took the place of the old one: it never was missing."""
    for member in ("ni0", "ni1"):
        world.add_address(key, member)
    world.add_route(destination, "ni0", via=via)
    (route,) = await routes(kernel, "ni0")
    events = Events((RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE))
    await do(kernel, reroute(route, "ni1"))
    (told,), _ = events.read()
    events.close()
    assert told.type == codec.RTM_NEWROUTE
    assert told.flags & netlink.NLM_F_REPLACE
    assert route_codec.route_key(told.payload) == route.key
