"""What the plan relies on about addresses (linux-peers 1.1-1.3, 1.9; pyroute2-eval 3)."""

from __future__ import annotations

import errno

import pytest

from ipmp.kernel.protocol import Kernel
from ipmp.plan import AddAnchor, DeleteAddress
from ipmp.world import (
    IFA_F_DEPRECATED,
    IFA_F_NOPREFIXROUTE,
    IFA_F_SECONDARY,
    OWNER,
    SCOPE_LINK,
    is_ipv4,
)
from tests.kernel.steps import add, address, attempt, copy, delete, do, keys, look
from tests.kernel.world import MEMBERS, World

pytestmark = pytest.mark.netns

IPV4, IPV6 = "192.0.2.1/24", "2001:db8::1/64"
SUBNET = [f"192.0.2.{number}/24" for number in (7, 3, 9, 1)]
OTHER_SUBNET = "198.51.100.1/24"


# Where an address may be: linux-peers 1.1 --------------------------------------------------------


@pytest.mark.parametrize("key", [IPV4, IPV6])
async def test_an_address_may_sit_on_two_members(kernel: Kernel, world: World, key: str) -> None:
    world.add_address(key, "ni0")
    await do(kernel, add(world, key, "ni1"))
    assert (await look(kernel)).holders(key) == ["ni0", "ni1"]
    world.delete_address(key, "ni0")
    assert (await look(kernel)).holders(key) == ["ni1"]
    assert world.delivers(key.partition("/")[0])


async def test_another_prefix_length_is_another_address(kernel: Kernel, world: World) -> None:
    world.add_address("192.0.2.1/24", "ni0")
    world.add_address("192.0.2.1/32", "ni0")
    await do(kernel, DeleteAddress("192.0.2.1/32", "ni0"))
    assert await keys(kernel, "ni0") == ["192.0.2.1/24"]
    world.add_address("192.0.2.1/32", "ni0")
    await do(kernel, DeleteAddress("192.0.2.1/24", "ni0"))
    assert await keys(kernel, "ni0") == ["192.0.2.1/32"]


async def test_ipv6_with_a_second_prefix_length_is_refused(kernel: Kernel, world: World) -> None:
    """The kernel says EEXIST to that, too, although what was asked for is not there."""
    world.add_address("2001:db8::1/64", "ni0")
    here, there = add(world, "2001:db8::1/128", "ni0"), add(world, "2001:db8::1/64", "ni0")
    (failure,) = await attempt(kernel, here, there)
    assert (failure.step, failure.errno) == (here, errno.EEXIST)
    assert await keys(kernel, "ni0") == ["2001:db8::1/64"]


@pytest.mark.parametrize("key", [IPV4, IPV6])
async def test_an_addition_that_is_there_already_is_done(
    kernel: Kernel, world: World, key: str
) -> None:
    world.add_address(key, "ni0")
    await do(kernel, add(world, key, "ni0"))
    assert (await address(kernel, key, "ni0")).proto == 0, "it is left as it was"


@pytest.mark.parametrize("key", [IPV4, IPV6])
async def test_a_deletion_of_what_is_not_there_is_done(
    kernel: Kernel, world: World, key: str
) -> None:
    await do(kernel, DeleteAddress(key, "ni0"))
    world.remove("ni1")
    await do(kernel, DeleteAddress(key, "ni1"))


@pytest.mark.parametrize("key", [IPV4, IPV6])
async def test_an_addition_to_a_member_that_is_gone_is_refused(
    kernel: Kernel, world: World, key: str
) -> None:
    kernel.links(MEMBERS)
    world.remove("ni1")
    step = add(world, key, "ni1")
    (failure,) = await kernel.apply(kernel.prepare([step]))  # it has not been noticed yet
    assert (failure.step, failure.errno) == (step, errno.ENODEV)
    (failure,) = await attempt(kernel, step)  # and now it has
    assert (failure.step, failure.errno) == (step, errno.ENODEV)


async def test_ipv6_is_usable_when_its_addition_is_done(kernel: Kernel, world: World) -> None:
    """The kernel answers RTM_NEWADDR before the address works (pyroute2-eval 3.2): we wait."""
    new = [f"2001:db8::{number:x}/64" for number in range(1, 51)]
    await do(kernel, *(add(world, key, "ni0") for key in new))
    assert world.delivers("2001:db8::32")
    assert world.delivers("2001:db8::1")


