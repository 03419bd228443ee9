"""Golden files: what is printed, kept beside the tests and held to the letter."""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"


def check(name: str, text: str) -> None:
    """Compare with tests/golden/`name`.

    UPDATE_GOLDEN=1 writes the file anew; the difference is then for people to judge.
    """
    file = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()
