"""Programs that tests run: the same search as the demo's."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipmp.lab.tools import find

__all__ = ["find", "need"]


def need(name: str) -> Path:
    """Return the program `name`, or skip the test (which fails it in CI, see conftest.py)."""
    path = find(name)
    if path is None:
        pytest.skip(f"{name} is neither on the PATH nor under .tools/bin; `make setup` fetches it")
    return path