@pytest.mark.parametrize("lost", ["carrier", "up"])
async def test_an_address_can_be_added_to_a_member_without_a_link(
    kernel: Kernel, world: World, lost: str
) -> None:
    if lost == "carrier":
        world.set_carrier("ni1", False)
    else:
        world.set_up("ni1", False)
    await do(kernel, add(world, IPV4, "ni1"), add(world, IPV6, "ni1"))
    assert await keys(kernel, "ni1") == [IPV4, IPV6]


# Primary and secondary: linux-peers 1.3 ---------------------------------------------------------


async def test_the_first_of_a_subnet_is_primary_and_the_order_is_kept(
    kernel: Kernel, world: World
) -> None:
    await do(kernel, *(add(world, key, "ni0") for key in (*SUBNET, OTHER_SUBNET)))
    held = (await look(kernel)).addresses["ni0"]
    secondary = [key for key, found in held.items() if found.flags & IFA_F_SECONDARY]
    assert secondary == SUBNET[1:]
    assert [key for key in held if key in SUBNET] == SUBNET


async def test_secondaries_go_with_their_primary(kernel: Kernel, world: World) -> None:
    world.set_sysctl("ni0", "ipv4.promote_secondaries", 0)
    for key in (*SUBNET, OTHER_SUBNET):
        world.add_address(key, "ni0")
    await do(kernel, DeleteAddress(SUBNET[0], "ni0"))
    assert await keys(kernel, "ni0") == [OTHER_SUBNET]


async def test_with_promote_secondaries_the_next_one_becomes_primary(
    kernel: Kernel, world: World
) -> None:
    world.set_sysctl("ni0", "ipv4.promote_secondaries", 1)
    for key in SUBNET:
        world.add_address(key, "ni0")
    await do(kernel, DeleteAddress(SUBNET[0], "ni0"))
    held = (await look(kernel)).addresses["ni0"]
    assert [k for k, found in held.items() if not found.flags & IFA_F_SECONDARY and is_ipv4(k)] == [
        SUBNET[1]
    ]
    assert [key for key in held if is_ipv4(key)] == SUBNET[1:]


async def test_in_reverse_order_each_deletion_takes_one(kernel: Kernel, world: World) -> None:
    world.set_sysctl("ni0", "ipv4.promote_secondaries", 0)
    for key in SUBNET:
        world.add_address(key, "ni0")
    left = list(SUBNET)
    while left:
        await do(kernel, DeleteAddress(left.pop(), "ni0"))
        assert await keys(kernel, "ni0") == left


# Labels -----------------------------------------------------------------------------------------


async def test_a_guest_bears_the_label_that_it_is_given(kernel: Kernel, world: World) -> None:
    await do(kernel, add(world, IPV4, "ni1", label="ni1:1"))
    assert (await address(kernel, IPV4, "ni1")).label == "ni1:1"


async def test_without_a_label_an_ipv4_address_bears_its_members_name(
    kernel: Kernel, world: World
) -> None:
    await do(kernel, add(world, IPV4, "ni0"), add(world, IPV6, "ni0"))
    assert (await address(kernel, IPV4, "ni0")).label == "ni0"
    assert (await address(kernel, IPV6, "ni0")).label == ""


async def test_a_label_is_not_copied(kernel: Kernel, world: World) -> None:
    world.add_address(IPV4, "ni0", label="ni0:web")
    found = await address(kernel, IPV4, "ni0")
    assert found.label == "ni0:web"
    await do(kernel, copy(world, found, "ni1"))
    assert (await address(kernel, IPV4, "ni1")).label == "ni1"


async def test_a_label_that_is_too_long_is_left_out(kernel: Kernel, world: World) -> None:
    await do(kernel, add(world, IPV4, "ni1", label="ni1:" + "1" * 11))  # 15: the longest
    await do(kernel, add(world, OTHER_SUBNET, "ni1", label="ni1:" + "1" * 12))
    assert (await address(kernel, IPV4, "ni1")).label == "ni1:" + "1" * 11
    assert (await address(kernel, OTHER_SUBNET, "ni1")).label == "ni1"


# What survives: linux-peers 1.9, pyroute2-eval 3.6 ----------------------------------------------


