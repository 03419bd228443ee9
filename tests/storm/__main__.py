"""`python -m tests.storm [--posts N] [--seed N]`: a long storm, half of it with kills."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from tests.storm.storm import Storm


def main() -> None:
    """Play it and print what it has shown."""
    parser = argparse.ArgumentParser(prog="tests.storm", description="kill it amid notifications")
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ipmp-storm-") as name:
        directory = Path(name)
        storm = Storm(directory, directory, options.seed)
        asyncio.run(_play(storm, options.posts))
    result = storm.result
    answers = ", ".join(f"{count} x {code}" for code, count in sorted(result.answers.items()))
    print(f"{result.posts} posts in {time.monotonic() - began:.0f} s: {answers}")
    print(f"{result.kills} kills, {result.unanswered} requests without an answer, sent again")
    print(f"{result.effects} effects, exactly those of the model")
    first, last = result.resident[0], result.resident[-1]
    print(f"resident without kills: {first} KiB after the first round, {last} KiB after the last")


async def _play(storm: Storm, posts: int) -> None:
    await storm.play(posts // 2, kill_every=80)
    await storm.calm(posts - storm.result.posts)


main()
