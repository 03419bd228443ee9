"""`--test-payload`: what would a notification do, and why? Nothing is stored or changed.

The real judgement runs on a copy of the memory, against the daemon's state if it answers, else
against a host on which everything that the policy names works.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from ipmp.client import Client, ClientError
from ipmp.model import (
    DaemonStatus,
    GroupState,
    GroupStatus,
    InterfaceState,
    InterfaceStatus,
    LinkState,
    Status,
)
from ipmp_remediator.database import connect
from ipmp_remediator.intake import Rules
from ipmp_remediator.payload import parse
from ipmp_remediator.planner import plan
from ipmp_remediator.policy import Config, Wish, lookback
from ipmp_remediator.rails import objections
from ipmp_remediator.rails.situation import Situation
from ipmp_remediator.receiver import take_in
from ipmp_remediator.state import Memory, Outcome
from ipmp_remediator.store import read_memory


def rehearse(
    config: Config, payload: Path, run_dir: Path, state_dir: Path, now: float
) -> list[str]:
    """Return sentences; raise PayloadError, OSError or sqlite3.Error."""
    notification = parse(payload.read_bytes())
    sentences = []
    try:
        status = Client(run_dir).status()
    except ClientError as error:
        sentences.append(f"({error}; taking it that every interface of [allow] works)")
        status = _imagined(config)
    rules = Rules(config, frozenset(i.name for i in status.interfaces))
    with tempfile.TemporaryDirectory(prefix="ipmp-rehearsal-") as directory:
        db = _copy(state_dir / "remediator.sqlite", Path(directory) / "copy.sqlite")
        try:
            judged, _ = take_in(db, notification, rules, now)
            memory = read_memory(db, now - lookback(config))
        finally:
            db.close()
    for _, decisions in judged:
        sentences += [f"{d.kind} ({d.reason}): {d.sentence()}" for d in decisions]
    return sentences + _consequences(config, status, memory, now)


def _consequences(config: Config, status: Status, memory: Memory, now: float) -> list[str]:
    """What the loop would do next, and all that objects."""
    situation = Situation.of(config, status, memory, now)
    sentences = []
    for episode in memory.episodes:
        pending = episode.firing and episode.outcome is Outcome.PENDING
        if pending and episode.wish is Wish.OFFLINE:
            sentences += [
                f"refused ({d.reason}): {d.sentence()}" for d in objections(episode, situation)
            ]
    made = plan(config, status, memory, now, request_id="rehearsal")
    if made.operation is None:
        return [*sentences, "nothing would be done now"]
    run = ", but this is a dry run" if config.dry_run else ""
    would = f"{made.operation.action} {made.operation.interface} of group {made.operation.group}"
    return [*sentences, f"the next step would be: {would}{run}"]


def _copy(source: Path, target: Path) -> sqlite3.Connection:
    """Open a copy of the memory, or an empty one when there is none."""
    if source.exists():
        with (
            sqlite3.connect(f"file:{source}?mode=ro", uri=True) as old,
            sqlite3.connect(target) as new,
        ):
            old.backup(new)
    return connect(target)


def _imagined(config: Config) -> Status:
    groups: dict[str, list[str]] = {}
    for group, interface in sorted(config.allow):
        groups.setdefault(group, []).append(interface)
    return Status(
        host="",
        time=0.0,
        daemon=DaemonStatus("", 0, 0.0, ""),
        groups=tuple(
            GroupStatus(name, GroupState.OK, tuple(members), len(members), 1, True)
            for name, members in groups.items()
        ),
        interfaces=tuple(
            InterfaceStatus(name, group, InterfaceState.OK, LinkState.UP)
            for group, members in groups.items()
            for name in members
        ),
        addresses=(),
    )
