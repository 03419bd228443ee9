"""The probe engine with its sockets and nothing else, run inside a node of a lab.

    python -m tests.support.prober_program CONFIG OUTPUT [--seed N] [--quiet]

Reads ipmp.toml, probes its first group, and writes what comes out as JSON lines: `standing` (all
members, whenever one changes), `outcome`, `decision`, and whenever it has looked at the kernel
`counters`, `targets` and `silent`. With --quiet it writes only standings. Ends at SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import signal
import sys
import time
from pathlib import Path
from random import Random
from typing import Any, BinaryIO

import msgspec

from ipmp.config import GroupConfig, load
from ipmp.kernel.linux import LinuxKernel
from ipmp.kernel.probes import ProbeSockets
from ipmp.probing import Engine, Turn, arrange, inquire


class Program:
    """Drives one engine, as the daemon does."""

    def __init__(
        self, config: GroupConfig, out: BinaryIO, seed: int, look: float, quiet: bool
    ) -> None:
        self.config = config
        self.kernel = LinuxKernel()
        self.sockets = ProbeSockets(self.probe)
        self.engine = Engine(config.name, Random(seed))
        self._out = out
        self._look = look
        self._quiet = quiet
        self._timer: asyncio.TimerHandle | None = None
        self._said: dict[str, Any] = {}

    async def run(self) -> None:
        while True:
            await self.look()
            self.report()
            await asyncio.sleep(self._look)  # between two looks at the world

    async def look(self) -> None:
        """Read the kernel and tell the engine."""
        links = self.kernel.links(self.config.members)
        snapshot = await self.kernel.snapshot(links)
        nearby = await self.kernel.nearby(links, inquire(self.config, snapshot))
        setup = arrange(self.config, snapshot, nearby, ())
        for path, error in self.sockets.sync(setup.paths):
            self.write("refused", {"member": path.member, "error": str(error)})
        self.engine.configure(setup, time.monotonic())
        self.probe()

    def probe(self) -> None:
        """Take in what waits, send what is due, come again at the deadline."""
        replies = self.sockets.read()
        now = time.monotonic()
        turn = self.engine.advance(now, replies)
        for probe in turn.probes:
            error = self.sockets.send(probe)
            if error is not None:
                self.engine.unsent(probe)
                self.write("unsent", {"member": probe.member, "error": str(error)})
        self.sockets.listen(self.engine.silent)
        self.tell(turn)
        self.arm()

    def arm(self) -> None:
        deadline = self.engine.deadline
        if self._timer is not None and self._timer.when() == deadline:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if deadline < math.inf:
            self._timer = asyncio.get_running_loop().call_at(deadline, self.wake)

    def wake(self) -> None:
        self._timer = None
        self.probe()

    def tell(self, turn: Turn) -> None:
        if not self._quiet:
            for outcome in turn.outcomes:
                self.write("outcome", outcome)
        for decision in turn.decisions:
            self.write("decision", {"sentence": decision.sentence()})
        if turn.changed:
            self.report()

    def report(self) -> None:
        standings = self.engine.standings
        states = {member: standing.verdict for member, standing in standings.items()}
        if states != self._said:
            self._said = states
            self.write("standing", standings)
        if not self._quiet:
            counters = {
                f"{member} {family}": counters
                for (member, family), counters in self.engine.counters.items()
            }
            self.write("counters", counters)
            self.write("targets", self.engine.target_rows)
            self.write("silent", sorted(self.engine.silent))

    def write(self, kind: str, facts: object) -> None:
        line = {"kind": kind, "time": time.monotonic(), "facts": msgspec.to_builtins(facts)}
        self._out.write(msgspec.json.encode(line) + b"\n")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--look", type=float, default=0.05, help="seconds between two looks")
    parser.add_argument("--quiet", action="store_true")
    args = parser.parse_args()
    (config,) = load(args.config, Path("/nonexistent")).groups.values()
    with args.output.open("wb", 0) as out:
        program = Program(config, out, args.seed, args.look, args.quiet)
        task = asyncio.create_task(program.run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            program.write("end", {})


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
