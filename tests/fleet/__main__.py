"""`python -m tests.fleet [--seconds N] [--seed N]`: exit status 1 when a promise was broken."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from tests.fleet.course import Course


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fleet")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--keep", type=Path, help="a directory for logs and databases")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:g} s", flush=True)
    if options.keep:
        options.keep.mkdir()
        report = Course(options.keep, options.seed).run(options.seconds)
    else:
        with tempfile.TemporaryDirectory(prefix="ipmp-") as directory:
            report = Course(Path(directory), options.seed).run(options.seconds)
    print(report)
    return int(bool(report.breaches))


if __name__ == "__main__":
    sys.exit(main())
