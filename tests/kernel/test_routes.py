"""What the plan relies on about routes (linux-peers 1.5, 1.9; pyroute2-eval 3.4, 3.6)."""

from __future__ import annotations

import errno

import pytest

from ipmp.kernel.protocol import Kernel
from ipmp.plan import AddAnchor, DeleteAddress
from ipmp.world import OWNER, Route
from tests.kernel.steps import (
    add,
    add_beside,
    attempt,
    delete_route,
    do,
    look,
    reroute,
    routes,
)
from tests.kernel.world import MEMBERS, World

pytestmark = pytest.mark.netns

IPV4, IPV6 = "192.0.2.1/24", "2001:db8::1/64"
GATEWAY, GATEWAY6 = "192.0.2.254", "2001:db8::fe"

#: Every attribute that a route may have and must keep, one route a line.
KINDS: dict[str, tuple[str, dict[str, str | int]]] = {
    "default": ("default", {"via": GATEWAY}),
    "metric": ("10.1.0.0/16", {"via": GATEWAY, "metric": 50}),
    "source": ("10.2.0.0/16", {"via": GATEWAY, "src": "192.0.2.1"}),
    "table": ("10.3.0.0/16", {"via": GATEWAY, "table": 100}),
    "high-table": ("10.4.0.0/16", {"via": GATEWAY, "table": 70_000}),
    "on-link": ("10.5.0.0/16", {"via": "203.0.113.9", "onlink": ""}),
    "device": ("10.6.0.0/16", {"scope": "link"}),
    "metrics": ("10.7.0.0/16", {"via": GATEWAY, "mtu": 1400, "advmss": 1200, "initcwnd": 20}),
    "tos": ("10.8.0.0/16", {"via": GATEWAY, "tos": "0x10"}),
    "protocol": ("10.9.0.0/16", {"via": GATEWAY, "protocol": "static"}),
    "realm": ("10.10.0.0/16", {"via": GATEWAY, "realm": 7}),
    "default6": ("default", {"via": GATEWAY6}),
    "metric6": ("2001:db8:1::/64", {"via": GATEWAY6, "metric": 50}),
    "source6": ("2001:db8:2::/64", {"via": GATEWAY6, "src": "2001:db8::1"}),
    "table6": ("2001:db8:3::/64", {"via": GATEWAY6, "table": 70_000}),
    "link-local6": ("2001:db8:4::/64", {"via": "fe80::1"}),
    "device6": ("2001:db8:5::/64", {}),
    "metrics6": ("2001:db8:6::/64", {"via": GATEWAY6, "mtu": 1400, "hoplimit": 9}),
    "from6": ("2001:db8:8::/64", {"from": "2001:db8:f::/64", "via": GATEWAY6}),
    "preference6": ("2001:db8:7::/64", {"via": GATEWAY6, "pref": "high"}),
}


def told(route: Route) -> tuple[object, ...]:
    """What of a route must not change, whichever member it leaves through."""
    return route.key, route.gateway, route.source, route.onlink


async def on_both(kernel: Kernel, world: World) -> None:
    """Both members have the addresses, as in the middle of a move."""
    for key in (IPV4, IPV6):
        world.add_address(key, "ni0")
        await do(kernel, add(world, key, "ni1"))


# A move: pyroute2-eval 3.3, 3.6 -----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_a_route_moves_and_returns_unchanged(kernel: Kernel, world: World, kind: str) -> None:
    await on_both(kernel, world)
    destination, options = KINDS[kind]
    world.add_route(destination, "ni0", **options)
    (home,) = await routes(kernel, "ni0")
    await move(kernel, home, "ni1", OWNER)
    assert await routes(kernel, "ni0") == []
    (away,) = await routes(kernel, "ni1")
    assert (told(away), away.protocol) == (told(home), OWNER)
    await move(kernel, home, "ni0", home.protocol)
    assert await routes(kernel, "ni1") == []
    assert await routes(kernel, "ni0") == [home]


async def move(kernel: Kernel, home: Route, member: str, protocol: int) -> None:
    """Replace the route, and remove what that leaves behind."""
    await do(kernel, reroute(home, member, protocol))
    left = [r for name in MEMBERS if name != member for r in await routes(kernel, name)]
    await do(kernel, *(delete_route(route) for route in left))


