"""`python -m tests.bench [bulk] [failover] [probing] [cost]`: all of them without a name."""

from __future__ import annotations

import sys

from tests.bench import bulk, cost, failover, probing

ALL = {"cost": cost.main, "failover": failover.main, "probing": probing.main, "bulk": bulk.main}


def main() -> int:
    """Run the named benchmarks."""
    names = sys.argv[1:] or list(ALL)
    unknown = [name for name in names if name not in ALL]
    if unknown:
        print(f"there is no benchmark {unknown[0]}; there are: {', '.join(ALL)}", file=sys.stderr)
        return 1
    for name in names:
        ALL[name]()
    return 0


sys.exit(main())
