"""Drives the probe engine of one group: its timer, its sockets, and what it tells the others.

The engine is sans-IO (`ipmp.probing`). Whenever it runs, every reply that waits is handed in first,
so that a late wake-up of this process is no loss of anybody's.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Mapping
from random import SystemRandom

import structlog
from msgspec.structs import replace

from ipmp.config import GroupConfig
from ipmp.daemon.context import Context
from ipmp.daemon.members import Members
from ipmp.model import Family, ProbedTarget, ProbeReport, ProbeState, ProbeStatus
from ipmp.probing import Engine, Outcome, Standing, TargetRow, arrange, inquire
from ipmp.probing.values import PathKey, Rejection
from ipmp.world import Snapshot

log: structlog.stdlib.BoundLogger = structlog.get_logger("mpathd")


class Prober:
    """The probes of one group; `changed` is called when a member's standing has changed."""

    def __init__(
        self,
        context: Context,
        config: GroupConfig,
        failed: Collection[str],
        changed: Callable[[], None],
    ) -> None:
        self.engine = Engine(config.name, SystemRandom(), failed)
        self._context = context
        self._changed = changed
        self._sockets = context.kernel.probe_sockets(self._run)
        self._timer: asyncio.TimerHandle | None = None
        self._refused: set[str] = set()
        self._before = {m: Standing(ProbeState.FAILED, 0.0) for m in failed}
        self._arranged = False

    @property
    def standings(self) -> Mapping[str, Standing]:
        """What the probes say; before there are any, what the last daemon knew of them."""
        return self.engine.standings if self._arranged else self._before

    def close(self) -> None:
        """Stop probing."""
        if self._timer is not None:
            self._timer.cancel()
        self._sockets.close()

    async def arrange(self, config: GroupConfig, snapshot: Snapshot, members: Members) -> None:
        """Go on with what the configuration and the kernel say now."""
        inquiry = inquire(config, snapshot)
        nearby = await self._context.kernel.nearby(snapshot.links, inquiry)
        setup = arrange(config, snapshot, nearby, members.offline)
        before, self._arranged = self._verdicts(), True
        self.engine.group_failed = members.targets_dead
        self.engine.configure(setup, self._context.monotonic())
        if self._verdicts() != before:
            self._changed()
        refused = {
            f"cannot probe over {path.member} ({path.family}): {error.strerror or error}"
            for path, error in self._sockets.sync(setup.paths)
        }
        for sentence in refused - self._refused:
            log.warning(sentence)
        self._refused = refused
        self._run()

    def _verdicts(self) -> dict[str, ProbeState]:
        return {member: s.verdict for member, s in self.standings.items()}

    def statuses(self, member: str) -> tuple[ProbeStatus, ...]:
        """The probes of one member for the status, by family."""
        return tuple(self._status(row) for row in self.engine.target_rows if row.member == member)

    def past(self, member: str) -> tuple[ProbeStatus, ...]:
        """What was counted in families in which the member is not probed at present."""
        probed = {(row.member, row.family) for row in self.engine.target_rows}
        return tuple(
            self._counted(key, mode="")
            for key in self.engine.counters
            if key[0] == member and key not in probed
        )

    def _status(self, row: TargetRow) -> ProbeStatus:
        return replace(
            self._counted((row.member, row.family), str(row.mode)),
            test_address=row.source,
            targets=tuple(self._target(row.member, row.family, t) for t in row.targets),
        )

    def _counted(self, key: PathKey, mode: str) -> ProbeStatus:
        counters = self.engine.counters[key]
        return ProbeStatus(
            family=key[1],
            mode=mode,
            sent=counters.sent,
            acked=counters.acked,
            rtt_total=round(counters.rtt_sum, 6),
            lost=counters.lost,
            late=counters.late,
            void=counters.void,
            missed=counters.missed,
            rejected={str(reason): counters.rejected.get(reason, 0) for reason in Rejection},
        )

    def _target(self, member: str, family: Family, address: str) -> ProbedTarget:
        return ProbedTarget(address, *self.engine.round_trip((member, family), address))

    def _run(self) -> None:
        """Take in replies, send what is due, and sleep until the engine wants to run again."""
        now = self._context.monotonic()
        turn = self.engine.advance(now, self._sockets.read())
        for probe in turn.probes:
            if self._sockets.send(probe) is not None:
                self.engine.unsent(probe)
        self._sockets.listen(self.engine.silent)
        self._context.probed(self._report(outcome, now) for outcome in turn.outcomes)
        if turn.decisions:
            self._context.emit(turn.decisions)
        if turn.changed:
            self._changed()
        self._sleep()

    def _sleep(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not math.isinf(self.engine.deadline):
            loop = asyncio.get_running_loop()
            delay = max(0.0, self.engine.deadline - self._context.monotonic())
            self._timer = loop.call_later(delay, self._run)

    def _report(self, outcome: Outcome, now: float) -> ProbeReport:
        return ProbeReport(
            time=self._context.wall() - (now - outcome.started),
            interface=outcome.member,
            family=outcome.family,
            probe=outcome.sequence,
            target=outcome.target,
            lost=outcome.lost,
            net_rtt=outcome.net_rtt,
            rtt=outcome.rtt,
            average=outcome.average,
            deviation=outcome.deviation,
        )
