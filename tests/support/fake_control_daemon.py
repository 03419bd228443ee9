"""A daemon for the remediator's tests: the control API of docs/api.md on a real Unix socket.

It keeps the rules that matter to a caller: the last usable members are never taken, holds are
respected, an operator's own offline is not undone by automation, and the same request_id is one
operation, also while the first request is still being worked on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
from aiohttp import web

from ipmp.model import (
    DaemonStatus,
    GroupState,
    GroupStatus,
    HoldIntent,
    InterfaceState,
    InterfaceStatus,
    LinkState,
    OfflineIntent,
    OperationRequest,
    OperationResult,
    Problem,
    ProblemCode,
    Status,
)

_STATUS = {
    ProblemCode.UNKNOWN_INTERFACE: 404,
    ProblemCode.BUSY: 503,
    ProblemCode.INVALID: 422,
}
AUTOMATION = "remediator"
MAX_REASON = 500


class Gate:
    """A place where a handler waits while the gate is shut; `reached` says that one does."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def pass_through(self) -> None:
        if not self._open.is_set():
            self.reached.set()
            await self._open.wait()


class FakeDaemon:
    """Groups of interfaces that can be taken offline; `effects` lists what was really done."""

    def __init__(self, run_dir: Path, groups: dict[str, tuple[str, ...]], min_usable: int = 1):
        self.socket = run_dir / "control.sock"
        self.groups = groups
        self.min_usable = min_usable
        self.offline: dict[str, OfflineIntent] = {}
        self.holds: dict[str, HoldIntent] = {}
        self.paused: HoldIntent | None = None
        self.effects: list[tuple[str, str]] = []
        self.requests: list[tuple[str, str, OperationRequest]] = []
        self.busy = 0  # so many operations are answered with `busy`
        self.fragile = False  # every group with an offline interface fails
        self.before_effect = Gate()
        self.after_effect = Gate()
        self._answers: dict[str, asyncio.Task[web.Response]] = {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/v1/status", self._get_status)
        app.router.add_post("/v1/interfaces/{name}/{operation}", self._post_operation)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.socket)).start()

    async def stop(self) -> None:
        self.before_effect.open()
        self.after_effect.open()
        if self._runner:
            await self._runner.cleanup()
            self._runner = None
        self.socket.unlink(missing_ok=True)

    def forget_answers(self) -> None:
        """Behave as after a restart, or after an hour: the remembered answers are gone."""
        self._answers.clear()

    def operator_offline(self, name: str) -> None:
        self.offline[name] = OfflineIntent("swap a cable", "root (uid 0) via if_mpadm", time.time())

    def operator_online(self, name: str) -> None:
        del self.offline[name]

    def status(self) -> Status:
        return Status(
            host="testhost",
            time=time.time(),
            daemon=DaemonStatus("0", 1, 0.0, "ipmp.toml", paused=self.paused),
            groups=tuple(
                GroupStatus(
                    name=name,
                    state=self._state(members),
                    interfaces=members,
                    usable=len(self._usable(members)),
                    min_usable=self.min_usable,
                    failback=True,
                )
                for name, members in self.groups.items()
            ),
            interfaces=tuple(
                InterfaceStatus(
                    name=name,
                    group=group,
                    state=InterfaceState.OFFLINE if name in self.offline else InterfaceState.OK,
                    link=LinkState.UP,
                    offline=self.offline.get(name),
                    hold=self.holds.get(name),
                )
                for group, members in self.groups.items()
                for name in members
            ),
            addresses=(),
        )

    async def _get_status(self, _request: web.Request) -> web.Response:
        return _json(200, self.status())

    async def _post_operation(self, request: web.Request) -> web.Response:
        message = msgspec.json.decode(await request.read(), type=OperationRequest)
        name, operation = request.match_info["name"], request.match_info["operation"]
        self.requests.append((operation, name, message))
        if len(message.reason) > MAX_REASON or not message.reason.isprintable():
            problem = Problem(ProblemCode.INVALID, "reason must be one short line", 422)
            return _json(422, problem, "problem+json")
        if not message.request_id:
            return await self._operate(operation, name, message)
        task = self._answers.get(message.request_id)
        if task is None:
            task = asyncio.create_task(self._operate(operation, name, message))
            self._answers[message.request_id] = task
        answer = await asyncio.shield(task)
        if answer.status == _STATUS[ProblemCode.BUSY]:  # to be asked again, so not kept
            self._answers.pop(message.request_id, None)
        return web.Response(
            status=answer.status, body=answer.body, content_type=answer.content_type
        )

    async def _operate(self, operation: str, name: str, message: OperationRequest) -> web.Response:
        await self.before_effect.pass_through()
        code = self._refusal(operation, name, message.actor.startswith(AUTOMATION))
        if code:
            status = _STATUS.get(code, 409)
            return _json(status, Problem(code, f"refused: {code}", status), "problem+json")
        if not message.dry_run:
            self.effects.append((operation, name))
            if operation == "offline":
                self.offline[name] = OfflineIntent(
                    message.reason, f"{message.actor} (uid 1)", time.time(), message.request_id
                )
            else:
                del self.offline[name]
        await self.after_effect.pass_through()
        result = OperationResult(
            interface=name,
            operation=operation,
            changed=not message.dry_run,
            dry_run=message.dry_run,
            verified=not message.dry_run,
            sentence=f"{name} was taken {operation}",
        )
        return _json(200, result)

    def _refusal(self, operation: str, name: str, automatic: bool) -> ProblemCode | None:
        if self.busy:
            self.busy -= 1
            return ProblemCode.BUSY
        members = next((m for m in self.groups.values() if name in m), None)
        if members is None:
            return ProblemCode.UNKNOWN_INTERFACE
        intent = self.offline.get(name)
        if (operation == "offline") == (intent is not None):
            offline = ProblemCode.ALREADY_OFFLINE, ProblemCode.NOT_OFFLINE
            return offline[0] if intent else offline[1]
        if automatic and name in self.holds:
            return ProblemCode.HELD
        if automatic and intent and not intent.actor.startswith(AUTOMATION):
            return ProblemCode.HELD
        if operation == "offline" and len(self._usable(members)) <= self.min_usable:
            return ProblemCode.MINIMUM_REDUNDANCY
        return None

    def _state(self, members: Iterable[str]) -> GroupState:
        hurt = self.fragile and any(name in self.offline for name in members)
        return GroupState.FAILED if hurt else GroupState.OK

    def _usable(self, members: Iterable[str]) -> list[str]:
        return [name for name in members if name not in self.offline]


def _json(status: int, value: object, form: str = "json") -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type=f"application/{form}"
    )
