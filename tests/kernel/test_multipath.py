"""Routes over several members: what we write is what ip(8) shows, and comes back as it was.

What the plan relies on (linux-peers 1.5): a replacement is one, a nexthop without carrier or
address is passed over by the kernel itself, and ours are told apart from everybody else's.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence

import pytest

from ipmp.kernel.protocol import Kernel
from ipmp.plan import AddAnchor, DeleteAddress, DeleteSpread, MakeSpread
from ipmp.spread import LAST_RESORT, Spreading
from ipmp.world import AF_INET, AF_INET6, MADE, OWNER, Route, RouteKey, SpreadRoute
from tests.kernel.linux_world import LINUX_ONLY, ip
from tests.kernel.steps import add, attempt, do, look, reroute, routes
from tests.kernel.test_routes import GATEWAY, GATEWAY6, IPV4, IPV6, KINDS
from tests.kernel.world import MEMBERS, World

pytestmark = pytest.mark.netns

TEST4, ONLINK = "192.0.2.11/32", "192.0.2.0/24"
FLOWS = [f"198.51.100.{n}" for n in range(1, 40)]
FLOWS6 = [f"2001:db8:99::{n:x}" for n in range(1, 40)]


async def prepared(kernel: Kernel, world: World) -> None:
    """Member ni0 has the data addresses, ni1 a test address and the IPv6 route of last resort."""
    for member in MEMBERS:
        world.set_sysctl(member, "ipv4.ignore_routes_with_linkdown", 1)
        world.set_sysctl(member, "ipv6.ignore_routes_with_linkdown", 1)
    world.add_address(IPV4, "ni0")
    world.add_address(IPV6, "ni0")
    world.add_address(TEST4, "ni1", noprefixroute="")
    await do(kernel, MakeSpread(last_resort("ni1"), in_place=False))


def made(destination: str, *members: str, metric: int = 0, source: str | None = None) -> Spreading:
    family = AF_INET6 if ":" in destination else AF_INET
    key = RouteKey(family, 254, destination, 0, metric)
    return Spreading(Route(key, members[0], MADE, None, None, False, b""), members, source)


def last_resort(member: str) -> Spreading:
    return made("2001:db8::/64", member, metric=LAST_RESORT + MEMBERS.index(member))


def over(home: Route, *members: str, source: str | None = None) -> MakeSpread:
    """Spread a route that was found."""
    return MakeSpread(Spreading(home, members, source or home.source))


def shown(destination: str, *options: str) -> list[str]:
    """What ip(8) says, a route a line."""
    family = "-6" if ":" in destination else "-4"
    text = ip(family, "route", "show", *options, destination).replace("\n\t", " ")
    return [re.sub(r"\s+", " ", line).strip() for line in text.splitlines()]


async def spread(kernel: Kernel) -> list[SpreadRoute]:
    """What is spread, without the routes of last resort."""
    return [r for r in (await look(kernel)).spread if r.key.metric < LAST_RESORT]


def used(world: World, flows: Sequence[str]) -> set[str | None]:
    """Through which members these flows leave."""
    return {world.egress(flow) for flow in flows}


# What an operator's route becomes, and becomes again ----------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "device6"])
async def test_a_route_is_spread_and_returns_unchanged(
    kernel: Kernel, world: World, kind: str
) -> None:
    await prepared(kernel, world)
    destination, options = KINDS[kind]
    world.add_route(destination, "ni0", **options)
    (home,) = await routes(kernel, "ni0")
    await do(kernel, over(home, *MEMBERS))
    assert [await routes(kernel, member) for member in MEMBERS] == [[], []]
    (found,) = await spread(kernel)
    assert (found.identity, found.source) == (home.identity, home.source)
    assert (found.members, found.protocol) == (MEMBERS, OWNER)
    await do(kernel, reroute(home, "ni0", home.protocol))
    assert await spread(kernel) == []
    assert await routes(kernel, "ni0") == [home]


@LINUX_ONLY
async def test_ip_shows_a_spread_ipv4_route_as_an_operator_would_write_it(
    kernel: Kernel, world: World
) -> None:
    await prepared(kernel, world)
    world.add_route("10.1.0.0/16", "ni0", via=GATEWAY, metric=50, mtu=1400, realm=7)
    (home,) = await routes(kernel, "ni0")
    await do(kernel, over(home, *MEMBERS, source="192.0.2.1"))
    hops = " ".join(f"nexthop via {GATEWAY} dev {m} weight 1 onlink realm 7" for m in MEMBERS)
    (line,) = shown("10.1.0.0/16")
    assert sorted(line.split()) == sorted(
        f"10.1.0.0/16 proto 157 src 192.0.2.1 metric 50 mtu 1400 {hops}".split()
    )


@LINUX_ONLY
async def test_ip_shows_a_spread_ipv6_route_as_an_operator_would_write_it(
    kernel: Kernel, world: World
) -> None:
    await prepared(kernel, world)
    world.add_route("2001:db8:1::/64", "ni0", via=GATEWAY6, metric=50, mtu=1400, pref="high")
    (home,) = await routes(kernel, "ni0")
    await do(kernel, over(home, *MEMBERS))
    hops = " ".join(f"nexthop via {GATEWAY6} dev {m} weight 1" for m in MEMBERS)
    (line,) = shown("2001:db8:1::/64")
    assert sorted(line.split()) == sorted(
        f"2001:db8:1::/64 proto 157 metric 50 mtu 1400 pref high {hops}".split()
    )


@pytest.mark.parametrize("kind", ["default", "source", "metrics", "link-local6", "preference6"])
async def test_a_spread_route_of_which_nothing_else_is_known_is_gathered(
    kernel: Kernel, world: World, kind: str
) -> None:
    await prepared(kernel, world)
    destination, options = KINDS[kind]
    world.add_route(destination, "ni0", **options)
    (home,) = await routes(kernel, "ni0")
    await do(kernel, over(home, *MEMBERS))
    (found,) = await spread(kernel)
    await do(kernel, reroute(world.codec.gathered(found, "ni0"), "ni0", home.protocol))
    assert await spread(kernel) == []
    (left,) = await routes(kernel, "ni0")
    assert (left.identity, left.source, left.protocol) == (home.identity, home.source, 3)


# What we make -----------------------------------------------------------------------------------


@LINUX_ONLY
async def test_what_is_on_link_is_spread_in_front_of_the_connected_route(
    kernel: Kernel, world: World
) -> None:
    await prepared(kernel, world)
    before = shown(ONLINK)
    step = MakeSpread(made(ONLINK, *MEMBERS, source="192.0.2.1"), in_place=False)
    await do(kernel, step)
    first, second = shown(ONLINK)
    hops = " ".join(f"nexthop dev {member} weight 1" for member in MEMBERS)
    assert first == f"{ONLINK} proto 158 scope link src 192.0.2.1 {hops}"
    assert [second] == before
    world.add_address("192.0.2.2/24", "ni1")
    assert shown(ONLINK)[0] == first, "a connected route that comes later comes behind"
    assert used(world, [f"192.0.2.{n}" for n in range(20, 60)]) == set(MEMBERS)
    world.delete_address("192.0.2.2/24", "ni1")
    (found,) = await spread(kernel)
    assert step.spreading.is_so(found)
    await do(kernel, DeleteSpread(found))
    assert shown(ONLINK) == before


async def test_what_is_on_link_leaves_by_all_members_while_it_is_spread(
    kernel: Kernel, world: World
) -> None:
    await prepared(kernel, world)
    flows = [f"192.0.2.{n}" for n in range(20, 60)]
    await do(kernel, MakeSpread(made(ONLINK, *MEMBERS, source="192.0.2.1"), in_place=False))
    assert used(world, flows) == set(MEMBERS)
    for members in (MEMBERS[:1], MEMBERS[1:], MEMBERS):
        wanted = made(ONLINK, *members, source="192.0.2.1")
        await do(kernel, MakeSpread(wanted, in_place=True))
        (found,) = await spread(kernel)
        assert wanted.is_so(found)
        assert used(world, flows) == set(members)
    world.add_address("192.0.2.2/24", "ni1")
    assert used(world, flows) == set(MEMBERS)
    await do(kernel, DeleteSpread(found))
    assert used(world, flows) == {"ni0"}
    world.delete_address(IPV4, "ni0")
    assert used(world, flows) == {"ni1"}, "the connected route came behind, and stayed"


@LINUX_ONLY
@pytest.mark.parametrize("fewer", [MEMBERS[:1], MEMBERS[1:]])
async def test_members_leave_and_join_what_we_made_in_place(
    kernel: Kernel, world: World, fewer: tuple[str, ...]
) -> None:
    await prepared(kernel, world)
    connected = shown(ONLINK)
    await do(kernel, MakeSpread(made(ONLINK, *MEMBERS, source="192.0.2.1"), in_place=False))
    for members in (fewer, MEMBERS):
        wanted = made(ONLINK, *members, source="192.0.2.1")
        await do(kernel, MakeSpread(wanted, in_place=True))
        assert [wanted.is_so(found) for found in await spread(kernel)] == [True]
        assert shown(ONLINK)[1:] == connected


async def test_the_route_of_last_resort_is_used_when_the_other_member_is_dead(
    kernel: Kernel, world: World
) -> None:
    await prepared(kernel, world)
    assert world.egress("2001:db8::99") == "ni0"
    world.set_carrier("ni0", False)
    assert world.egress("2001:db8::99") == "ni1"
    (found,) = (await look(kernel)).spread
    assert last_resort("ni1").is_so(found)
    await do(kernel, DeleteSpread(found))
    assert (await look(kernel)).spread == []
    await do(kernel, DeleteSpread(found))


async def test_ipv6_refuses_nexthops_without_a_gateway(kernel: Kernel, world: World) -> None:
    """Why what is on-link is not spread there, and device routes are not."""
    await prepared(kernel, world)
    world.add_route("2001:db8:5::/64", "ni0")
    (home,) = await routes(kernel, "ni0")
    (failure,) = await attempt(kernel, over(home, *MEMBERS))
    assert failure.errno == errno.EINVAL
    assert await routes(kernel, "ni0") == [home]


async def test_ipv6_refuses_a_gateway_that_is_not_on_link_there(
    kernel: Kernel, world: World
) -> None:
    """Why each member has a route of last resort."""
    world.add_address(IPV6, "ni0")
    world.add_route("default", "ni0", via=GATEWAY6)
    (home,) = (await look(kernel)).routes["ni0"]
    (failure,) = await attempt(kernel, over(home, *MEMBERS))
    assert failure.errno == errno.EHOSTUNREACH
    assert await routes(kernel, "ni0") == [home]
    await do(kernel, MakeSpread(last_resort("ni1"), in_place=False), over(home, *MEMBERS))


# What the kernel does by itself -------------------------------------------------------------------


@pytest.mark.parametrize(("via", "flows"), [(GATEWAY, FLOWS), (GATEWAY6, FLOWS6)])
@pytest.mark.parametrize("member", MEMBERS)
async def test_a_nexthop_without_carrier_is_passed_over(
    kernel: Kernel, world: World, via: str, flows: list[str], member: str
) -> None:
    await prepared(kernel, world)
    world.add_route("default", "ni0", via=via)
    (home,) = await routes(kernel, "ni0")
    await do(kernel, over(home, *MEMBERS, source="192.0.2.1" if via == GATEWAY else None))
    assert used(world, flows) == set(MEMBERS)
    world.set_carrier(member, False)
    assert used(world, flows) == set(MEMBERS) - {member}
    world.set_carrier(member, True)
    assert used(world, flows) == set(MEMBERS)


async def test_a_spread_route_survives_the_last_address_of_a_member(
    kernel: Kernel, world: World
) -> None:
    await prepared(kernel, world)
    world.add_route("default", "ni0", via=GATEWAY)
    (home,) = await routes(kernel, "ni0")
    await do(kernel, over(home, *MEMBERS), add(world, IPV4, "ni1"), DeleteAddress(IPV4, "ni0"))
    assert used(world, FLOWS) == {"ni1"}
    await do(kernel, AddAnchor("ni0"))
    assert used(world, FLOWS) == set(MEMBERS), "back with any address, also one that asks in vain"


async def test_a_spread_route_goes_with_a_member_that_is_removed(
    kernel: Kernel, world: World
) -> None:
    """The kernel drops the whole IPv4 route, and tells nobody: the daemon puts it back."""
    await prepared(kernel, world)
    world.add_route("default", "ni0", via=GATEWAY)
    (home,) = await routes(kernel, "ni0")
    await do(kernel, over(home, *MEMBERS))
    world.remove("ni1")
    assert (await look(kernel)).identities == set()


# Other people's -----------------------------------------------------------------------------------


@LINUX_ONLY
async def test_a_multipath_route_of_an_operator_is_left_alone(kernel: Kernel, world: World) -> None:
    await prepared(kernel, world)
    hops = [word for m in MEMBERS for word in ("nexthop", "via", GATEWAY, "dev", m, "onlink")]
    ip("route", "add", "10.1.0.0/16", "src", "192.0.2.1", *hops)
    found = await look(kernel)
    assert [found.routes[member] for member in MEMBERS] == [[], []]
    assert [r.key.destination for r in found.spread] == ["2001:db8::/64"]
