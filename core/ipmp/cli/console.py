"""What every command line tool does alike at its rim: how it ends, and what it may write where."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

INTERRUPTED = 130  # what shells report for a program that SIGINT ended
DEFAULT_WIDTH, DEFAULT_HEIGHT = 80, 24


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


def size() -> tuple[int, int]:
    """Return columns and rows of the terminal that standard output is, 80 and 24 when it is none.

    A serial line often does not know its size and says 0.
    """
    try:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        columns = rows = 0
    return columns or DEFAULT_WIDTH, rows or DEFAULT_HEIGHT


def height() -> int:
    """Return the rows of the terminal."""
    return size()[1]


def is_screen() -> bool:
    """Whether standard output is a terminal on which one can write anywhere."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def has_colour() -> bool:
    """Whether colours are wanted: by a terminal, and by the user (https://no-color.org)."""
    return is_screen() and not os.environ.get("NO_COLOR")
