"""The stage of the demonstration: every process of the product around one lab.

`mpathd` runs inside the lab's host; exporter, remediator, Prometheus and Alertmanager run outside
it and reach it through its Unix sockets. Everything ends with the stage, and with this process.
"""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from ipmp.client import Client, ClientError
from ipmp.lab import Lab
from ipmp.lab.monitoring import Alertmanager, Prometheus
from ipmp.lab.rules import alertmanager_config, prometheus_config, quickened, shipped
from ipmp.lab.tools import find
from ipmp.lab.topology import HOST
from ipmp.model import Status

GROUP = """\
[groups.ipmp0]
interfaces = ["ni0", "ni1"]
"""

POLICY = """\
token_file = "{token}"
dry_run = false

[[policy]]
name = "drain on request"
match = {{ remediation = "drain" }}
action = "offline"

[allow]
ipmp0 = ["ni0", "ni1"]
"""

READY_SECONDS = 15.0
QUICKER = 120.0  # the shipped rules count in minutes: 15 of them become 7.5 seconds
SCRAPE = "500ms"

DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")


class StageError(Exception):
    """A part did not start; the text says which and why."""


class Stage:
    """All processes, started on entry."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.run_dir = directory / "run"
        self.lab = Lab(directory / "lab")
        self.client = Client(self.run_dir)
        self.exporter = ""  # URLs
        self.remediator = ""
        self.prometheus: Prometheus | None = None
        self.alertmanager: Alertmanager | None = None
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._parts.close()

    @property
    def monitored(self) -> bool:
        """Whether Prometheus and Alertmanager are there."""
        return self.prometheus is not None and self.alertmanager is not None

    def command(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run one of our commands in the host; its status is for the caller to judge."""
        program, *arguments = argv
        line = ("env", f"IPMP_RUN_DIR={self.run_dir}", _program(program), *arguments)
        return self.lab.run(HOST, line, check=False)

    def status(self) -> Status:
        """The daemon's snapshot."""
        return self.client.status()

    def log(self, name: str) -> str:
        """What a part has logged."""
        return (self.directory / f"{name}.log").read_text()

    def _start(self) -> None:
        self.run_dir.mkdir()
        self._parts.enter_context(self.lab)
        config = self.directory / "ipmp.toml"
        config.write_text(GROUP)
        paths = (f"--run-dir={self.run_dir}", f"--state-dir={self.directory / 'state'}")
        with (self.directory / "mpathd.log").open("w") as log:
            daemon = self.lab.popen(
                HOST, (_program("mpathd"), f"--config={config}", *paths), stdout=log, stderr=log
            )
        self._parts.callback(_end, daemon)
        self._wait("mpathd", daemon.poll, self._answers)
        self.exporter = self._serve("ipmp_exporter", f"--run-dir={self.run_dir}")
        self._start_remediator()
        if find("prometheus") and find("alertmanager"):
            self._start_monitoring()

    def _start_remediator(self) -> None:
        token = self.directory / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_urlsafe(32))
        policy = self.directory / "remediator.toml"
        policy.write_text(POLICY.format(token=token))
        self.remediator = self._serve(
            "ipmp_remediator",
            f"--config.file={policy}",
            f"--run-dir={self.run_dir}",
            f"--state-dir={self.directory / 'remediator'}",
        )

    def _start_monitoring(self) -> None:
        rules = shipped("alerts/ipmp.rules.yml")
        if rules is None:
            raise StageError("alerts/ipmp.rules.yml is missing; run the demo from the checkout")
        quick = self.directory / "ipmp.rules.yml"
        quick.write_text(quickened(rules.read_text(), QUICKER))
        webhook = f"{self.remediator}/alerts"
        self.alertmanager = self._parts.enter_context(
            Alertmanager(
                alertmanager_config(webhook, self.directory / "token"),
                self.directory / "alertmanager",
            )
        )
        targets = {
            "ipmp": [self.exporter.removeprefix("http://")],
            "ipmp_remediator": [self.remediator.removeprefix("http://")],
        }
        self.prometheus = self._parts.enter_context(
            Prometheus(
                prometheus_config(
                    targets,
                    rules=[quick],
                    alertmanager=self.alertmanager.url.removeprefix("http://"),
                    interval=SCRAPE,
                ),
                self.directory / "prometheus",
            )
        )

    def _serve(self, name: str, *arguments: str) -> str:
        """Start one of our servers on a free loopback port and return its URL."""
        log_path = self.directory / f"{name}.log"
        with log_path.open("w") as log:
            process = subprocess.Popen(  # noqa: S603
                (*DIES_WITH_US, _program(name), "--web.listen-address=127.0.0.1:0", *arguments),
                stdout=log,
                stderr=log,
            )
        self._parts.callback(_end, process)
        self._wait(name, process.poll, lambda: bool(_address(log_path)))
        return _address(log_path)

    def _answers(self) -> bool:
        try:
            return bool(self.status().groups)
        except ClientError:
            return False

    def _wait(self, name: str, poll: Callable[[], int | None], ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            if poll() is not None or time.monotonic() > deadline:
                last = self.log(name).strip().splitlines()[-1:] or ["it said nothing"]
                raise StageError(f"{name} did not start: {last[0]}")
            time.sleep(0.02)


def _program(name: str) -> str:
    return str(Path(sys.prefix, "bin", name))


def _address(log: Path) -> str:
    found = re.search(r'listening on (http://[^ "]+)', log.read_text())
    return found[1] if found else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
