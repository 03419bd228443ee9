"""Who is told what: others' changes wake the daemon, its own do not (pyroute2-eval 1.2)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ipmp.kernel import events
from ipmp.kernel.protocol import Changes, Kernel
from ipmp.plan import DeleteAddress
from tests.kernel.linux_world import LINUX_ONLY
from tests.kernel.steps import add, copy, delete, delete_route, do, look, reroute, routes
from tests.kernel.world import MEMBERS, World
from tests.support.wait import eventually_async

pytestmark = pytest.mark.netns

IPV4, IPV6 = "192.0.2.1/24", "2001:db8::1/64"
GATEWAY = "192.0.2.254"
SENTINEL = "203.0.113.1/32"  # when this change has been heard, all before it have been, too


class Heard:
    """Everything that a kernel has called back with."""

    def __init__(self, kernel: Kernel, members: Sequence[str] = MEMBERS) -> None:
        self.all = Changes()
        kernel.links(members)
        kernel.watch(members, self)

    def __call__(self, changes: Changes) -> None:
        self.all.links |= changes.links
        self.all.addresses |= changes.addresses
        self.all.removed_routes |= changes.removed_routes
        self.all.routes |= changes.routes
        self.all.overrun |= changes.overrun

    async def before(self, world: World) -> Changes:
        """What was heard up to now."""
        world.add_address(SENTINEL, "ni0")
        await eventually_async(lambda: ("ni0", SENTINEL) in self.all.addresses)
        self.all.addresses.discard(("ni0", SENTINEL))
        return self.all


@pytest.mark.parametrize("key", [IPV4, IPV6])
async def test_an_address_that_others_add_is_told(kernel: Kernel, world: World, key: str) -> None:
    heard = Heard(kernel)
    world.add_address(key, "ni1")
    assert await heard.before(world) == Changes(addresses={("ni1", key)})


@pytest.mark.parametrize("key", [IPV4, IPV6])
async def test_an_address_that_others_remove_is_told(
    kernel: Kernel, world: World, key: str
) -> None:
    await do(kernel, add(world, key, "ni1"))
    heard = Heard(kernel)
    world.delete_address(key, "ni1")
    assert await heard.before(world) == Changes(addresses={("ni1", key)})


async def test_what_we_do_ourselves_is_not_told(kernel: Kernel, world: World) -> None:
    for key in (IPV4, IPV6):
        world.add_address(key, "ni0")
    for destination, via in (("default", GATEWAY), ("2001:db8:1::/64", "2001:db8::fe")):
        world.add_route(destination, "ni0", via=via)
    heard = Heard(kernel)
    held = (await look(kernel)).addresses["ni0"]
    moving = await routes(kernel, "ni0")
    await do(kernel, *(copy(world, held[key], "ni1") for key in (IPV4, IPV6)))
    await do(kernel, *(reroute(route, "ni1") for route in moving))
    await do(kernel, *(delete(held[key]) for key in (IPV4, IPV6)))
    await do(kernel, *(delete_route(route) for route in await routes(kernel, "ni1")))
    assert await heard.before(world) == Changes()


async def test_of_many_changes_of_our_own_none_is_told(kernel: Kernel, world: World) -> None:
    heard = Heard(kernel)
    for subnet in range(1, 4):
        new = [f"2001:db8:{subnet}::{number:x}/64" for number in range(1, 257)]
        await do(kernel, *(add(world, key, "ni1") for key in new))
        await do(kernel, *(DeleteAddress(key, "ni1") for key in reversed(new)))
    assert await heard.before(world) == Changes()


async def test_others_undoing_what_we_did_are_heard(kernel: Kernel, world: World) -> None:
    heard = Heard(kernel)
    for key in (IPV4, IPV6):
        await do(kernel, add(world, key, "ni0"))
        world.delete_address(key, "ni0")
    assert await heard.before(world) == Changes(addresses={("ni0", IPV4), ("ni0", IPV6)})


async def test_a_route_that_others_add_is_told(kernel: Kernel, world: World) -> None:
    world.add_address(IPV4, "ni0")
    heard = Heard(kernel)
    world.add_route("10.1.0.0/16", "ni0", via=GATEWAY)
    assert await heard.before(world) == Changes(routes=True)


async def test_a_route_that_others_remove_is_told_as_removed(kernel: Kernel, world: World) -> None:
    world.add_address(IPV4, "ni0")
    world.add_route("10.1.0.0/16", "ni0", via=GATEWAY)
    world.add_route("10.2.0.0/16", "ni0", via=GATEWAY)
    heard = Heard(kernel)
    (route, _) = await routes(kernel, "ni0")
    world.delete_route("10.1.0.0/16")
    assert await heard.before(world) == Changes(routes=True, removed_routes={route.key})


@pytest.mark.parametrize("owner", ["static", "bgp"])
@pytest.mark.parametrize(
    ("destination", "via"), [("10.1.0.0/16", GATEWAY), ("2001:db8:1::/64", "2001:db8::fe")]
)
async def test_a_route_that_others_replace_by_one_elsewhere_is_told_as_removed(
    kernel: Kernel, world: World, destination: str, via: str, owner: str
) -> None:
    for member in MEMBERS:
        world.add_address(IPV4, member)
        world.add_address(IPV6, member)
    world.add_route(destination, "ni0", via=via)
    heard = Heard(kernel, ("ni0",))
    (route,) = await routes(kernel, "ni0")
    world.replace_route(destination, "ni1", via=via, protocol=owner)
    assert await heard.before(world) == Changes(routes=True, removed_routes={route.key})


async def test_routes_that_others_replace_among_themselves_are_not_told(
    kernel: Kernel, world: World
) -> None:
    world.add_address(IPV4, "ni1")
    heard = Heard(kernel, ("ni0",))
    await look(kernel, "ni0")
    world.add_route("10.1.0.0/16", "ni1", via=GATEWAY)
    world.replace_route("10.1.0.0/16", "ni1", via="192.0.2.253")
    assert await heard.before(world) == Changes()


async def test_routes_that_vanish_with_their_last_address_are_not_told(
    kernel: Kernel, world: World
) -> None:
    """The kernel is silent about them (linux-peers 1.5): only a reading finds them gone."""
    world.add_address(IPV4, "ni1")
    world.add_route("10.1.0.0/16", "ni1", via=GATEWAY)
    heard = Heard(kernel)
    world.delete_address(IPV4, "ni1")
    assert await heard.before(world) == Changes(addresses={("ni1", IPV4)})
    assert await routes(kernel, "ni1") == []


async def test_routes_that_vanish_with_their_link_are_not_told_as_removed(
    kernel: Kernel, world: World
) -> None:
    for key, via in ((IPV4, GATEWAY), (IPV6, "2001:db8::fe")):
        world.add_address(key, "ni1")
        world.add_route("default", "ni1", via=via)
    heard = Heard(kernel)
    world.set_up("ni1", False)
    changes = await heard.before(world)
    assert changes.links == {"ni1"}
    assert changes.removed_routes == set()


@pytest.mark.parametrize("owner", ["dhcp", "bgp"])
async def test_routes_of_other_owners_are_not_told(
    kernel: Kernel, world: World, owner: str
) -> None:
    world.add_address(IPV4, "ni0")
    heard = Heard(kernel)
    world.add_route("10.1.0.0/16", "ni0", via=GATEWAY, protocol=owner)
    world.delete_route("10.1.0.0/16")
    assert await heard.before(world) == Changes()


async def test_a_link_that_changes_is_told(kernel: Kernel, world: World) -> None:
    heard = Heard(kernel)
    world.set_carrier("ni1", False)
    await eventually_async(lambda: heard.all.links == {"ni1"})
    world.set_up("ni0", False)
    await eventually_async(lambda: heard.all.links == {"ni0", "ni1"})


async def test_a_link_that_goes_and_its_successor_are_told(kernel: Kernel, world: World) -> None:
    heard = Heard(kernel)
    world.remove("ni1")
    await eventually_async(lambda: heard.all.links == {"ni1"})
    heard.all.links.clear()
    world.insert("ni1")
    await eventually_async(lambda: heard.all.links == {"ni1"})


async def test_members_that_are_not_watched_are_not_told(kernel: Kernel, world: World) -> None:
    kernel.links(MEMBERS)
    heard = Heard(kernel, ("ni0",))
    world.set_carrier("ni1", False)
    assert await heard.before(world) == Changes()


@LINUX_ONLY
async def test_an_overrun_is_told(
    kernel: Kernel, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOBUFS: the kernel had to drop events, so that nothing that was heard is the whole truth."""
    monkeypatch.setattr(events, "EVENT_BUFFER_BYTES", 4096)
    heard = Heard(kernel)
    for number in range(1, 30):
        world.add_address(f"10.0.0.{number}/24", "ni0")
    await eventually_async(lambda: heard.all.overrun)
    world.add_address(IPV4, "ni0")
    await eventually_async(lambda: ("ni0", IPV4) in heard.all.addresses)
