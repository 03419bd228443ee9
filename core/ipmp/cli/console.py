"""What every command line tool does alike at its rim: end quietly on ^C and on a closed pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

INTERRUPTED = 130  # what shells report for a program that SIGINT ended
DEFAULT_HEIGHT = 24


def run(body: Callable[[], int]) -> int:
    """Run the body of a tool and return its exit status; never let a traceback through for these.

    A reader that has gone (`ipmpstat | head -1`) is no failure: the rest of the output is unwanted.
    """
    try:
        status = body()
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def height() -> int:
    """Return the rows of the terminal that standard output is, 24 when it is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).lines or DEFAULT_HEIGHT
    except (OSError, ValueError):
        return DEFAULT_HEIGHT
