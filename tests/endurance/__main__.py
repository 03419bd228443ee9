"""`python -m tests.endurance --cycles N [--seed S] [--labs L]`, also as `make endurance CYCLES=N`.

So many cycles of `kill -9` and restart, with drains, carrier flaps and foreign changes going on, in
labs side by side. At the first fault it says what was done, shows the daemon's log and ends with
status 1. Every second lab probes its members; the others go by their links alone.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ipmp.lab import Lab
from tests.endurance.course import Course
from tests.support.views import BOTH

PROGRESS_SECONDS = 10.0


class Tally:
    """The cycles of all labs together."""

    def __init__(self, wanted: int) -> None:
        self.began = time.monotonic()
        self.failed = threading.Event()
        self.amid = 0  # kills that met a daemon with work half done
        self._wanted = wanted
        self._given = 0
        self._done = 0
        self._lock = threading.Lock()
        self._told = self.began

    def take(self) -> bool:
        """Whether there is another cycle to be run."""
        with self._lock:
            if self._given == self._wanted or self.failed.is_set():
                return False
            self._given += 1
            return True

    def done(self) -> None:
        """Count one, and tell from time to time."""
        with self._lock:
            self._done += 1
            if time.monotonic() - self._told >= PROGRESS_SECONDS:
                self._told = time.monotonic()
                print(f"{self._done} of {self._wanted} cycles, {self.seconds:.0f} s", flush=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def sentence(self, seed: str, labs: int) -> str:
        verdict = "a fault" if self.failed.is_set() else "no fault"
        return (
            f"{self._done} cycles in {labs} labs, {self.amid} kills amid a change, {verdict}, "
            f"{self.seconds:.0f} s, seed {seed}"
        )


def run(number: int, seed: str, tally: Tally) -> None:
    """Run one lab until no cycle is left."""
    with (
        TemporaryDirectory(prefix="ipmp-endurance-") as directory,
        Lab(Path(directory, "lab")) as lab,
        lab.meter("peer", BOTH[0], rate=20),  # so that the peer always knows somebody
        lab.meter("peer", BOTH[1], rate=20),
    ):
        course = Course(lab, Path(directory), f"{seed}/{number}", probed=number % 2 == 1)
        while tally.take():
            try:
                course.cycle()
            except (Exception, pytest.fail.Exception):
                tally.failed.set()
                print(fault(number, course), file=sys.stderr, flush=True)
                break
            tally.done()
        tally.amid += course.amid


def fault(number: int, course: Course) -> str:
    """What is to be known of a cycle that failed."""
    return "\n".join(
        (
            f"lab {number}, cycle {course.cycles}: {'; '.join(course.done)}",
            traceback.format_exc(),
            course.describe(),
            course.host.log()[-6000:],
        )
    )


def main() -> int:
    """Run the cycles; the last line tells how many, how long, and the seed."""
    parser = argparse.ArgumentParser(prog="python -m tests.endurance")
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--seed", default=str(time.time_ns() % 1_000_000))
    parser.add_argument("--labs", type=int, default=2)
    options = parser.parse_args()
    print(f"{options.cycles} cycles in {options.labs} labs, seed {options.seed}", flush=True)
    tally = Tally(options.cycles)
    with ThreadPoolExecutor(options.labs) as pool:
        for running in [
            pool.submit(run, number, options.seed, tally) for number in range(options.labs)
        ]:
            running.result()
    print(tally.sentence(options.seed, options.labs))
    return int(tally.failed.is_set())


if __name__ == "__main__":
    sys.exit(main())
