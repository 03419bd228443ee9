"""`make soak`: seed after seed, in as many processes as there are CPUs.

A seed that breaks an invariant is printed with what led to it, and can be played again:
`make soak SEED=1234`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator

import msgspec

from tests.simulation.chaos import Chaos
from tests.simulation.world import InvariantBroken, World

EVENTS_OF_A_SEED = 500  # after so many a world has grown old


class Outcome(msgspec.Struct):
    """What became of one seed."""

    seed: int
    events: int
    report: str = ""  # of what was broken


def live(seed: int, events: int = EVENTS_OF_A_SEED) -> Outcome:
    """Let one world suffer until so many events have happened; judge it in between."""
    with World(seed) as world:
        try:
            world.settle()
            chaos = Chaos(world)
            while world.events < events:
                chaos.burst()
                world.settle()
        except InvariantBroken as broken:
            return Outcome(seed, world.events, str(broken))
    return Outcome(seed, world.events)


def soak(seeds: range, events: int) -> Iterator[Outcome]:
    """The outcome of each seed, as they come; not less than so many events altogether."""
    each = max(EVENTS_OF_A_SEED, -(-events // len(seeds)))
    with multiprocessing.Pool() as pool:
        yield from pool.imap_unordered(Work(each), seeds, chunksize=4)


class Work(msgspec.Struct):
    """`live` with its second argument, for other processes."""

    events: int

    def __call__(self, seed: int) -> Outcome:
        """Live one seed."""
        return live(seed, self.events)


def main() -> int:
    """Soak, and say what came of it; 1 when something is broken."""
    options = _parser().parse_args()
    if options.seed is not None:
        outcome = live(options.seed, options.events or EVENTS_OF_A_SEED)
        print(outcome.report or f"seed {outcome.seed}: {outcome.events} events, nothing is broken")
        return bool(outcome.report)
    seeds = range(options.first, options.first + options.seeds)
    began, events, broken = time.monotonic(), 0, 0
    for number, outcome in enumerate(soak(seeds, options.events), 1):
        events += outcome.events
        if outcome.report:
            broken += 1
            print(f"{outcome.report}\nplay it again with: make soak SEED={outcome.seed}\n")
        if number % 100 == 0 and sys.stderr.isatty():
            print(f"\r{number} seeds, {events} events", end="", file=sys.stderr)
    seconds = time.monotonic() - began
    print(
        f"{len(seeds)} seeds, {events:,} events in {seconds:.0f} s "
        f"({events / seconds:,.0f} a second on {os.cpu_count()} CPUs): "
        f"{broken or 'no'} invariant{'s' if broken > 1 else ''} broken"
    )
    return broken > 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many (2000)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first (0)")
    parser.add_argument("--events", type=int, default=0, help="at least so many altogether")
    parser.add_argument("--seed", type=int, help="play this one again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
