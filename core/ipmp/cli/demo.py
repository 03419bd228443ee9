"""`ipmp demo`: the story of the README, with real packets, Prometheus and Alertmanager."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from typing import TYPE_CHECKING

from ipmp.lab import LabError
from ipmp.lab.monitoring import MonitoringError
from ipmp.lab.scratch import scratch
from ipmp.lab.stage import Stage, StageError
from ipmp.lab.story import Failed, Story

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

BOLD, GREEN, RED, PLAIN = "\033[1m", "\033[32m", "\033[31m", "\033[0m"


def add_parser(subparsers: Subparsers) -> None:
    """Add `demo`; its `func` returns the exit status."""
    parser = subparsers.add_parser(
        "demo", help="play the story on a network of namespaces", description=__doc__
    )
    parser.add_argument("--once", action="store_true", help="play it and exit, also on a terminal")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """0 when every scene did what it should; 1, with the reason, when one did not."""
    began = time.monotonic()
    try:
        with scratch("ipmp-demo-") as directory, Stage(directory) as stage:
            _play(Story(stage, _say), stage, began)
            if sys.stdout.isatty() and not options.once:
                _say("\nIt goes on until you press ^C.")
                threading.Event().wait()
    except Failed as failed:
        _say(f"{_coloured(RED)}FAILED: {failed}{_coloured(PLAIN)}")
    except (LabError, StageError, MonitoringError) as error:
        print(f"ipmp demo: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        _say("")
        return 0
    else:
        return 0
    return 1


def _play(story: Story, stage: Stage, began: float) -> None:
    if not stage.monitored:
        _say(
            "Prometheus or Alertmanager is missing (neither on the PATH nor under .tools/): "
            "the scene of the alert is left out."
        )
    for letter, (title, play) in zip("abcdef", story.scenes(), strict=False):
        _say(f"\n{_coloured(BOLD)}({letter}) {title}{_coloured(PLAIN)}")
        play()
        _say(f"    {_coloured(GREEN)}ok{_coloured(PLAIN)}")
    _say(f"\n{_coloured(BOLD)}(g) Where to look while it runs{_coloured(PLAIN)}")
    for line in story.where_to_look():
        _say(f"    {line}")
    _say(f"\nEverything did what it should, in {time.monotonic() - began:.0f} seconds.")


def _say(line: str) -> None:
    print(line, flush=True)


def _coloured(code: str) -> str:
    return code if sys.stdout.isatty() else ""
