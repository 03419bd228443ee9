"""Refusals: which step, why, in whose words; and all others are carried out."""

from __future__ import annotations

import errno

import pytest
from msgspec.structs import replace

from ipmp.kernel import chunks
from ipmp.kernel.protocol import Kernel
from ipmp.plan import AddAddress, Step
from ipmp.world import SCOPE_LINK, DataAddress
from tests.kernel.steps import GROUP, add, attempt, keys, reroute, routes
from tests.kernel.world import World

pytestmark = pytest.mark.netns

#: Steps of more than two chunks.
MANY = 2 * chunks.CHUNK_MESSAGES + 88
WHERE = (1, 2, 254, 255, 256, 257, 400, 511, 512, MANY - 1)


def fitting(world: World, number: int) -> AddAddress:
    """An address that the kernel takes."""
    return add(world, f"10.0.{number // 250}.{number % 250 + 1}/16", "ni0")


def unfit(world: World, number: int) -> AddAddress:
    """An address that the kernel refuses: its subnet has another scope."""
    spec = world.codec.declared(f"10.0.{100 + number // 250}.{number % 250 + 1}/16")
    return AddAddress(DataAddress(replace(spec, scope=SCOPE_LINK), GROUP, 0), "ni0", "", 0)


async def test_a_refusal_in_the_middle_of_a_batch(kernel: Kernel, world: World) -> None:
    good = [fitting(world, number) for number in range(10)]
    steps: list[Step] = [*good[:5], unfit(world, 0), *good[5:]]
    failures = await attempt(kernel, *steps)
    assert [(failure.step, failure.errno) for failure in failures] == [(steps[5], errno.EINVAL)]
    assert await keys(kernel, "ni0") == [step.address.key for step in good]


async def test_refusals_in_several_chunks(kernel: Kernel, world: World) -> None:
    steps = [
        unfit(world, number) if number in WHERE else fitting(world, number)
        for number in range(MANY)
    ]
    failures = await attempt(kernel, *steps)
    assert [failure.step for failure in failures] == [steps[number] for number in WHERE]
    assert {failure.errno for failure in failures} == {errno.EINVAL}
    carried_out = [step for number, step in enumerate(steps) if number not in WHERE]
    assert await keys(kernel, "ni0") == [step.address.key for step in carried_out]


async def test_refusals_of_all_steps(kernel: Kernel, world: World) -> None:
    world.add_address("10.0.0.1/16", "ni0")
    steps = [unfit(world, number) for number in range(MANY)]
    failures = await attempt(kernel, *steps)
    assert [failure.step for failure in failures] == steps
    assert await keys(kernel, "ni0") == ["10.0.0.1/16"]


async def test_the_kernel_is_quoted(kernel: Kernel, world: World) -> None:
    world.add_address("192.0.2.1/24", "ni0")
    world.add_route("10.1.0.0/16", "ni0", via="192.0.2.254")
    (route,) = await routes(kernel, "ni0")
    (failure,) = await attempt(kernel, reroute(route, "ni1"))
    assert failure.errno == errno.ENETUNREACH
    assert failure.text == "Nexthop has invalid gateway"
