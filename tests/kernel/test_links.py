"""What the plan relies on about links (pyroute2-eval 5.1; linux-peers 3.2)."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest
from msgspec.structs import replace

from ipmp.kernel import ethtool
from ipmp.kernel.protocol import Changes, Kernel
from tests.kernel.linux_world import LINUX_ONLY
from tests.kernel.steps import add, do, keys, look
from tests.kernel.world import MACS, MEMBERS, World
from tests.support.wait import eventually

pytestmark = pytest.mark.netns


async def test_links_are_read_as_they_are(kernel: Kernel, world: World) -> None:
    links = kernel.links(MEMBERS)
    for name, link in links.items():
        assert (link.name, link.up, link.carrier) == (name, True, True)
        assert (link.hwaddr, link.mtu) == (MACS[name], 1500)
    assert len({link.ifindex for link in links.values()}) == len(MEMBERS)


async def test_carrier_and_admin_state_are_read_at_once(kernel: Kernel, world: World) -> None:
    world.set_carrier("ni0", False)
    world.set_up("ni1", False)
    links = kernel.links(MEMBERS)
    assert (links["ni0"].up, links["ni0"].carrier) == (True, False)
    assert links["ni1"].up is False
    world.set_carrier("ni0", True)
    world.set_up("ni1", True)
    assert all(link.up and link.carrier for link in kernel.links(MEMBERS).values())


async def test_a_carrier_loss_between_two_looks_is_counted(kernel: Kernel, world: World) -> None:
    before = kernel.links(MEMBERS)
    world.set_carrier("ni0", False)
    world.set_carrier("ni0", True)
    after = kernel.links(MEMBERS)
    assert after["ni0"].losses == before["ni0"].losses + 1
    assert after["ni1"] == before["ni1"]


async def test_a_link_that_does_not_exist_is_left_out(kernel: Kernel, world: World) -> None:
    assert kernel.links(("ni0", "ni7")).keys() == {"ni0"}
    world.remove("ni1")
    assert kernel.links(MEMBERS).keys() == {"ni0"}
    assert (await look(kernel)).addresses.keys() == {"ni0"}


async def test_a_link_that_was_put_back_has_another_index(kernel: Kernel, world: World) -> None:
    before = kernel.links(MEMBERS)["ni1"]
    world.remove("ni1")
    world.insert("ni1")
    after = kernel.links(MEMBERS)["ni1"]
    assert after.ifindex != before.ifindex
    assert after.hwaddr == before.hwaddr


async def test_a_member_that_was_renamed_is_still_that_member(kernel: Kernel, world: World) -> None:
    before = kernel.links(MEMBERS)["ni1"]
    world.rename("ni1", "wan0")
    after = kernel.links(MEMBERS)["ni1"]
    assert (after.name, after.device) == ("ni1", "wan0")
    assert replace(after, renamed="") == before
    await do(kernel, add(world, "192.0.2.1/24", "ni1"))
    world.listen()
    kernel.announce("192.0.2.1/24", "ni1")
    assert world.announced("ni1") == [("192.0.2.1", MACS["ni1"])]
    with closing(kernel.count_unicast("ni1", ["192.0.2.1/24"])) as counter:
        world.arrive("ni1", "192.0.2.1")
        eventually(lambda: counter.arrived() == 1)
    assert await keys(kernel, "ni1") == ["192.0.2.1/24"]


async def test_asking_brings_out_a_carrier_event_that_is_held_back(
    kernel: Kernel, world: World
) -> None:
    world.insert_slow("slow0")
    heard = Changes()
    kernel.watch(("slow0",), lambda changes: heard.links.update(changes.links))
    for _ in range(20):  # now and then the kernel is not late
        world.set_carrier("slow0", True)
        kernel.links(("slow0",))
        await turns_of_the_loop()
        heard.links.clear()
        world.set_carrier("slow0", False)
        await asyncio.sleep(0.01)  # in which an event that is not late would come
        if not heard.links:
            break
    assert not heard.links, "the event was never late"
    assert kernel.links(("slow0",))["slow0"].carrier is False
    await turns_of_the_loop()
    assert heard.links == {"slow0"}


async def turns_of_the_loop() -> None:
    """Let the loop handle what it can read already, and nothing that comes later."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_link_without_an_ethernet_address(kernel: Kernel, world: World) -> None:
    world.insert_tunnel("tun0")
    link = kernel.links(("tun0",))["tun0"]
    assert (link.up, link.hwaddr) == (True, "")


@LINUX_ONLY
async def test_a_link_over_which_packets_pass_is_not_read_anew(
    kernel: Kernel, world: World
) -> None:
    before = kernel.links(MEMBERS)
    with closing(kernel.count_unicast("ni0", ["192.0.2.1/24"])) as counter:
        world.arrive("ni0", "192.0.2.1")
        eventually(lambda: counter.arrived() == 1)
    after = kernel.links(MEMBERS)
    assert all(after[name] is before[name] for name in MEMBERS)


@LINUX_ONLY
async def test_the_speed_of_a_link_is_asked_anew_after_each_reading(
    kernel: Kernel, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    speed = [1000]
    monkeypatch.setattr(ethtool, "speed", lambda device: speed[0])
    assert {link.speed for link in kernel.links(MEMBERS).values()} == {1000}
    speed[0] = 2000  # a bond has gained a port: no answer tells
    await look(kernel)
    assert {link.speed for link in kernel.links(MEMBERS).values()} == {2000}
