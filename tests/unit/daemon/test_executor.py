"""In which order a plan is carried out, announced and booked, also when it is cut short."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from ipmp.announce import Announcer
from ipmp.config import GroupConfig
from ipmp.daemon.executor import Executor, Work
from ipmp.daemon.moves import Books
from ipmp.daemon.pulse import Pulse
from ipmp.decision import Decision, Kind, Reason
from ipmp.kernel.protocol import Course, Failure, PassedOver, Prepared
from ipmp.model import MoveReason
from ipmp.placement import Placement
from ipmp.plan import AddAddress, Step
from tests.support.world import data_address, snapshot

KEYS = tuple(f"10.0.{n // 250}.{n % 250 + 1}/16" for n in range(400))  # several batches


class Kernel:
    """Takes everything, and notes it; `before` is called before each batch."""

    def __init__(self, log: list[str]) -> None:
        self.before: Callable[[Sequence[Step]], None] = lambda steps: None
        self.refuses: Callable[[Step], bool] = lambda step: False
        self.handed = self.begun = 0  # batches
        self.waiting: list[int] = []  # those handed over at the end of each
        self.turns = 1  # of the loop, that each of them takes
        self._log = log
        self._turn = asyncio.Lock()

    def prepare(self, steps: Sequence[Step]) -> Prepared:
        return Prepared(steps)

    async def apply(self, prepared: Prepared, course: Course) -> list[Failure]:
        self.handed += 1
        async with self._turn:
            if course.over:
                raise PassedOver
            self.begun += 1
            self.before(prepared.steps)
            refused = [step for step in prepared.steps if self.refuses(step)]
            self._log += (type(step).__name__ for step in prepared.steps if step not in refused)
            for _ in range(self.turns):  # as a kernel that lets the loop go on meanwhile
                await asyncio.sleep(0)
            self.waiting.append(self.handed - self.begun)
            course.over = course.over or bool(refused)
        return [Failure(step, 1, "not permitted") for step in refused]


class Context:
    """What an executor asks of the daemon."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.kernel = Kernel(self.log)

    def monotonic(self) -> float:
        return 10.0

    def wall(self) -> float:
        return 1000.0

    def announce(self, key: str, member: str) -> bool:
        self.log.append("announcement")
        return True


class Hands:
    """An executor that moves all addresses from `a`, whose link is down, to `b`."""

    def __init__(self, keys: Iterable[str] = KEYS) -> None:
        self.keys = tuple(keys)
        self.context: Any = Context()
        self.books = Books("g")
        for key in self.keys:
            self.books.seen(key, "a")
        config = GroupConfig("g", ("a", "b"))
        pulse = Pulse(self.context.monotonic)
        self.executor = Executor(self.context, config, Announcer(), self.books, pulse)
        self.decisions: list[Decision] = []
        addresses = [data_address(key, n, home="a") for n, key in enumerate(self.keys)]
        self.work = Work(
            placements=[Placement(a, "b", Reason.USABLE_MEMBER) for a in addresses],
            routes=(),
            snapshot=snapshot({"a": self.keys, "b": ()}),
            quiet=(),
            dead=("a",),
            why=lambda source, target: MoveReason.LINK,
        )

    async def carry_out(self, interrupted: Callable[[], bool] = lambda: False) -> bool:
        return await self.executor.carry_out(self.work, interrupted, self.decisions)

    @property
    def moved(self) -> list[str]:
        """The addresses of which it is told that they have moved."""
        return [d.address for d in self.decisions if d.kind is Kind.ADDRESS_MOVED]

    def booked_at(self, member: str) -> set[str]:
        return {key for key in self.keys if self.books.is_at(key, member)}


@pytest.mark.parametrize("count", [1, len(KEYS)])
async def test_nothing_is_deleted_before_the_last_announcement(count: int) -> None:
    hands = Hands(KEYS[:count])
    assert await hands.carry_out()
    log = hands.context.log
    assert log.count("AddAddress") == log.count("announcement") == count
    assert log.count("DeleteAddress") == count
    last = max(n for n, what in enumerate(log) if what == "announcement")
    assert log.index("DeleteAddress") > last
    assert hands.moved == list(hands.keys)
    assert hands.booked_at("b") == set(hands.keys)
    assert hands.books.left == set(), "the copies that were deleted are still expected"


