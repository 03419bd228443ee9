"""The daemon: runners, operations, reload and the status, around one kernel and one journal.

Start reads and compares; a start after a clean stop without change writes nothing to the kernel.
Stop and death leave every address where it is.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import structlog

from ipmp import __version__
from ipmp.config import Config, ConfigError, GroupConfig, load
from ipmp.daemon import report
from ipmp.daemon.clock import SYSTEM, Clock
from ipmp.daemon.counts import Counts
from ipmp.daemon.explain import explain
from ipmp.daemon.followers import Followers
from ipmp.daemon.forget import forget
from ipmp.daemon.groups import Groups
from ipmp.daemon.heartbeat import Heartbeat
from ipmp.daemon.journal import Journal
from ipmp.daemon.operations import operate
from ipmp.daemon.pausing import Pausing
from ipmp.daemon.recall import Recall
from ipmp.daemon.runner import Runner
from ipmp.daemon.statistics import statistics
from ipmp.daemon.sysctls import SysctlKeeper, check
from ipmp.decision import Decision, Kind, Reason
from ipmp.history import History
from ipmp.homes import Codec
from ipmp.intent import Intent, IntentStore
from ipmp.kernel.codec import declared_spec, spec_of
from ipmp.kernel.multipath import gathered
from ipmp.kernel.protocol import Kernel
from ipmp.model import (
    DaemonStatus,
    Event,
    Family,
    OperationRequest,
    OperationResult,
    ProbeReport,
    Status,
)
from ipmp.world import is_ipv4

SYSCTL_SECONDS = 10.0
STATUS_SECONDS = 1.0  # what is counted, such as probes, is no older than this

log: structlog.stdlib.BoundLogger = structlog.get_logger("mpathd")


class Daemon:
    """Implements the runners' `Context` and the API's `Controller`."""

    codec = Codec(spec_of, declared_spec, gathered)

    def __init__(
        self,
        config: Config,
        store: IntentStore,
        history: History,
        kernel: Kernel,
        clock: Clock = SYSTEM,
    ) -> None:
        self.kernel = kernel
        self.history = history
        self.monotonic, self.wall = clock.monotonic, clock.wall
        self.journal = Journal(history, clock.wall)
        self.intent: Intent = store.load_intent()
        self._pausing = Pausing(self)
        self._config = config
        self._store = store
        self._sysctls = SysctlKeeper(self)
        self._groups = Groups(self, store, self._sysctls)
        self._duties: list[asyncio.Task[None]] = []
        self._probe_followers = Followers[ProbeReport]()
        self._status: Status | None = None
        self._started = self.wall()
        self._generation = 1
        self._reloading = asyncio.Lock()
        self._reload_ok, self._reload_time, self._reload_error = True, self._started, ""
        self._counts = Counts()
        self._heartbeat = Heartbeat(self.monotonic, self._beat)
        self._clean_start = self.intent.clean

    # Life ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start every group; returns when each has been looked at once."""
        self._clean_start, self.intent.clean = self.intent.clean, False
        self.save_intent()
        await self._groups.start(self._config, clean=self._clean_start)
        self._duties = [
            asyncio.create_task(self._heartbeat.run()),
            asyncio.create_task(self._keep_sysctls()),
        ]
        for duty in self._duties:
            duty.add_done_callback(self._groups.ended)
        self.emit([_daemon(Reason.STARTED, f"{__version__} with {self._config.path}")])

    async def stop(self) -> None:
        """Stop; addresses and routes stay where they are."""
        for task in self._duties:
            task.cancel()
        await asyncio.gather(*self._duties, return_exceptions=True)
        self.intent.clean = await self._groups.stop()
        self.save_intent()
        self.emit([_daemon(Reason.STOPPED, "(addresses stay where they are)")])
        self.kernel.close()
        await self.history.close()
        self._store.close()

    @property
    def runners(self) -> Mapping[str, Runner]:
        """The groups by name."""
        return self._groups.runners

    @property
    def failed(self) -> asyncio.Future[None]:
        """Done when a defect has ended a runner or a duty, with its exception."""
        return self._groups.failed

    def stuck(self, seconds: float) -> list[str]:
        """What has not got on for so many seconds, in words: then only a restart helps."""
        return self._groups.stuck(seconds)

    def summary(self) -> str:
        """One line for the service manager."""
        refused = "" if self._reload_ok else "; the last configuration was not accepted"
        return self._groups.summary() + refused

    def _beat(self) -> None:
        self._pausing.expire()
        for runner in self.runners.values():
            runner.poll_carrier()

    async def _keep_sysctls(self) -> None:
        while True:
            await asyncio.sleep(SYSCTL_SECONDS)
            for runner in self.runners.values():
                self._sysctls.keep(runner.config)

    # Context of the runners -----------------------------------------------------------------------

    def emit(self, decisions: Iterable[Decision]) -> None:
        """Log, remember and publish decisions."""
        self.journal.emit(decisions)
        self._status = None

    def offline(self, interface: str) -> bool:
        """Whether somebody asked for the interface to be offline."""
        return interface in self.intent.offline

    def announce(self, key: str, member: str) -> bool:
        """Send one announcement; False when it could not be sent and should be tried again."""
        family = Family.IPV4 if is_ipv4(key) else Family.IPV6
        try:
            self.kernel.announce(key, member)
        except OSError as error:
            self._counts.announce_failures[family] += 1
            log.warning(f"cannot announce {key} from {member}: {error.strerror}")
            return error.errno == errno.EOPNOTSUPP
        self._counts.announced[family] += 1
        return True

    def probed(self, reports: Iterable[ProbeReport]) -> None:
        """Probes were answered or lost; nobody is told one by one but who asked for it."""
        if self._probe_followers:
            for report in reports:
                self._probe_followers.tell(report)

    def appeared(self, config: GroupConfig) -> None:
        """A member has appeared with the kernel's default settings."""
        self._sysctls.keep(config)

    def overrun(self) -> None:
        """The kernel had to drop netlink events; every group reads its state anew."""
        self._counts.overruns += 1
        self.emit([_daemon(Reason.NETLINK_OVERRUN, "", count=self._counts.overruns)])

    def homes_changed(self) -> None:
        """Write where everything is at home, before anything of it moves."""
        self._groups.save_homes()

    def passed(self) -> None:
        """A pass is over: the status is stale, and spares may have changed."""
        self._status = None
        members = [m for runner in self.runners.values() for m in runner.members.group.members]
        inactive = [m.name for m in members if m.inactive]
        failed = [m.name for m in members if m.lost_probes]
        if (inactive, failed) != (self.intent.inactive, self.intent.failed):
            self.intent.inactive, self.intent.failed = inactive, failed
            self.save_intent()

    # Desk of the operations -----------------------------------------------------------------------

    def save_intent(self) -> None:
        """Write the intent, durably."""
        self._store.save_intent(self.intent)
        self._status = None

    def journal_emit(self, decision: Decision) -> None:
        """Log and publish one decision."""
        self.emit([decision])

    def log_statistics(self) -> None:
        """SIGUSR1: what has been counted so far, in the log."""
        for sentence in statistics(self.status()):
            log.info(sentence)

    def exists(self, interface: str) -> bool:
        """Whether this host has such an interface."""
        return interface in self.kernel.links([interface])

    # Controller of the API ------------------------------------------------------------------------

    async def operate(
        self, operation: str, interface: str, request: OperationRequest, actor: str
    ) -> OperationResult:
        """Carry out an operation on an interface, or `forget` an address; raises Refusal.

        After a refusal nothing has changed.
        """
        self._status = None
        try:
            with self._counts.operation(operation, self.monotonic):
                if operation == "forget":
                    return await forget(self, interface, request, actor)
                return await operate(self, operation, interface, request, actor)
        finally:
            self._status = None

    async def pause(self, request: OperationRequest, actor: str) -> None:
        """Pause remediation on this host; the daemon's own failover goes on."""
        self._pausing.pause(request, actor)

    async def resume(self, request: OperationRequest, actor: str) -> None:
        """Resume remediation."""
        self._pausing.resume(actor)

    def events_after(self, id: int) -> list[Event]:
        """Events after number `id`, of those still in memory."""
        return self.journal.after(id)

    def subscribe(self) -> AbstractContextManager[asyncio.Queue[Event]]:
        """A bounded queue of all events from now on."""
        return self.journal.follow()

    def probes(self) -> AbstractContextManager[asyncio.Queue[ProbeReport]]:
        """A bounded queue of all probes that are answered or lost from now on."""
        return self._probe_followers.follow()

    async def explain(self, name: str) -> list[str] | None:
        """Why a group, interface or address is as it is; None when there is none of that name."""
        return await explain(self.status(), Recall(self.journal), name)

    async def reload(self, actor: str) -> int:
        """Read the configuration again, all or nothing; raises ConfigError."""
        async with self._reloading:  # one after the other: the newest file is in force at the end
            return await self._reload(actor)

    async def _reload(self, actor: str) -> int:
        self._counts.reloads += 1
        try:
            config = await asyncio.to_thread(load, Path(self._config.path))
            check(config)
        except ConfigError as error:
            self._counts.reload_failures += 1
            self._reload_ok, self._reload_error = False, str(error)
            facts: dict[str, str | int | float] = {"why": "; ".join(error.errors)}
            self.emit([Decision(Kind.CONFIG, Reason.RELOAD_FAILED, actor=actor, detail=facts)])
            raise
        for warning in config.warnings:
            log.warning(warning)
        self._config = config
        await self._groups.change(config)
        self._generation += 1
        self._reload_ok, self._reload_time, self._reload_error = True, self.wall(), ""
        detail: dict[str, str | int | float] = {"value": config.path}
        self.emit([Decision(Kind.CONFIG, Reason.RELOADED, actor=actor, detail=detail)])
        return self._generation

    def status(self) -> Status:
        """One consistent snapshot; the same object until something changes, or for a second."""
        if self._status is None or self.wall() - self._status.time > STATUS_SECONDS:
            runners = self.runners.values()
            self._status = Status(
                host=socket.gethostname(),
                time=self.wall(),
                daemon=report.daemon_status(self._about(), self._counts, runners),
                groups=tuple(report.group_status(r) for r in runners),
                interfaces=tuple(
                    i for r in runners for i in report.interface_statuses(r, self.intent)
                ),
                addresses=tuple(a for r in runners for a in r.addresses),
            )
        return self._status

    def _about(self) -> DaemonStatus:
        return DaemonStatus(
            version=__version__,
            pid=os.getpid(),
            started=self._started,
            config_file=self._config.path,
            clean_start=self._clean_start,
            config_generation=self._generation,
            config_last_reload_successful=self._reload_ok,
            config_last_reload_success=self._reload_time,
            config_error=self._reload_error,
            paused=self.intent.paused,
            loop_lag_max=round(self._heartbeat.lag, 6),
            history_on_disk=self.history.on_disk,
            history_pending=self.history.pending,
        )


def _daemon(reason: Reason, value: str, count: int = 0) -> Decision:
    detail: dict[str, str | int | float] = {"value": value, "count": count}
    return Decision(Kind.DAEMON, reason, detail=detail)
