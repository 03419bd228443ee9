"""Moving many addresses from one member to another, beside `ip -batch` and the kernel's own cost.

Runs in a lab's host node, so that nothing else writes there. All variants do the same adds and
deletes; ours takes them from the planner, in the planner's order.

  ip -batch   one process, one file of commands, deletions in reverse order
  ours        plan, encoding, sending, answers, and the books of the daemon
  kernel      the same bytes sent without any other work: the floor
  lag         the longest time that the event loop stood still during ours, milliseconds; in rounds
              of their own, because looking every half millisecond takes time, too
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from ipmp.announce import Announcer
from ipmp.config import GroupConfig
from ipmp.daemon.executor import Executor, Work
from ipmp.daemon.moves import Books
from ipmp.daemon.pulse import Pulse
from ipmp.decision import Decision, Reason
from ipmp.kernel import codec
from ipmp.kernel.linux import LinuxKernel
from ipmp.kernel.protocol import Course
from ipmp.lab import Lab
from ipmp.lab.tools import find
from ipmp.lab.topology import HOST
from ipmp.model import MoveReason
from ipmp.placement import Placement
from ipmp.plan import Announce, Progress, plan
from ipmp.world import DataAddress
from tests.bench.table import median, show

SIZES = (("IPv4", 1), ("IPv4", 100), ("IPv4", 1_000), ("IPv4", 10_000), ("IPv6", 1_000))
MEMBERS = ("ni0", "ni1")
ROUNDS = {1: 41, 100: 21, 1_000: 11, 10_000: 3}
ROUNDS_IPV6 = 3  # the kernel needs up to a second for a thousand
LONGEST = 600.0  # seconds for one size
TICK = 0.0005
_UNWATCHED: AbstractAsyncContextManager[None] = nullcontext()


def main() -> None:
    """Print the table."""
    rows = []
    for family, count in SIZES:
        with TemporaryDirectory() as directory, Lab(Path(directory, "lab")) as lab:
            command = [sys.executable, "-m", "tests.bench.bulk", family, str(count)]
            rows.append(
                _row(family, count, json.loads(lab.run(HOST, command, timeout=LONGEST).stdout))
            )
    header = ("move", "ip -batch ms", "ours ms", "ip/ours", "kernel ms", "ip/kernel", "lag ms")
    show("Bulk: adds on one member, then deletes on the other (medians)", header, rows)


def _row(family: str, count: int, figures: dict[str, float]) -> tuple[object, ...]:
    ip, ours, floor = (1000 * figures[name] for name in ("ip", "ours", "kernel"))
    return f"{family} {count}", ip, ours, ip / ours, floor, ip / floor, 1000 * figures["lag"]


class Bench:
    """The context that an executor needs, and nothing of a daemon."""

    def __init__(self) -> None:
        self.kernel = LinuxKernel()
        self.links = self.kernel.links(MEMBERS)

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    def emit(self, decisions: Iterable[Decision]) -> None:
        """Nobody listens."""

    def announce(self, key: str, member: str) -> bool:
        """Announcements are not part of this comparison."""
        return True


async def _inside(family: str, count: int) -> dict[str, float]:
    """Measure alternately, so that disturbances hit all variants alike."""
    bench = Bench()
    keys = _keys(family, count)
    addresses = [
        DataAddress(codec.declared_spec(key), "ipmp0", order, "ni0")
        for order, key in enumerate(keys)
    ]
    subprocess.run(_ip(), input=_commands(keys, "add", "ni0"), check=True)
    times: dict[str, list[float]] = {"ip": [], "ours": [], "kernel": []}
    lag = Lag()
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 50, 100)  # as mpathd does
    for _ in range(ROUNDS[count] if family == "IPv4" else ROUNDS_IPV6):
        for source, target in (MEMBERS, MEMBERS[::-1]):
            times["ip"].append(_move_with_ip(keys, source, target))
        for source, target in (MEMBERS, MEMBERS[::-1]):
            times["ours"].append(await _move_with_ours(bench, addresses, source, target))
        for source, target in (MEMBERS, MEMBERS[::-1]):
            await _move_with_ours(bench, addresses, source, target, lag)
        for source, target in (MEMBERS, MEMBERS[::-1]):
            times["kernel"].append(await _move_bare(bench, addresses, source, target))
    return {name: median(samples) for name, samples in times.items()} | {"lag": lag.longest}


def _move_with_ip(keys: Sequence[str], source: str, target: str) -> float:
    commands = _commands(keys, "add", target) + _commands(keys[::-1], "del", source)
    began = time.perf_counter()
    subprocess.run(_ip(), input=commands, check=True)
    return time.perf_counter() - began


async def _move_with_ours(
    bench: Bench,
    addresses: Sequence[DataAddress],
    source: str,
    target: str,
    lag: AbstractAsyncContextManager[None] = _UNWATCHED,
) -> float:
    snapshot = await bench.kernel.snapshot(bench.links)
    announcer = Announcer()
    books = Books("ipmp0")
    for address in addresses:
        books.seen(address.key, source)
    config, pulse = GroupConfig("ipmp0", MEMBERS), Pulse(time.monotonic)
    executor = Executor(bench, config, announcer, books, pulse)  # type: ignore[arg-type]
    placements = [Placement(a, target, Reason.FAILBACK) for a in addresses]
    work = Work(placements, (), snapshot, frozenset(), frozenset({source}), _why)
    async with lag:
        began = time.perf_counter()
        await executor.carry_out(work, lambda: False, [])
        return time.perf_counter() - began


def _why(source: str, target: str) -> MoveReason:
    return MoveReason.LINK


async def _move_bare(
    bench: Bench, addresses: Sequence[DataAddress], source: str, target: str
) -> float:
    """The planner's steps, encoded beforehand and sent chunk by chunk."""
    snapshot = await bench.kernel.snapshot(bench.links)
    placements = [Placement(a, target, Reason.FAILBACK) for a in addresses]
    announced = {(a.key, target) for a in addresses}
    progress = Progress(announced=announced, dead=frozenset({source}))
    steps = [
        step
        for batch in plan(placements, (), snapshot, progress)
        for step in batch
        if not isinstance(step, Announce)
    ]
    chunks = bench.kernel.prepare(steps).chunks
    began = time.perf_counter()
    refused = await bench.kernel._batches.send(chunks, Course())
    elapsed = time.perf_counter() - began
    assert not refused, refused
    return elapsed


class Lag(AbstractAsyncContextManager[None]):
    """The longest time that the loop did not come round, while it is entered; seconds."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._measure())
        await asyncio.sleep(2 * TICK)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(2 * TICK)  # the last tick has come
        assert self._task is not None
        self._task.cancel()

    async def _measure(self) -> None:
        while True:
            due = time.perf_counter() + TICK
            await asyncio.sleep(TICK)
            self.longest = max(self.longest, time.perf_counter() - due)


def _keys(family: str, count: int) -> list[str]:
    if family == "IPv4":
        return [f"10.0.{i // 250}.{i % 250 + 1}/16" for i in range(count)]
    return [f"fd00:2::{i + 1:x}/64" for i in range(count)]


def _commands(keys: Iterable[str], what: str, member: str) -> bytes:
    nodad = " nodad" if what == "add" else ""
    return b"".join(
        f"addr {what} {key} dev {member}{nodad if ':' in key else ''}\n".encode() for key in keys
    )


def _ip() -> list[str]:
    path = find("ip")
    if path is None:
        raise SystemExit("ip is missing: run `make bench`, which fetches it")
    return [str(path), "-batch", "-"]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_inside(sys.argv[1], int(sys.argv[2])))))