@pytest.mark.parametrize("how", ["failure", "cancellation"])
async def test_what_was_carried_out_is_booked_also_when_the_pass_is_cut_short(how: str) -> None:
    hands = Hands()
    batches: list[Sequence[Step]] = []

    def before(steps: Sequence[Step]) -> None:
        batches.append(steps)
        if len(batches) == 3:
            if how == "failure":
                raise OSError("gone")
            task.cancel()

    hands.context.kernel.before = before
    task = asyncio.create_task(hands.carry_out())
    with suppress(OSError, asyncio.CancelledError):
        await task
        pytest.fail("it was not cut short")
    announced = hands.context.log.count("announcement")
    carried_out = batches[:2] if how == "failure" else batches  # the kernel is not interrupted
    added = {s.address.key for batch in carried_out for s in batch if isinstance(s, AddAddress)}
    assert 0 < announced <= len(added)
    assert hands.booked_at("b") == added == set(hands.moved)


async def test_a_pass_that_is_cancelled_amid_a_batch_books_what_the_kernel_does() -> None:
    hands = Hands(KEYS[:3])
    kernel = hands.context.kernel
    kernel.turns = 50
    task = asyncio.create_task(hands.carry_out())
    while not kernel.begun:
        await asyncio.sleep(0)
    for _ in range(kernel.turns // 2):  # nothing is left to plan, so it waits
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
        pytest.fail("it was not cancelled")
    assert hands.booked_at("b") == set(hands.keys) == set(hands.moved)
    assert "DeleteAddress" not in hands.context.log


async def test_an_interrupted_pass_is_booked_batch_by_batch_with_turns_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hands, turns, booked_in = Hands(), [0], []

    async def others() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    moved = hands.books.moved

    def booking(*arguments: Any) -> list[Decision]:
        booked_in.append(turns[0])
        return moved(*arguments)

    monkeypatch.setattr(hands.books, "moved", booking)
    beside = asyncio.create_task(others())
    assert await hands.carry_out(lambda: hands.context.log.count("AddAddress") == len(KEYS))
    beside.cancel()
    assert "DeleteAddress" not in hands.context.log
    assert hands.booked_at("b") == set(KEYS)
    assert len(booked_in) > 2
    assert sorted(set(booked_in)) == booked_in, "two batches at a stretch"


async def test_of_a_batch_with_a_refusal_nothing_is_announced_and_the_rest_is_tried_again() -> None:
    hands = Hands()
    victim = KEYS[300]
    hands.context.kernel.refuses = lambda step: (
        isinstance(step, AddAddress) and step.address.key == victim
    )
    assert await hands.carry_out(), "another pass must follow"
    assert "DeleteAddress" not in hands.context.log
    assert victim not in hands.moved
    assert hands.moved == list(KEYS[: hands.context.log.count("announcement")])
    (refused,) = (d for d in hands.decisions if d.kind is Kind.REFUSED)
    assert (refused.reason, refused.detail["value"]) == (
        Reason.KERNEL_REFUSED,
        f"add {victim} on b",
    )
    assert hands.books.kernel_refusals == 1


async def test_the_kernel_has_the_next_batch_before_it_is_through_with_the_last() -> None:
    hands = Hands()
    kernel = hands.context.kernel
    kernel.turns = 20
    assert await hands.carry_out()
    assert kernel.waiting == [1, 1, 0, 1, 1, 0], "additions, the anchor, deletions"


@pytest.mark.parametrize("how", ["refused", "interrupted"])
async def test_a_batch_that_was_handed_over_is_not_carried_out_after_the_end(how: str) -> None:
    hands = Hands()
    kernel = hands.context.kernel
    kernel.turns = 20
    kernel.refuses = lambda step: how == "refused"
    assert await hands.carry_out(lambda: how == "interrupted" and kernel.handed == 2)
    assert (kernel.handed, kernel.begun) == (2, 1)
    assert len(hands.moved) == len(hands.booked_at("b")) == hands.context.log.count("AddAddress")


async def test_the_time_of_a_move_runs_from_its_cause_although_another_one_comes_meanwhile() -> (
    None
):
    hands = Hands(KEYS[:3])
    hands.executor.noticed = 4.0
    hands.context.kernel.before = lambda steps: setattr(hands.executor, "noticed", 9.0)
    await hands.carry_out()
    announced = {(key, "b") for key in hands.keys}
    (closed,) = hands.books.settle(announced, 10.5, 1000.0)
    assert closed.detail["seconds"] == 6.5


async def test_a_batch_that_the_kernel_did_at_once_is_announced_before_the_next_is_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hands = Hands(KEYS[:1])
    log = hands.context.log
    prepare = hands.context.kernel.prepare

    async def apply(prepared: Prepared, course: Course) -> list[Failure]:
        log.extend(type(step).__name__ for step in prepared.steps)
        return []

    def preparing(steps: Sequence[Step]) -> Prepared:
        log.append("planned")
        return prepare(steps)

    monkeypatch.setattr(hands.context.kernel, "apply", apply)
    monkeypatch.setattr(hands.context.kernel, "prepare", preparing)
    assert await hands.carry_out()
    assert log[:3] == ["planned", "AddAddress", "announcement"]
