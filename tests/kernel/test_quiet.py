"""Has a member gone quiet? What counts as still arriving there for addresses that have left."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ipmp.kernel.bpf import LIMIT
from ipmp.kernel.protocol import Kernel, QuietCounter
from ipmp.kernel.quiet import ALL_UNICAST, QuietMonitor, program
from ipmp.world import address_of
from tests.kernel.linux_world import LINUX_ONLY
from tests.kernel.world import World
from tests.support.wait import eventually

#: What a filter may take; small before Linux 6.7, a network namespace's own since 6.8.
OPTMEM_MAX = Path("/proc/sys/net/core/optmem_max")
OPTMEM_BEFORE_6_7 = 20_480

Keys = Callable[[int], list[str]]


def ipv4(count: int) -> list[str]:
    return [f"10.0.{number // 250}.{number % 250 + 1}/16" for number in range(count)]


def ipv6(count: int) -> list[str]:
    return [f"2001:db8::{number + 1:x}/64" for number in range(count)]


def scattered(count: int) -> list[str]:
    """IPv6 addresses of one /64 that have nothing else in common."""
    return [f"2001:db8::{number + 1:x}:{number:x}:{number:x}:1/64" for number in range(count)]


def counted(counter: QuietCounter, expected: int) -> int:
    """How many packets have come; waits for so many."""
    total = 0

    def come() -> bool:
        nonlocal total
        total += counter.arrived()
        return total >= expected

    eventually(come)
    return total


@pytest.mark.netns
@pytest.mark.parametrize("size", [1, 200, 1000])
@pytest.mark.parametrize(
    ("make", "strangers"),
    [(ipv4, ("10.0.99.99", "11.0.0.1")), (ipv6, ("2001:db8::ffff", "2001:db8:0:1::1"))],
)
async def test_only_unicast_to_these_addresses_counts(
    kernel: Kernel, world: World, make: Keys, strangers: tuple[str, ...], size: int
) -> None:
    addresses = [address_of(key) for key in make(size)]
    with closing(kernel.count_unicast("ni0", make(size))) as counter:
        for stranger in strangers:
            world.arrive("ni0", stranger)
        world.arrive("ni0", addresses[-1], to="broadcast")
        world.arrive("ni0", addresses[-1], to="other")
        world.arrive("ni1", addresses[-1])
        for address in addresses:
            world.arrive("ni0", address)
        assert counted(counter, size) == size
        assert counter.arrived() == 0, "it counts from call to call"


@pytest.mark.netns
async def test_both_families_are_counted_together(kernel: Kernel, world: World) -> None:
    keys = [*ipv4(500), *ipv6(500), *scattered(100)]
    with closing(kernel.count_unicast("ni0", keys)) as counter:
        world.arrive("ni0", "10.0.99.99")
        world.arrive("ni0", "2001:db8::ffff")
        for key in keys:
            world.arrive("ni0", address_of(key))
        assert counted(counter, len(keys)) == len(keys)


@pytest.mark.netns
async def test_a_member_that_is_gone_is_an_error(kernel: Kernel, world: World) -> None:
    world.remove("ni0")
    with pytest.raises(OSError, match="No such device"):
        kernel.count_unicast("ni0", ipv4(1))


@LINUX_ONLY
@pytest.mark.netns
@pytest.mark.parametrize("keys", [ipv4(5000), ipv6(5000), scattered(1000)])
async def test_of_too_many_addresses_all_unicast_counts(
    kernel: Kernel, world: World, keys: list[str]
) -> None:
    with closing(kernel.count_unicast("ni0", keys)) as counter:
        assert_all_unicast(counter, world)


@LINUX_ONLY
@pytest.mark.netns
async def test_of_addresses_too_many_for_the_kernels_memory_all_unicast_counts(
    world: World,
) -> None:
    if OPTMEM_MAX.exists():
        OPTMEM_MAX.write_text(str(OPTMEM_BEFORE_6_7))
    keys = [key.replace("10.0.", "192.168.") for key in ipv4(4000)]
    assert program(keys) != ALL_UNICAST
    with closing(QuietMonitor("ni0", keys)) as counter:
        assert_all_unicast(counter, world)


def assert_all_unicast(counter: QuietCounter, world: World) -> None:
    arriving = ("10.0.0.1", "198.51.100.1", "2001:db8::1", "2001:db9::1")
    for destination in arriving:
        world.arrive("ni0", destination, to="broadcast")
        world.arrive("ni0", destination, to="other")
        world.arrive("ni0", destination)
    assert counted(counter, len(arriving)) == len(arriving)


@pytest.mark.parametrize("keys", [ipv4(4000), ipv6(4000), ipv4(2000) + ipv6(2000), scattered(500)])
def test_so_many_fit(keys: list[str]) -> None:
    exact = program(keys)
    assert exact != ALL_UNICAST
    assert len(exact) <= LIMIT
