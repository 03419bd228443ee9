"""Every scenario of linux-peers 5.3 has a test named for its number (test_07_..., test_15_16_...).

Drains, failures, damping, announcements, routes, restarts, and life with other programs.
"""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ELSEWHERE = {
    53: "tests/unit/exporter and tests/integration: metrics against what the daemon says",
    54: "tests/unit/remediator: storms of alerts",
}
NUMBERS = frozenset(range(1, 59)) - ELSEWHERE.keys()


def numbers() -> set[int]:
    """The numbers in the names of tests that play in namespaces."""
    found: set[int] = set()
    for file in TESTS.joinpath("scenarios").glob("test_*.py"):
        for name in re.findall(r"^def test((?:_\d\d)+)_[a-z]", file.read_text(), re.MULTILINE):
            found |= set(map(int, name.split("_")[1:]))
    return found


def test_every_scenario_has_a_test_named_for_it() -> None:
    assert NUMBERS - numbers() == set()


def test_no_test_is_named_for_a_scenario_that_does_not_exist() -> None:
    assert numbers() - NUMBERS == set()