@pytest.mark.parametrize(
    ("destination", "via", "probe"),
    [("10.1.0.0/16", GATEWAY, "10.1.2.3"), ("2001:db8:1::/64", GATEWAY6, "2001:db8:1::1")],
)
async def test_a_route_is_replaced_in_place(
    kernel: Kernel, world: World, destination: str, via: str, probe: str
) -> None:
    await on_both(kernel, world)
    world.add_route(destination, "ni0", via=via)
    (route,) = await routes(kernel, "ni0")
    await do(kernel, reroute(route, "ni1"))
    assert await routes(kernel, "ni0") == []
    assert [told(moved) for moved in await routes(kernel, "ni1")] == [told(route)]
    assert world.egress(probe) == "ni1"


@pytest.mark.parametrize(
    ("key", "destination", "via"),
    [(IPV4, "10.1.0.0/16", GATEWAY), (IPV6, "2001:db8:1::/64", GATEWAY6)],
)
async def test_a_route_may_follow_its_address_in_one_batch(
    kernel: Kernel, world: World, key: str, destination: str, via: str
) -> None:
    world.add_address(key, "ni0")
    world.add_route(destination, "ni0", via=via, src=key.partition("/")[0])
    (route,) = await routes(kernel, "ni0")
    await do(kernel, add(world, key, "ni1"), reroute(route, "ni1"), DeleteAddress(key, "ni0"))
    assert [told(moved) for moved in await routes(kernel, "ni1")] == [told(route)]


@pytest.mark.parametrize("destination", ["10.1.0.0/16", "2001:db8:1::/64"])
async def test_a_deletion_of_a_route_that_is_not_there_is_done(
    kernel: Kernel, world: World, destination: str
) -> None:
    await on_both(kernel, world)
    world.add_route(destination, "ni0")
    (route,) = await routes(kernel, "ni0")
    await do(kernel, delete_route(route), delete_route(route))
    world.remove("ni0")
    await do(kernel, delete_route(route))


async def test_a_route_without_its_gateway_on_link_is_refused(kernel: Kernel, world: World) -> None:
    world.add_address(IPV4, "ni0")
    world.add_route("10.1.0.0/16", "ni0", via=GATEWAY)
    (route,) = await routes(kernel, "ni0")
    step = reroute(route, "ni1")
    (failure,) = await attempt(kernel, step)
    assert (failure.step, failure.errno) == (step, errno.ENETUNREACH)
    assert await routes(kernel, "ni0") == [route]


async def test_a_route_without_its_source_on_the_host_is_refused(
    kernel: Kernel, world: World
) -> None:
    world.add_address(IPV4, "ni0")
    world.add_address("192.0.2.9/24", "ni1")
    world.add_route("10.1.0.0/16", "ni0", via=GATEWAY, src="192.0.2.1")
    (route,) = await routes(kernel, "ni0")
    world.delete_address(IPV4, "ni0")
    (failure,) = await attempt(kernel, reroute(route, "ni1"))
    assert failure.errno == errno.EINVAL


# Routes that share their key: only the first is in force, and replaced ---------------------------


async def test_replacing_hits_the_first_of_those_with_the_same_key(
    kernel: Kernel, world: World
) -> None:
    await on_both(kernel, world)
    world.add_route("10.1.0.0/16", "ni0", via="192.0.2.253")
    world.append_route("10.1.0.0/16", "ni0", via="192.0.2.254")
    _, second = await routes(kernel, "ni0")
    await do(kernel, reroute(second, "ni1"))
    assert await routes(kernel, "ni0") == [second]
    assert [told(route) for route in await routes(kernel, "ni1")] == [told(second)]


async def test_ipv4_refuses_to_replace_a_route_by_one_that_is_there(
    kernel: Kernel, world: World
) -> None:
    await on_both(kernel, world)
    world.add_route("10.1.0.0/16", "ni0", via=GATEWAY)
    world.append_route("10.1.0.0/16", "ni1", via=GATEWAY)
    (route,) = await routes(kernel, "ni0")
    (failure,) = await attempt(kernel, reroute(route, "ni1", route.protocol))
    assert failure.errno == errno.EEXIST
    assert await routes(kernel, "ni0") == [route]


async def test_ipv6_replaces_a_route_without_looking_for_another_one_like_it(
    kernel: Kernel, world: World
) -> None:
    await on_both(kernel, world)
    for member in MEMBERS:
        world.append_route("2001:db8:1::/64", member)
    (route,) = await routes(kernel, "ni0")
    await do(kernel, reroute(route, "ni1"))
    assert await routes(kernel, "ni0") == []
    assert [told(r) for r in await routes(kernel, "ni1")] == [told(route)] * 2


