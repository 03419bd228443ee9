"""What scrapes at the same time share, and what they must not."""

from __future__ import annotations

import asyncio

import pytest

from ipmp_exporter.sharing import Renderings, Shared


class Slow:
    """Work that ends when the test says so; its result is how often it had begun before."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = asyncio.Event()

    async def __call__(self, argument: float) -> int:
        self.begun += 1
        mine = self.begun
        await self.may_end.wait()
        if argument < 0:
            raise ValueError("no such work")
        return mine


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_those_who_ask_together_share_and_later_ones_get_what_began_later() -> None:
    work = Slow()
    shared = Shared(work)
    first = [asyncio.create_task(shared.result(1.0)) for _ in range(3)]
    await turns()
    later = [asyncio.create_task(shared.result(1.0)) for _ in range(3)]
    await turns()
    assert work.begun == 1, "two at a time"
    work.may_end.set()
    assert await asyncio.gather(*first) == [1, 1, 1]
    assert await asyncio.gather(*later) == [2, 2, 2]
    assert await shared.result(1.0) == 3


async def test_other_arguments_do_not_wait() -> None:
    work = Slow()
    shared = Shared(work)
    both = [asyncio.create_task(shared.result(argument)) for argument in (1.0, 2.0)]
    await turns()
    assert work.begun == 2
    work.may_end.set()
    await asyncio.gather(*both)


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    work = Slow()
    shared = Shared(work)
    gone, staying = (asyncio.create_task(shared.result(1.0)) for _ in range(2))
    await turns()
    gone.cancel()
    await turns()
    work.may_end.set()
    assert await staying == 1


async def test_a_failure_is_that_of_all_who_asked_and_of_nobody_later() -> None:
    work = Slow()
    shared = Shared(work)
    both = [asyncio.create_task(shared.result(-1.0)) for _ in range(2)]
    await turns()
    work.may_end.set()
    for asked in both:
        with pytest.raises(ValueError, match="no such work"):
            await asked
    with pytest.raises(ValueError, match="no such work"):
        await shared.result(-1.0)
    assert work.begun == 2


async def test_a_reading_is_rendered_once_in_each_form() -> None:
    renderings, rendered = Renderings(), []

    async def one(reading: object, form: str) -> bytes:
        async def render() -> bytes:
            rendered.append(form)
            await turns()
            return f"{reading} as {form}".encode()

        return await renderings.of(reading, form, render)

    old, new = "the old reading", "the new reading"
    texts = await asyncio.gather(*(one(old, form) for form in ("text", "gzip", "text")))
    assert texts == [f"{old} as {form}".encode() for form in ("text", "gzip", "text")]
    assert rendered == ["text", "gzip"]
    both = await asyncio.gather(one(old, "text"), one(new, "text"))
    assert both == [f"{reading} as text".encode() for reading in (old, new)]
