"""Run a remediator in a test and speak to it: over real HTTP, with a real SQLite file."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from ipmp_remediator.app import Address, Remediator, Settings

TOKEN = "correct-horse-battery-staple"
DEADLINE = 15.0

POLICY = """
token_file = "token"
dry_run = {dry_run}
max_alert_age = "1h"
hold_down = "{hold_down}"
max_pending = {max_pending}

[limits]
{limits}
[[policy]]
name = "drain"
{policy}
match = {{ remediation = "drain" }}
action = "offline"

[allow]
ipmp0 = ["ni0", "ni1", "ni2", "gone0"]
ipmp1 = ["ni0"]
"""

NO_LIMITS = {
    "drained_group": '"off"',
    "drained_host": '"off"',
    "cooldown": '"0s"',
    "rate_interface": '"off"',
    "rate_group": '"off"',
    "rate_host": '"off"',
    "loop_guard": '"0s"',
    "storm": '"off"',
    "breaker": '"off"',
}


def write_policy(
    directory: Path,
    *,
    dry_run: bool = False,
    hold_down: str = "0s",
    max_pending: int = 1000,
    extra: str = "",
    limits: str = "",
    policy: str = "",
) -> Path:
    """Write a policy file and its token; `extra` goes to the top level, `policy` to the policy.

    Without `limits` there are none but the daemon's.
    """
    (directory / "token").write_text(TOKEN + "\n")
    given = {line.split("=")[0].strip() for line in limits.splitlines()}
    limits += "".join(f"\n{k} = {v}" for k, v in NO_LIMITS.items() if k not in given)
    text = POLICY.format(
        dry_run=str(dry_run).lower(),
        hold_down=hold_down,
        max_pending=max_pending,
        limits=limits,
        policy=policy,
    )
    path = directory / "remediator.toml"
    path.write_text(extra + text)
    return path


def alert(
    interface: str = "ni0",
    *,
    status: str = "firing",
    started: float | None = None,
    ended: float | None = None,
    name: str = "IpmpProbeLossHigh",
    group: str = "ipmp0",
    **labels: str,
) -> dict[str, Any]:
    """One alert as Alertmanager sends it; times are Unix seconds (default: now)."""
    started = time.time() if started is None else started
    ended = time.time() if ended is None else ended
    labels = {
        "alertname": name,
        "remediation": "drain",
        "group": group,
        "interface": interface,
        **labels,
    }
    digest = hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()
    return {
        "status": status,
        "labels": labels,
        "annotations": {"summary": "Probes are lost."},
        "startsAt": _rfc3339(started),
        "endsAt": _rfc3339(ended) if status == "resolved" else "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": digest[:16],
    }


def notification(*alerts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A notification as Alertmanager sends it."""
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "remediator",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": list(alerts),
    } | fields


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