async def test_a_route_that_is_added_beside_others_replaces_none(
    kernel: Kernel, world: World
) -> None:
    await on_both(kernel, world)
    world.add_route("10.1.0.0/16", "ni0", via="192.0.2.253")
    world.append_route("10.1.0.0/16", "ni0", via="192.0.2.254")
    first, second = await routes(kernel, "ni0")
    await do(kernel, add_beside(first, "ni1"), add_beside(second, "ni1"))
    assert await routes(kernel, "ni0") == [first, second]
    await do(kernel, delete_route(second))
    assert await routes(kernel, "ni0") == [first]
    await do(kernel, delete_route(first))
    assert [told(r) for r in await routes(kernel, "ni1")] == [told(first), told(second)]


async def test_ipv6_refuses_a_route_beside_another(kernel: Kernel, world: World) -> None:
    """It would make one multipath route of them, and that does not follow the group."""
    await on_both(kernel, world)
    world.add_route("2001:db8:1::/64", "ni0", via=GATEWAY6)
    (route,) = await routes(kernel, "ni0")
    (failure,) = await attempt(kernel, add_beside(route, "ni1"))
    assert failure.errno == errno.EEXIST
    assert await routes(kernel, "ni0") == [route]
    await do(kernel, delete_route(route), add_beside(route, "ni1"))
    assert [told(r) for r in await routes(kernel, "ni1")] == [told(route)]


async def test_ipv6_keeps_one_route_with_and_one_without_a_gateway(
    kernel: Kernel, world: World
) -> None:
    await on_both(kernel, world)
    world.add_route("2001:db8:1::/64", "ni0", via=GATEWAY6)
    world.append_route("2001:db8:1::/64", "ni0")
    for route in await routes(kernel, "ni0"):
        await do(kernel, delete_route(route))
        other = await routes(kernel, "ni0")
        await do(kernel, add_beside(route, "ni1", beside=True))
        assert await routes(kernel, "ni0") == other
        (moved,) = await routes(kernel, "ni1")
        assert told(moved) == told(route)
        await do(kernel, delete_route(moved), add_beside(route, "ni0", beside=True))


async def test_source_specific_routes_are_told_apart(kernel: Kernel, world: World) -> None:
    await on_both(kernel, world)
    for source in ("2001:db8:e::/64", "2001:db8:f::/64"):
        world.add_route("2001:db8:1::/64", "ni0", **{"from": source, "via": GATEWAY6})
    one, other = await routes(kernel, "ni0")
    assert one.key != other.key
    await do(kernel, reroute(one, "ni1"))
    assert await routes(kernel, "ni0") == [other]
    await do(kernel, reroute(other, "ni1"))
    assert [told(r) for r in await routes(kernel, "ni1")] == [told(one), told(other)]


# What the kernel does by itself: linux-peers 1.3, 1.5; pyroute2-eval 3.4 -------------------------


async def test_all_ipv4_routes_go_with_the_last_ipv4_address(kernel: Kernel, world: World) -> None:
    world.add_address(IPV4, "ni0")
    world.add_route("default", "ni0", via=GATEWAY)
    world.add_route("10.1.0.0/16", "ni0", via=GATEWAY, table=100)
    world.add_route("10.2.0.0/16", "ni0", via=GATEWAY, table=70_000)
    await do(kernel, add(world, IPV4, "ni1"), DeleteAddress(IPV4, "ni0"))
    assert await routes(kernel, "ni0") == [], "although the address lives on on ni1"
    assert world.egress("198.51.100.1") is None


async def test_another_ipv4_address_keeps_the_routes(kernel: Kernel, world: World) -> None:
    world.add_address(IPV4, "ni0")
    world.add_route("default", "ni0", via=GATEWAY)
    await do(kernel, AddAnchor("ni0"), add(world, IPV4, "ni1"), DeleteAddress(IPV4, "ni0"))
    assert len(await routes(kernel, "ni0")) == 1


async def test_ipv6_routes_stay_without_the_address(kernel: Kernel, world: World) -> None:
    world.add_address(IPV6, "ni0")
    world.add_route("default", "ni0", via=GATEWAY6)
    await do(kernel, DeleteAddress(IPV6, "ni0"))
    assert len(await routes(kernel, "ni0")) == 1
    assert world.egress("2001:db8:99::1") == "ni0", "into a black hole"


