"""The command `ipmp_remediator`: the remediator of a host, or with `route` the dispatcher."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the one that is asked for; return the exit status."""
    if sys.argv[1:2] == ["route"]:
        from ipmp_remediator.route.main import main as route

        return route(sys.argv[2:])
    from ipmp_remediator.main import main as remediator

    return remediator()


if __name__ == "__main__":
    sys.exit(main())
