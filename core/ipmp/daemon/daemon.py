"""The daemon: runners, operations, reload and the status, around one kernel and one journal.

Start reads and compares; a start after a clean stop without change writes nothing to the kernel. Stop and
death leave every address where it is.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path

import structlog
from msgspec import to_builtins

from ipmp import __version__
from ipmp.config import Config, ConfigError, GroupConfig, load
from ipmp.daemon import report
from ipmp.daemon.explain import explain
from ipmp.daemon.journal import Journal
from ipmp.daemon.operations import operate
from ipmp.daemon.runner import Runner
from ipmp.daemon.sysctls import SysctlKeeper
from ipmp.decision import Decision, Kind, Reason
from ipmp.history import History
from ipmp.homes import Codec, Homes, retired
from ipmp.intent import Intent, IntentStore
from ipmp.kernel.codec import declared_spec, spec_of
from ipmp.kernel.protocol import Changes, Kernel
from ipmp.model import (
    DaemonStatus,
    Family,
    HoldIntent,
    OperationRequest,
    OperationResult,
    Status,
)
from ipmp.plan import DeleteAddress
from ipmp.world import is_ipv4

LAG_SECONDS = 0.1  # how often the loop's lag is measured
SYSCTL_SECONDS = 10.0

log: structlog.stdlib.BoundLogger = structlog.get_logger("mpathd")


class Daemon:
    """Implements the runners' `Context` and the API's `Controller`."""

    codec = Codec(spec_of, declared_spec)

    def __init__(
        self, config: Config, store: IntentStore, history: History, kernel: Kernel
    ) -> None:
        self.kernel = kernel
        self.history = history
        self.journal = Journal(history, time.time)
        self.runners: dict[str, Runner] = {}
        self.intent: Intent = store.load_intent()
        self._config = config
        self._store = store
        self._homes = store.load_homes()
        self._sysctls = SysctlKeeper(self)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._duties: list[asyncio.Task[None]] = []
        self._status: Status | None = None
        self._started = time.time()
        self._generation = 1
        self._reload_ok, self._reload_time, self._reload_error = True, self._started, ""
        self._announced = {str(family): 0 for family in Family}
        self._announce_failures = {str(family): 0 for family in Family}
        self._operations = dict.fromkeys(("offline", "online"), 0)
        self._operation_failures: dict[str, dict[str, int]] = {"offline": {}, "online": {}}
        self._overruns = 0
        self._lag = 0.0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # Life ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start every group; returns when each has been looked at once."""
        clean, self.intent.clean = self.intent.clean, False
        self.save_intent()
        for config in self._config.groups.values():
            self._sysctls.prepare(config)
            self._add(config, clean)
        self._watch()
        self._duties = [
            asyncio.create_task(self._measure_lag()),
            asyncio.create_task(self._keep_sysctls()),
        ]
        self.emit([_daemon(Reason.STARTED, f"{__version__} with {self._config.path}")])
        await asyncio.gather(*(runner.looked() for runner in self.runners.values()))

    async def stop(self) -> None:
        """Stop; addresses and routes stay where they are."""
        settled = all(runner.is_settled for runner in self.runners.values())
        for task in (*self._duties, *self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._duties, *self._tasks.values(), return_exceptions=True)
        self.intent.clean = settled
        self.save_intent()
        self.emit([_daemon(Reason.STOPPED, "addresses stay where they are")])
        self.kernel.close()
        await self.history.close()
        self._store.close()

    def _add(self, config: GroupConfig, clean: bool) -> None:
        homes = self._homes.get(config.name, Homes())
        runner = Runner(self, config, homes, self.intent.inactive, clean)
        self.runners[config.name] = runner
        task = asyncio.create_task(runner.run(), name=f"group {config.name}")
        task.add_done_callback(self._runner_ended)
        self._tasks[config.name] = task

    def _runner_ended(self, task: asyncio.Task[None]) -> None:
        """A runner ends only by cancellation; anything else is a defect that ends the daemon."""
        if not task.cancelled() and not self.failed.done():
            self.failed.set_exception(task.exception() or RuntimeError(task.get_name()))

    def _watch(self) -> None:
        members = [m for c in self._config.groups.values() for m in c.members]
        self.kernel.watch(members, self._changed)

    def _changed(self, changes: Changes) -> None:
        if changes.overrun:
            self._overruns += 1
            self.emit([_daemon(Reason.NETLINK_OVERRUN, "", count=self._overruns)])
        for runner in self.runners.values():
            runner.changed(changes)

    async def _measure_lag(self) -> None:
        """The longest time that the loop stood still in the last minute or so."""
        recent = [0.0] * 600
        for turn in range(1 << 62):
            due = time.monotonic() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            recent[turn % len(recent)] = time.monotonic() - due
            if turn % 10 == 0:
                self._lag = max(recent)

    async def _keep_sysctls(self) -> None:
        while True:
            await asyncio.sleep(SYSCTL_SECONDS)
            for runner in self.runners.values():
                self._sysctls.keep(runner.config)

    # Context of the runners -----------------------------------------------------------------------

    def monotonic(self) -> float:
        """Seconds of the clock that never goes back."""
        return time.monotonic()

    def wall(self) -> float:
        """Unix time."""
        return time.time()

    def emit(self, decisions: Iterable[Decision]) -> None:
        """Log, remember and publish decisions."""
        self.journal.emit(decisions)
        self._status = None

    def offline(self, interface: str) -> bool:
        """Whether somebody asked for the interface to be offline."""
        return interface in self.intent.offline

    def announce(self, key: str, member: str) -> bool:
        """Send one announcement; counted, and logged when it could not be sent."""
        family = str(Family.IPV4 if is_ipv4(key) else Family.IPV6)
        try:
            self.kernel.announce(key, member)
        except OSError as error:
            self._announce_failures[family] += 1
            log.warning(f"cannot announce {key} from {member}: {error.strerror}")
            return False
        self._announced[family] += 1
        return True

    def appeared(self, config: GroupConfig) -> None:
        """A member has appeared with the kernel's default settings."""
        self._sysctls.keep(config)

    def homes_changed(self) -> None:
        """Write where everything is at home, before anything of it moves."""
        self._homes = {name: runner.homes for name, runner in self.runners.items()}
        self._store.save_homes(self._homes)

    def passed(self) -> None:
        """A pass is over: the status is stale, and spares may have changed."""
        self._status = None
        inactive = [m.name for r in self.runners.values() for m in r.group.members if m.inactive]
        if inactive != self.intent.inactive:
            self.intent.inactive = inactive
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
        status = self.status()
        log.info("statistics", **to_builtins(status.daemon))
        for group in status.groups:
            log.info(
                "statistics",
                group=group.name,
                state=str(group.state),
                failovers=group.failovers,
                failbacks=group.failbacks,
            )

    def exists(self, interface: str) -> bool:
        """Whether this host has such an interface."""
        return interface in self.kernel.links([interface])

    # Controller of the API ------------------------------------------------------------------------

    async def operate(
        self, operation: str, interface: str, request: OperationRequest, actor: str
    ) -> OperationResult:
        """Carry out an operation; raises Refusal, in which case nothing has changed."""
        try:
            result = await operate(self, operation, interface, request, actor)
        except Exception as error:
            decision = getattr(error, "decision", None)
            failures = self._operation_failures.setdefault(operation, {})
            code = str(decision.reason) if decision is not None else "error"
            failures[code] = failures.get(code, 0) + 1
            raise
        if result.changed:
            self._operations[operation] = self._operations.get(operation, 0) + 1
        self._status = None
        return result

    async def pause(self, request: OperationRequest, actor: str) -> None:
        """Pause remediation on this host; the daemon's own failover goes on."""
        self.intent.paused = HoldIntent(request.reason, actor, time.time())
        self.save_intent()
        why = f"({request.reason})" if request.reason else ""
        self.emit([Decision(Kind.PAUSE, Reason.OPERATOR, actor=actor, detail={"why": why})])

    async def resume(self, request: OperationRequest, actor: str) -> None:
        """Resume remediation."""
        self.intent.paused = None
        self.save_intent()
        self.emit([Decision(Kind.RESUME, Reason.OPERATOR, actor=actor)])

    def explain(self, name: str) -> list[str] | None:
        """Why a group, interface or address is as it is; None when there is none of that name."""
        return explain(self.status(), self.journal, name)

    async def reload(self, actor: str) -> int:
        """Read the configuration again, all or nothing; raises ConfigError."""
        try:
            config = load(Path(self._config.path))
            self._sysctls.check(config)
        except ConfigError as error:
            self._reload_ok, self._reload_error = False, str(error)
            facts: dict[str, str | int | float] = {"why": "; ".join(error.errors)}
            self.emit([Decision(Kind.CONFIG, Reason.RELOAD_FAILED, actor=actor, detail=facts)])
            raise
        await self._adopt_config(config)
        self._generation += 1
        self._reload_ok, self._reload_time, self._reload_error = True, time.time(), ""
        detail: dict[str, str | int | float] = {"value": config.path}
        self.emit([Decision(Kind.CONFIG, Reason.RELOADED, actor=actor, detail=detail)])
        return self._generation

    async def _adopt_config(self, config: Config) -> None:
        """Apply the difference; what did not change is not touched."""
        old, self._config = self._config, config
        for name in old.groups.keys() - config.groups.keys():
            await self._dissolve(old.groups[name])
        for name, group in config.groups.items():
            runner = self.runners.get(name)
            if runner is None:
                self._sysctls.prepare(group)
                self._add(group, clean=True)
            elif group != runner.config:
                await self._reconfigure(runner, group)
        self._watch()
        await asyncio.gather(*(runner.looked() for runner in self.runners.values()))

    async def _reconfigure(self, runner: Runner, config: GroupConfig) -> None:
        left = [m for m in runner.config.members if m not in config.members]
        self._sysctls.prepare(config)
        gone = list(retired(runner.homes, config))
        steps = [DeleteAddress(a.key, m) for a in reversed(gone) for m in config.members]
        self._let_go(left)
        runner.configure(config, gone)
        self.homes_changed()
        if steps:
            self.kernel.links(config.members)
            await self.kernel.apply(steps)
        self.emit(
            Decision(Kind.ADDRESS_RETIRED, Reason.DECLARED, a.group, address=a.key) for a in gone
        )

    async def _dissolve(self, group: GroupConfig) -> None:
        """The group is gone from the configuration: its addresses stay, what we set is put back."""
        runner, task = self.runners.pop(group.name), self._tasks.pop(group.name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        runner.drains.close()
        self._let_go(group.members)
        self.homes_changed()
        self.emit([Decision(Kind.CONFIG, Reason.DISSOLVED, group.name)])

    def _let_go(self, members: Iterable[str]) -> None:
        """These interfaces are no members any more: forget what was asked of them."""
        for member in members:
            self.intent.offline.pop(member, None)
            self.intent.holds.pop(member, None)
            self._sysctls.put_back(member)
        self.save_intent()

    def status(self) -> Status:
        """One consistent snapshot; the same object until something changes."""
        if self._status is None:
            runners = self.runners.values()
            self._status = Status(
                host=socket.gethostname(),
                time=time.time(),
                daemon=self._daemon_status(),
                groups=tuple(report.group_status(r) for r in runners),
                interfaces=tuple(
                    i for r in runners for i in report.interface_statuses(r, self.intent)
                ),
                addresses=tuple(a for r in runners for a in report.address_statuses(r)),
            )
        return self._status

    def _daemon_status(self) -> DaemonStatus:
        runners = self.runners.values()
        drift: dict[str, int] = {}
        for runner in runners:
            for kind, count in runner.books.drift.items():
                drift[kind] = drift.get(kind, 0) + count
        return DaemonStatus(
            version=__version__,
            pid=os.getpid(),
            started=self._started,
            config_file=self._config.path,
            config_generation=self._generation,
            config_last_reload_successful=self._reload_ok,
            config_last_reload_success=self._reload_time,
            config_error=self._reload_error,
            paused=self.intent.paused,
            operations=dict(self._operations),
            operation_failures={k: dict(v) for k, v in self._operation_failures.items()},
            announcements=dict(self._announced),
            announcement_failures=dict(self._announce_failures),
            reconciles=sum(runner.reconciles for runner in runners),
            drift=drift,
            netlink_overruns=self._overruns,
            loop_lag_max=round(self._lag, 6),
        )


def _daemon(reason: Reason, value: str, count: int = 0) -> Decision:
    detail: dict[str, str | int | float] = {"value": value, "count": count}
    return Decision(Kind.DAEMON, reason, detail=detail)
