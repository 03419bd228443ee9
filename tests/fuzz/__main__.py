"""`python -m tests.fuzz [--inputs N] [--seed N]`: half for the payload, half for the policy.

Hypothesis makes inputs slowly; so it makes one in fifty, and cheap mutations of that make the rest.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tests.fuzz import targets
from tests.fuzz.inputs import payloads, policies

MUTATIONS = 49


def main() -> None:
    """Fuzz, and print how many inputs were accepted; an uncaught error ends it with its input."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description="fuzz payload and policy")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ipmp-fuzz-") as name:
        policy = targets.policy(Path(name) / "remediator.toml")
        _fuzz("payload", payloads(), targets.payload, options)
        _fuzz("policy", policies(), policy, options)


def _fuzz(
    name: str,
    inputs: st.SearchStrategy[bytes],
    target: Callable[[bytes], bool],
    options: argparse.Namespace,
) -> None:
    began, tried, accepted = time.monotonic(), 0, 0
    dice = random.Random(options.seed)

    @seeded(options.seed)
    @settings(
        max_examples=options.inputs // 2 // (MUTATIONS + 1),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def run(data: bytes) -> None:
        nonlocal tried, accepted
        for mutated in _mutations(data, dice):
            tried += 1
            try:
                accepted += target(mutated)
            except Exception:
                print(f"{name}: {mutated!r}")
                raise

    run()
    seconds = time.monotonic() - began
    print(f"{name}: {tried} inputs, {accepted} accepted, no uncaught error, {seconds:.0f} s")


def _mutations(data: bytes, dice: random.Random) -> Iterator[bytes]:
    """The input, and what a few changed, doubled or missing bytes make of it."""
    yield data
    for _ in range(MUTATIONS):
        changed = bytearray(data)
        for _ in range(dice.randint(1, 4)):
            at = dice.randint(0, len(changed))
            kind = dice.randrange(4)
            if kind == 0 and at < len(changed):
                changed[at] = dice.randrange(256)
            elif kind == 1:
                changed[at:at] = changed[dice.randint(0, len(changed)) :][: dice.randint(1, 40)]
            elif kind == 2:
                del changed[at : at + dice.randint(1, 8)]
            else:
                changed[at:at] = dice.choice((b'"', b"{", b"[", b"\\", b"\n", b"=", b"}", b"]"))
        yield bytes(changed)


main()
