"""`python -m tests.bench [NAME ...]`: without a name all but those that take long."""

from __future__ import annotations

import sys

from tests.bench import bulk, busy, cost, failover, fleet, probing, receiver, scrape, silent

ALL = {
    "cost": cost.main,
    "failover": failover.main,
    "silent": silent.main,
    "probing": probing.main,
    "bulk": bulk.main,
    "receiver": receiver.main,
    "scrape": scrape.main,
}
LONG = {"busy": busy.main, "fleet": fleet.main}  # only when named


def main() -> int:
    """Run the named benchmarks."""
    names = sys.argv[1:] or list(ALL)
    known = ALL | LONG
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"there is no benchmark {unknown[0]}; there are: {', '.join(known)}", file=sys.stderr)
        return 1
    for name in names:
        known[name]()
    return 0


sys.exit(main())
