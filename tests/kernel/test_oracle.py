"""The kernel between our codec and pyroute2's: what one sets, the other reads alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace
from pyroute2 import AsyncIPRoute

from ipmp.kernel.protocol import Kernel
from ipmp.kernel.route_codec import RTNH_F_ONLINK
from ipmp.world import AF_INET, AF_INET6, OWNER, Address, Link, Route
from tests.kernel.linux_world import LINUX_ONLY
from tests.kernel.steps import add, copy, delete, do, look, reroute
from tests.kernel.world import MEMBERS, World

pytestmark = [pytest.mark.netns, LINUX_ONLY]

GATEWAY, GATEWAY6 = "192.0.2.254", "2001:db8::fe"

ADDRESSES: tuple[dict[str, Any], ...] = (
    {"address": "192.0.2.1", "prefixlen": 24, "label": "ni0:web", "broadcast": "192.0.2.255"},
    {"address": "192.0.2.2", "prefixlen": 24, "rt_priority": 500, "proto": 99},
    {"address": "198.51.100.2", "local": "198.51.100.1", "prefixlen": 32},
    {"address": "203.0.113.1", "prefixlen": 32, "scope": 253, "flags": 0x200},
    {"address": "2001:db8::1", "prefixlen": 64, "flags": 0x02},
    {"address": "2001:db8:1::1", "prefixlen": 64, "flags": 0x02 | 0x200, "proto": 99},
    {"address": "2001:db8:2::2", "local": "2001:db8:2::1", "prefixlen": 128, "flags": 0x02},
)
ROUTES: tuple[dict[str, Any], ...] = (
    {"dst": "default", "gateway": GATEWAY},
    {"dst": "10.1.0.0/16", "gateway": GATEWAY, "priority": 50, "prefsrc": "192.0.2.1"},
    {"dst": "10.2.0.0/16", "gateway": GATEWAY, "table": 70_000, "metrics": {"mtu": 1400}},
    {"dst": "10.3.0.0/16", "gateway": "198.51.100.99", "flags": RTNH_F_ONLINK},
    {"dst": "10.4.0.0/16", "scope": 253},
    {"dst": "::/0", "gateway": GATEWAY6, "family": AF_INET6},
    {"dst": "2001:db8:7::/64", "gateway": GATEWAY6, "table": 100, "metrics": {"mtu": 1400}},
)


@pytest.fixture
async def pyroute2() -> AsyncIterator[AsyncIPRoute]:
    async with AsyncIPRoute() as opened:
        yield opened


async def test_what_pyroute2_sets_we_read(
    kernel: Kernel, world: World, pyroute2: AsyncIPRoute
) -> None:
    await set_up(kernel, pyroute2)
    held = (await look(kernel)).addresses["ni0"]
    assert held.keys() >= {f"{a.get('local', a['address'])}/{a['prefixlen']}" for a in ADDRESSES}
    assert len((await look(kernel)).routes["ni0"]) == len(ROUTES)
    await assert_both_read_the_same(kernel, pyroute2)


async def test_what_we_set_pyroute2_reads(
    kernel: Kernel, world: World, pyroute2: AsyncIPRoute
) -> None:
    await set_up(kernel, pyroute2)
    before = await look(kernel)
    moving = [a for a in before.addresses["ni0"].values() if not a.key.startswith("fe80:")]
    await do(kernel, *(copy(world, found, "ni1") for found in moving))
    await do(kernel, *(reroute(route, "ni1") for route in before.routes["ni0"]))
    await do(kernel, *(delete(found) for found in reversed(moving)))
    await do(kernel, add(world, "192.0.2.7/24", "ni0", label="ni0:7"))
    after = await look(kernel)
    assert len(after.routes["ni1"]) == len(ROUTES)
    assert after.addresses["ni1"].keys() >= {found.key for found in moving}
    await assert_both_read_the_same(kernel, pyroute2)


async def set_up(kernel: Kernel, pyroute2: AsyncIPRoute) -> None:
    index = kernel.links(MEMBERS)["ni0"].ifindex
    for address in ADDRESSES:
        await pyroute2.addr("add", index=index, **address)
    for route in ROUTES:
        await pyroute2.route("add", oif=index, **route)


async def assert_both_read_the_same(kernel: Kernel, pyroute2: AsyncIPRoute) -> None:
    snapshot = await look(kernel)
    for member in MEMBERS:
        link = snapshot.links[member]
        (there,) = [m async for m in await pyroute2.link("dump") if m.get("ifname") == member]
        assert replace(link, speed=0) == link_of(there)  # which comes from ethtool
        addresses = {a.key: told(a) for a in snapshot.addresses[member].values()}
        found = [a async for a in await pyroute2.addr("dump") if a["index"] == link.ifindex]
        assert addresses == dict(map(address_of, found))
        for family in (AF_INET, AF_INET6):
            routes = [route_told(r) for r in snapshot.routes[member] if r.key.family == family]
            dumped = [r async for r in await pyroute2.route("dump", family=family)]
            ours = [r for r in dumped if r.get("oif") == link.ifindex and is_ours(r)]
            assert sorted(routes) == sorted(map(route_of, ours))


def told(address: Address) -> tuple[Any, ...]:
    return address.peer, address.flags, address.scope, address.proto, address.label


def address_of(found: Any) -> tuple[str, tuple[Any, ...]]:
    """Key and the rest of an address, from what pyroute2 read."""
    far = found.get("address")
    own = found.get("local") or far
    facts = found.get("flags"), found["scope"], found.get("proto") or 0, found.get("label") or ""
    return f"{own}/{found['prefixlen']}", (far if far != own else "", *facts)


def route_told(route: Route) -> tuple[Any, ...]:
    key = route.key
    about = (str(route.gateway), str(route.source), route.protocol, route.onlink)
    return key.table, key.destination, key.tos, key.metric, *about


def route_of(found: Any) -> tuple[Any, ...]:
    length = found["dst_len"]
    destination = f"{found.get('dst')}/{length}" if length else "default"
    key = found.get("table"), destination, found["tos"], found.get("priority") or 0
    onlink = bool(found["flags"] & RTNH_F_ONLINK)
    return *key, str(found.get("gateway")), str(found.get("prefsrc")), found["proto"], onlink


def is_ours(found: Any) -> bool:
    return found["type"] == 1 and found["proto"] in (3, 4, OWNER)


def link_of(found: Any) -> Link:
    up, carrier = bool(found["flags"] & 1), bool(found.get("carrier"))
    about = (found.get("address"), found.get("mtu"), found["ifi_type"])
    losses = found.get("carrier_down_count")
    return Link(found.get("ifname"), found["index"], up, carrier, *about, losses)
