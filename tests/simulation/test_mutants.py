"""The simulator finds what it is there for: each planted bug, by the invariant that it breaks."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS, hunt
from tests.simulation.soak import live

TRIES = 100  # seeds from the kept one on: another order of draws may put the discovery off


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    mutant = MUTANTS[name]
    found = hunt(mutant, range(mutant.seed, mutant.seed + TRIES))
    assert found is not None, f"invariant {mutant.breaks} tells nothing of it"
    right = live(found.seed)
    assert not right.report, right.report


def test_no_invariant_is_without_a_planted_bug() -> None:
    assert {mutant.breaks for mutant in MUTANTS.values()} == set(range(1, 9))