@pytest.mark.parametrize("key", [IPV4, IPV6])
async def test_the_owner_survives(kernel: Kernel, world: World, key: str) -> None:
    world.set_sysctl("ni1", "ipv6.keep_addr_on_down", 1)
    await do(kernel, add(world, key, "ni1"))
    world.set_carrier("ni1", False)
    world.set_up("ni1", False)
    assert (await address(kernel, key, "ni1")).proto == OWNER
    world.set_up("ni1", True)
    world.set_carrier("ni1", True)
    assert (await address(kernel, key, "ni1")).proto == OWNER


async def test_the_owner_survives_promotion(kernel: Kernel, world: World) -> None:
    world.set_sysctl("ni1", "ipv4.promote_secondaries", 1)
    world.add_address(SUBNET[0], "ni1")
    await do(kernel, add(world, SUBNET[1], "ni1"), DeleteAddress(SUBNET[0], "ni1"))
    promoted = await address(kernel, SUBNET[1], "ni1")
    assert not promoted.flags & IFA_F_SECONDARY
    assert promoted.proto == OWNER


async def test_noprefixroute_survives_a_move(kernel: Kernel, world: World) -> None:
    for key in (IPV4, IPV6):
        world.add_address(key, "ni0", noprefixroute="")
        found = await address(kernel, key, "ni0")
        await do(kernel, copy(world, found, "ni1"), delete(found))
        assert (await address(kernel, key, "ni1")).flags & IFA_F_NOPREFIXROUTE
    assert world.egress("192.0.2.99") is None


@pytest.mark.parametrize("key", [IPV4, IPV6])
async def test_deprecation_survives_a_move(kernel: Kernel, world: World, key: str) -> None:
    world.add_address(key, "ni0", preferred_lft=0)
    found = await address(kernel, key, "ni0")
    assert found.flags & IFA_F_DEPRECATED
    assert not found.dynamic
    await do(kernel, copy(world, found, "ni1"), delete(found))
    assert (await address(kernel, key, "ni1")).flags & IFA_F_DEPRECATED


async def test_an_address_with_a_lifetime_is_dynamic(kernel: Kernel, world: World) -> None:
    world.add_address(IPV4, "ni0", valid_lft=1000, preferred_lft=1000)
    world.add_address(IPV6, "ni0", valid_lft=1000, preferred_lft=1000)
    assert (await address(kernel, IPV4, "ni0")).dynamic
    assert (await address(kernel, IPV6, "ni0")).dynamic


async def test_metric_and_broadcast_survive_a_move(kernel: Kernel, world: World) -> None:
    world.add_address(IPV4, "ni0", brd="192.0.2.200", metric=77)
    before = await address(kernel, IPV4, "ni0")
    await do(kernel, copy(world, before, "ni1"), delete(before))
    away = await address(kernel, IPV4, "ni1")
    await do(kernel, copy(world, away, "ni0", proto=0), delete(away))
    assert world.codec.found(await address(kernel, IPV4, "ni0")) == world.codec.found(before)


@pytest.mark.parametrize(
    ("own", "peer"), [("192.0.2.1", "192.0.2.2/32"), ("2001:db8::1", "2001:db8::2/128")]
)
async def test_an_address_with_a_peer_moves_and_goes_with_it(
    kernel: Kernel, world: World, own: str, peer: str
) -> None:
    other, _, length = peer.partition("/")
    key = f"{own}/{length}"
    world.add_address(own, "ni0", peer=peer)
    found = await address(kernel, key, "ni0")
    assert found.peer == other
    await do(kernel, copy(world, found, "ni1"), delete(found))
    assert await keys(kernel, "ni0") == []
    moved = await address(kernel, key, "ni1")
    assert moved.peer == other
    assert world.egress(other) == "ni1"
    await do(kernel, delete(moved))
    assert await keys(kernel, "ni1") == []


# The anchor: linux-peers 1.7 --------------------------------------------------------------------


async def test_an_anchor_has_no_route_and_goes_by_its_key(kernel: Kernel, world: World) -> None:
    await do(kernel, AddAnchor("ni0"))
    (key,) = await keys(kernel, "ni0")
    anchor = await address(kernel, key, "ni0")
    assert key.startswith("169.254.")
    assert key.endswith("/32")
    assert (anchor.scope, anchor.proto) == (SCOPE_LINK, OWNER)
    assert anchor.flags & IFA_F_NOPREFIXROUTE
    await do(kernel, AddAnchor("ni0"))  # a second one is the same one
    assert await keys(kernel, "ni0") == [key]
    await do(kernel, DeleteAddress(key, "ni0"))
    assert await keys(kernel, "ni0") == []
