"""`ipmp watch`: groups and what happens to them, live.

On a terminal it is a screen that is drawn anew where something has changed. Where standard output
is none (or TERM says that it cannot be one), it is the status once and then a line for each event,
so that it can be piped, kept in a file, or read on a line printer.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from ipmp.cli import status
from ipmp.cli.cells import painted
from ipmp.cli.console import has_colour, is_screen
from ipmp.cli.feed import Feed, Lost, News
from ipmp.cli.panel import View, noted, render
from ipmp.cli.past import dated, told
from ipmp.cli.terminal import Ended, Terminal
from ipmp.client import Client
from ipmp.model import Event, Status

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

REST_SECONDS = 0.05  # between two drawings
KILLED = 128  # what shells add to the number of the signal that ended a program


def add_parser(subparsers: Subparsers) -> None:
    """Add `watch`."""
    parser = subparsers.add_parser(
        "watch",
        help="groups and what happens to them, live",
        description="On a terminal: a screen that follows the daemon, also over its restarts; q or "
        "^C ends. Else: the status, and then a line for each event.",
    )
    parser.add_argument("group", nargs="?", help="only this group")
    parser.set_defaults(func=_watch)


def _watch(options: argparse.Namespace) -> int:
    feed = Feed(Client(options.run_dir))
    now, events = feed.begin()
    if options.group is not None and now.group(options.group) is None:
        names = ", ".join(group.name for group in now.groups) or "none"
        print(
            f"ipmp: there is no group {options.group} on this host; groups: {names}",
            file=sys.stderr,
        )
        return 1
    if not is_screen():
        return _print(feed, now, options.group)
    try:
        return _draw(feed, noted(View(now, only=options.group), events))
    except Ended as signal:
        return KILLED + signal.number


def _draw(feed: Feed, view: View) -> int:
    """Until the operator has seen enough."""
    colour = has_colour()
    with Terminal() as terminal:
        feed.start(terminal.wake)
        while True:
            columns, rows = terminal.size()
            lines = render(view, columns - 1, rows)  # in the last column a terminal may wrap
            terminal.show([painted(line, colour=colour) for line in lines])
            if not terminal.wait():
                return 0
            time.sleep(REST_SECONDS)  # what comes at once is drawn at once
            view = _folded(view, feed.all())


def _folded(view: View, news: list[News]) -> View:
    for item in news:
        if isinstance(item, Status):
            view = view._replace(status=item, lost=None)
        elif isinstance(item, Lost):
            view = view._replace(lost=item)
    return noted(view, [item for item in news if isinstance(item, Event)])


def _print(feed: Feed, now: Status, only: str | None) -> int:
    """Until killed."""
    for line in status.lines(now, only):
        print(line, flush=True)
    feed.start()
    lost = False
    while True:
        item = feed.next()
        if isinstance(item, Event):
            if only is None or item.decision.group in ("", only):
                print(told(item), flush=True)
        elif isinstance(item, Lost):
            lost = True
            print(dated(time.time(), item.sentence), flush=True)
        elif lost:
            lost = False
            print(dated(item.time, "mpathd answers again"), flush=True)
