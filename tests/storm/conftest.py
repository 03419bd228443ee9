"""A run directory with a short path."""

from tests.unit.conftest import run_dir

__all__ = ["run_dir"]