async def test_an_ipv4_route_goes_with_its_source(kernel: Kernel, world: World) -> None:
    world.add_address("192.0.2.9/24", "ni0")
    world.add_address(IPV4, "ni0")
    world.add_route("10.1.0.0/16", "ni0", via=GATEWAY, src="192.0.2.1")
    await do(kernel, DeleteAddress(IPV4, "ni0"))
    assert await routes(kernel, "ni0") == []


async def test_an_ipv4_route_stays_while_its_source_is_on_another_member(
    kernel: Kernel, world: World
) -> None:
    world.add_address("192.0.2.9/24", "ni0")
    world.add_address(IPV4, "ni0")
    world.add_route("10.1.0.0/16", "ni0", via=GATEWAY, src="192.0.2.1")
    before = await routes(kernel, "ni0")
    await do(kernel, add(world, IPV4, "ni1"), DeleteAddress(IPV4, "ni0"))
    assert await routes(kernel, "ni0") == before


async def test_an_ipv6_route_loses_its_source_and_stays(kernel: Kernel, world: World) -> None:
    world.add_address(IPV6, "ni0")
    world.add_route("2001:db8:1::/64", "ni0", via="fe80::1", src="2001:db8::1")
    await do(kernel, DeleteAddress(IPV6, "ni0"))
    (route,) = await routes(kernel, "ni0")
    assert route.source is None


async def test_an_ipv6_route_keeps_a_source_that_is_on_another_member(
    kernel: Kernel, world: World
) -> None:
    world.add_address(IPV6, "ni0")
    world.add_route("2001:db8:1::/64", "ni0", via="fe80::1", src="2001:db8::1")
    await do(kernel, add(world, IPV6, "ni1"), DeleteAddress(IPV6, "ni0"))
    (route,) = await routes(kernel, "ni0")
    assert route.source == "2001:db8::1"


async def test_carrier_loss_removes_no_route(kernel: Kernel, world: World) -> None:
    world.add_address(IPV4, "ni0")
    world.add_address(IPV6, "ni0")
    world.add_route("default", "ni0", via=GATEWAY)
    world.add_route("default", "ni0", via=GATEWAY6)
    before = [told(route) for route in await routes(kernel, "ni0")]
    world.set_carrier("ni0", False)
    assert [told(route) for route in await routes(kernel, "ni0")] == before


async def test_admin_down_removes_the_routes_and_up_does_not_restore_them(
    kernel: Kernel, world: World
) -> None:
    world.set_sysctl("ni0", "ipv6.keep_addr_on_down", 1)
    world.add_address(IPV4, "ni0")
    world.add_address(IPV6, "ni0")
    world.add_route("default", "ni0", via=GATEWAY)
    world.add_route("default", "ni0", via=GATEWAY6)
    world.set_up("ni0", False)
    assert await routes(kernel, "ni0") == []
    world.set_up("ni0", True)
    assert await routes(kernel, "ni0") == []
    assert (await look(kernel)).holders(IPV4) == ["ni0"]
    assert (await look(kernel)).holders(IPV6) == ["ni0"]


async def test_admin_down_removes_ipv6_addresses_unless_they_are_kept(
    kernel: Kernel, world: World
) -> None:
    for key in (IPV4, IPV6):
        world.add_address(key, "ni0")
    world.set_up("ni0", False)
    assert (await look(kernel)).holders(IPV6) == []
    assert (await look(kernel)).holders(IPV4) == ["ni0"]


# Which routes follow the group ------------------------------------------------------------------


@pytest.mark.parametrize("owner", ["kernel", "ra", "dhcp", "zebra", "bgp"])
async def test_routes_of_other_owners_are_left_alone(
    kernel: Kernel, world: World, owner: str
) -> None:
    world.add_address(IPV4, "ni0")
    world.add_route("10.1.0.0/16", "ni0", via=GATEWAY, protocol=owner)
    assert await routes(kernel, "ni0") == []
    assert world.egress("10.1.2.3") == "ni0"


async def test_connected_routes_are_left_alone(kernel: Kernel, world: World) -> None:
    await on_both(kernel, world)
    assert [await routes(kernel, member) for member in MEMBERS] == [[], []]
