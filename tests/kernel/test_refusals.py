"""Refusals: which step, why, in whose words; and all others are carried out."""

from __future__ import annotations

import asyncio
import errno

import pytest
from msgspec.structs import replace

from ipmp.kernel import chunks
from ipmp.kernel.protocol import Course, Kernel, PassedOver
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


async def test_a_refusal_ends_the_course_of_a_batch_and_no_other(
    kernel: Kernel, world: World
) -> None:
    kernel.links(("ni0",))
    course, other = Course(), Course()
    batches = (
        ([*(fitting(world, n) for n in range(100)), unfit(world, 0)], course),
        ([fitting(world, 100)], course),  # handed over before the refusal
        ([fitting(world, 101)], other),
    )
    prepared = [(kernel.prepare(steps), course) for steps, course in batches]
    handed = [asyncio.create_task(kernel.apply(*batch)) for batch in prepared]
    refused, passed_over, done = await asyncio.gather(*handed, return_exceptions=True)
    assert isinstance(refused, list)
    assert [failure.errno for failure in refused] == [errno.EINVAL]
    assert isinstance(passed_over, PassedOver)
    assert done == []
    assert (course.over, other.over) == (True, False)
    assert await keys(kernel, "ni0") == [fitting(world, n).address.key for n in (*range(100), 101)]
    with pytest.raises(PassedOver):  # and when it is handed over afterwards
        await kernel.apply(kernel.prepare([fitting(world, 100)]), course)


async def test_a_member_that_does_not_exist_ends_the_course(kernel: Kernel, world: World) -> None:
    kernel.links(("ni0", "ni9"))
    course = Course()
    lost = add(world, "10.0.0.1/16", "ni9")
    prepared = [kernel.prepare([lost]), kernel.prepare([fitting(world, 0)])]
    handed = [asyncio.create_task(kernel.apply(batch, course)) for batch in prepared]
    failures, passed_over = await asyncio.gather(*handed, return_exceptions=True)
    assert isinstance(failures, list)
    assert [(f.step, f.errno) for f in failures] == [(lost, errno.ENODEV)]
    assert isinstance(passed_over, PassedOver)
    assert await keys(kernel, "ni0") == []


async def test_batches_are_carried_out_in_the_order_in_which_they_are_handed_over(
    kernel: Kernel, world: World
) -> None:
    """Long ones, short ones and those with IPv6 take ways of their own."""
    kernel.links(("ni0",))
    course = Course()
    sizes = (300, 1, 40, 1, 1, 200)
    order = [fitting(world, n).address.key for n in range(sum(sizes))]
    batches, taken = list[list[Step]](), 0
    for number, size in enumerate(sizes):
        steps: list[Step] = [fitting(world, n) for n in range(taken, taken + size)]
        taken += size
        batches.append([*steps, add(world, f"2001:db8::{number + 1:x}/64", "ni0")])
        batches.append([add(world, f"192.0.2.{number + 1}/24", "ni0")])
    prepared = [kernel.prepare(steps) for steps in batches]
    handed = [asyncio.create_task(kernel.apply(batch, course)) for batch in prepared]
    assert await asyncio.gather(*handed) == [[] for _ in batches]
    found = await keys(kernel, "ni0")
    assert [key for key in found if key.startswith("10.")] == order
    assert [key for key in found if key.startswith("192.")] == [
        f"192.0.2.{n + 1}/24" for n in range(len(sizes))
    ]
