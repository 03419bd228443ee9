"""`python -m tests.budget [--seconds N] [--seed N]`: exit status 1 when a promise was broken."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

from tests.budget.course import SLOTS, Course


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.budget")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:g} s", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        course = Course(Path(directory), options.seed)
        report = asyncio.run(course.run(options.seconds))
    print(report)
    return int(report.most > SLOTS or bool(report.stuck))


sys.exit(main())
