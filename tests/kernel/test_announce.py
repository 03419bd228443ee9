"""What is said on the link, and by which members (linux-peers 1.7; pyroute2-eval 4)."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ipmp.kernel.frames import gratuitous_arp, unsolicited_na
from ipmp.kernel.protocol import Kernel
from ipmp.lab import frames
from ipmp.plan import AddAnchor
from ipmp.world import Link
from tests.kernel.steps import add, do, keys
from tests.kernel.world import MACS, MEMBERS, World

IPV4, IPV6 = "192.0.2.1/24", "2001:db8::1/64"
MAC = bytes.fromhex("020000000010")


@pytest.mark.netns
@pytest.mark.parametrize("key", [IPV4, IPV6])
async def test_an_address_is_announced_once_with_its_members_mac(
    kernel: Kernel, world: World, key: str
) -> None:
    await do(kernel, add(world, key, "ni1"))
    world.listen()
    kernel.announce(key, "ni1")
    assert world.announced("ni1") == [(key.partition("/")[0], MACS["ni1"])]
    assert world.announced("ni0") == []


@pytest.mark.netns
async def test_a_member_that_was_put_back_announces_again(kernel: Kernel, world: World) -> None:
    kernel.links(MEMBERS)
    kernel.announce(IPV4, "ni1")
    world.remove("ni1")
    world.insert("ni1")
    kernel.links(MEMBERS)
    world.listen()
    kernel.announce(IPV4, "ni1")
    assert world.announced("ni1") == [("192.0.2.1", MACS["ni1"])]


@pytest.mark.netns
async def test_a_member_that_is_down_or_gone_cannot_announce(kernel: Kernel, world: World) -> None:
    world.set_up("ni1", False)
    kernel.links(MEMBERS)
    with pytest.raises(OSError, match=os.strerror(errno.ENETDOWN)):
        kernel.announce(IPV4, "ni1")
    world.remove("ni1")
    kernel.links(MEMBERS)
    with pytest.raises(OSError, match="ni1 is gone"):
        kernel.announce(IPV4, "ni1")


@pytest.mark.netns
@pytest.mark.parametrize("key", [IPV4, IPV6])
async def test_a_member_without_an_ethernet_address_cannot_announce(
    kernel: Kernel, world: World, key: str
) -> None:
    world.insert_tunnel("tun0")
    kernel.links(("tun0",))
    with pytest.raises(OSError, match="tun0 has no Ethernet address") as refused:
        kernel.announce(key, "tun0")
    assert refused.value.errno == errno.EOPNOTSUPP


@pytest.mark.netns
async def test_members_without_an_ethernet_address_have_an_anchor_each(
    kernel: Kernel, world: World
) -> None:
    for name in ("tun0", "tun1"):
        world.insert_tunnel(name)
    await do(kernel, AddAnchor("tun0"), AddAnchor("tun1"))
    (first,), (second,) = await keys(kernel, "tun0"), await keys(kernel, "tun1")
    assert first != second
    assert all(re.fullmatch(r"169\.254\.\d+\.\d+/32", anchor) for anchor in (first, second))


@pytest.mark.parametrize(
    "hwaddr", ["", "00:00:00:00:00:00", "c0:00:02:01", ":".join(["fe"] * 16), ":".join(["80"] * 20)]
)
def test_only_ethernet_addresses_are_for_the_wire(hwaddr: str) -> None:
    """Of tun, loopback, GRE, GRE over IPv6 and InfiniBand."""
    link = Link("ni0", 3, True, True, hwaddr, 1500)
    assert link.ethernet is None
    assert replace(link, hwaddr=MACS["ni0"]).ethernet == MAC


def test_an_arp_announcement_is_a_request_from_and_for_the_address() -> None:
    """The form that Linux believes also within its locktime."""
    assert frames.parse(gratuitous_arp(MAC, "192.0.2.1")) == {
        "kind": "arp-request",
        "src_mac": MACS["ni0"],
        "dst_mac": "ff:ff:ff:ff:ff:ff",
        "sender_ip": "192.0.2.1",
        "sender_mac": MACS["ni0"],
        "target_ip": "192.0.2.1",
        "target_mac": "00:00:00:00:00:00",
    }


@pytest.mark.parametrize("router", [False, True])
def test_a_neighbour_advertisement_overrides(router: bool) -> None:
    assert frames.parse(unsolicited_na(MAC, "2001:db8::1", router)) == {
        "kind": "na",
        "src_mac": MACS["ni0"],
        "dst_mac": "33:33:00:00:00:01",
        "sender_ip": "2001:db8::1",
        "sender_mac": MACS["ni0"],
        "target_ip": "2001:db8::1",
        "router": router,
        "solicited": False,
        "override": True,
    }


@settings(deadline=None)
@given(address=st.ip_addresses(v=6), router=st.booleans())
def test_the_checksum_of_an_advertisement_is_right(
    address: ipaddress.IPv6Address, router: bool
) -> None:
    """RFC 1071: over pseudo header and message, checksum included, the sum is all ones."""
    packet = unsolicited_na(MAC, str(address), router)[14:]
    message = packet[40:]
    summed = packet[8:40] + struct.pack("!IHBB", len(message), 0, 0, 58) + message
    total = sum(struct.unpack(f"!{len(summed) // 2}H", summed))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF
    assert struct.unpack("!H", packet[4:6])[0] == len(message)
    assert packet[7] == 255, "hop limit"