async def until(condition: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    """Wait until the condition holds; fail when it does not within the deadline."""
    end = time.monotonic() + DEADLINE
    while True:
        answer = condition()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < end, f"never happened: {what}"
        await asyncio.sleep(0.01)


class Api:
    """The HTTP side of a remediator, as its senders and Prometheus see it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(self.url)

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def request(
        self, method: str, path: str, *, token: str | None = TOKEN, **arguments: Any
    ) -> tuple[int, str, dict[str, str]]:
        """Send a request; return status, body and headers (names in lower case)."""
        assert self._session
        headers = {"Content-Type": "application/json"} if method == "POST" else {}
        headers |= {"Authorization": f"Bearer {token}"} if token is not None else {}
        headers |= arguments.pop("headers", {})
        async with self._session.request(
            method, path, headers=headers, allow_redirects=False, **arguments
        ) as response:
            text = await response.text()
            return response.status, text, {k.lower(): v for k, v in response.headers.items()}

    async def post(self, *alerts: dict[str, Any]) -> int:
        """Post one notification; return the status."""
        status, _, _ = await self.request("POST", "/alerts", json=notification(*alerts))
        return status

    async def post_body(self, body: Any, **arguments: Any) -> int:
        status, _, _ = await self.request("POST", "/alerts", data=body, **arguments)
        return status

    async def decisions(self, limit: int = 1000) -> list[dict[str, Any]]:
        status, text, _ = await self.request("GET", f"/v1/decisions?limit={limit}")
        assert status == 200
        records: list[dict[str, Any]] = json.loads(text)
        return records

    async def verdicts(self) -> list[tuple[str, str]]:
        """The (kind, reason) of every decision, oldest first."""
        return [
            (record["decision"]["kind"], record["decision"]["reason"])
            for record in await self.decisions()
        ]

    async def decided(self, kind: str, reason: str) -> None:
        """Wait until such a decision is the last one."""

        async def last() -> bool:
            verdicts = await self.verdicts()
            return bool(verdicts) and verdicts[-1] == (kind, reason)

        try:
            await until(last, f"{kind} {reason}")
        except AssertionError as error:
            raise AssertionError(f"{error}; decided: {await self.verdicts()}") from error

    async def metric(self, name: str, **labels: str) -> float:
        """The value of one sample."""
        _, text, _ = await self.request("GET", "/metrics", token=None)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        raise AssertionError(f"no sample {name} {labels}")

    async def counts(self, value: float, name: str, **labels: str) -> None:
        """Wait until a sample has this value: decisions are counted just after they are stored."""

        async def equal() -> bool:
            return await self.metric(name, **labels) == value

        await until(equal, f"{name} {labels} is {value}")


class InProcess(Api):
    """A remediator in the test's own loop."""

    def __init__(self, directory: Path, run_dir: Path, config_file: Path) -> None:
        super().__init__("")
        self.settings = Settings(
            listen=(Address("127.0.0.1", 0),),
            config_file=config_file,
            run_dir=run_dir,
            state_dir=directory / "state",
        )
        self.remediator = Remediator(self.settings)

    async def __aenter__(self) -> InProcess:
        await self.remediator.start()
        self.url = f"http://{self.remediator.addresses[0]}"
        await self.open()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()
        await self.remediator.stop()

    async def rests(self) -> None:
        """Wait until nothing is drained, wanted or under way: no metric tells all at once."""

        async def nothing() -> bool:
            memory = await self.remediator._worker._store.memory(0.0)
            return not (memory.drains or memory.operations or memory.pending())

        await until(nothing, "nothing is left to do")


class Subprocess(Api):
    """A remediator as users run it: a process of its own, that can be killed."""

    def __init__(self, directory: Path, run_dir: Path, config_file: Path, *flags: str) -> None:
        super().__init__("")
        self._command = [
            *(sys.executable, "-m", "ipmp_remediator.main"),
            *("--web.listen-address", "127.0.0.1:0"),
            *("--config.file", str(config_file)),
            *("--run-dir", str(run_dir)),
            *("--state-dir", str(directory / "state")),
            *flags,
        ]
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self.log: list[str] = []

    async def start(self) -> None:
        """Start the process and wait until it says where it listens."""
        self.log.clear()
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stderr=asyncio.subprocess.PIPE
        )
        self._reader = asyncio.create_task(self._read(self._process))
        await until(lambda: bool(self.listening()) or self._ended(), "it listens")
        assert self.listening(), "\n".join(self.log)
        self.url = self.listening()
        await self.open()

    async def end(self, number: signal.Signals) -> int:
        """Send a signal; return the exit status."""
        assert self._process
        assert self._reader
        await self.close()
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(DEADLINE):
            status = await self._process.wait()
            await self._reader
        return status

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    def listening(self) -> str:
        found = re.search(r"listening on (http://[0-9.:]+)", "\n".join(self.log))
        return found[1] if found else ""

    def logged(self, text: str) -> bool:
        return any(text in line for line in self.log)

    def _ended(self) -> bool:
        return self._process is not None and self._process.returncode is not None

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr
        async for line in process.stderr:
            self.log.append(line.decode().rstrip())
