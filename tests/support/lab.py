"""The lab in tests: one network for a test, and the daemon in its host node."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from ipmp.client import Client, ClientError, Operation
from ipmp.lab import Lab, LabError
from ipmp.lab.namespaces import unshare_command
from ipmp.lab.processes import NodeProcess
from ipmp.lab.topology import HOST
from ipmp.model import Status
from tests.support.wait import eventually, patience

START_WITHIN = 10.0  # seconds until the daemon answers
STOP_WITHIN = 10.0


def need_namespaces() -> None:
    """Skip the test where a lab cannot be had (which fails it in CI, see tests/conftest.py)."""
    try:
        unshare_command()
    except LabError as refused:
        pytest.skip(str(refused))


@contextmanager
def running_lab(directory: Path, nics: int = 2) -> Iterator[Lab]:
    """Yield a lab of its own, or skip."""
    need_namespaces()
    with Lab(directory, nics) as lab:
        yield lab


def program(name: str) -> str:
    """Return the path of one of our own console scripts."""
    return str(Path(sys.prefix, "bin", name))


class Host:
    """`mpathd` in the host node of a lab, and the commands that an operator would type there.

    `directory` holds everything: ipmp.toml, run/, state/ and mpathd.log; the sockets in run/ can be
    reached from inside and from outside the lab.
    """

    def __init__(self, lab: Lab, directory: Path, config: str) -> None:
        self.lab = lab
        self.config = directory / "ipmp.toml"
        self.run_dir = directory / "run"
        self.state_dir = directory / "state"
        self.log_file = directory / "mpathd.log"
        self.client = Client(self.run_dir)
        self._process: NodeProcess | None = None
        for needed in (self.run_dir, self.state_dir):
            needed.mkdir(parents=True, exist_ok=True)
        self.configure(config)

    def configure(self, text: str) -> None:
        """Write ipmp.toml; the daemon reads it at its start and at `reload`."""
        self.config.write_text(text)

    def start(self, *options: str, environment: Mapping[str, str] | None = None) -> Host:
        """Start the daemon and wait until it answers; `environment` is added to ours."""
        self.launch(*options, environment=environment)
        eventually(self._answers, START_WITHIN)
        return self

    def launch(self, *options: str, environment: Mapping[str, str] | None = None) -> None:
        """Start the daemon."""
        variables = os.environ | dict(environment or {})
        with self.log_file.open("a") as log:
            self._process = self.lab.popen(
                HOST, self.command(*options), stdout=log, stderr=log, env=variables
            )

    def command(self, *options: str) -> tuple[str, ...]:
        """Return the command line of the daemon."""
        return (
            program("mpathd"),
            f"--config={self.config}",
            f"--run-dir={self.run_dir}",
            f"--state-dir={self.state_dir}",
            *options,
        )

    def status(self) -> Status:
        """Return the daemon's snapshot."""
        return self.client.status()

    def sentences(self) -> list[str]:
        """Return what the history tells, oldest first."""
        return [event.sentence for event in self.client.history()]

    def order(self, operation: Operation, interface: str) -> Thread:
        """Order it and do not wait: what becomes of it, the host shows."""

        def ordered() -> None:
            with suppress(ClientError):  # refused, or the daemon died meanwhile
                self.client.operate(operation, interface)

        thread = Thread(target=ordered)
        thread.start()
        return thread

    def if_mpadm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run if_mpadm in the host node; its exit status is for the caller to judge."""
        return self._tool("if_mpadm", *arguments)

    def ipmpstat(self, *arguments: str) -> str:
        """Return what ipmpstat prints in the host node."""
        done = self._tool("ipmpstat", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ipmp(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ipmp in the host node."""
        return self._tool("ipmp", *arguments)

    def signal(self, number: int) -> None:
        """Send a signal to the daemon itself."""
        self.process.send_signal(number)

    @property
    def process(self) -> NodeProcess:
        """The daemon's process; `process.inner_pid` is its pid in the machine's /proc."""
        assert self._process is not None, "the daemon was not started"
        return self._process

    def kill9(self) -> None:
        """Kill the daemon as a crash would, and wait until it is gone."""
        self.process.kill()
        self.process.wait(patience(STOP_WITHIN))

    def stop(self) -> int:
        """Stop the daemon as systemd would and return its exit status; fine if it has ended."""
        self.process.terminate()
        return self.process.wait(patience(STOP_WITHIN))

    def restart(self, *options: str) -> Host:
        """Stop the daemon, unless it is dead already, and start it again."""
        self.stop()
        return self.start(*options)

    def log(self) -> str:
        """Return everything that the daemon has written."""
        return self.log_file.read_text()

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"mpathd ended with status {self.process.returncode}:\n{self.log()}")
        try:
            return bool(self.status().host)
        except ClientError as error:
            raise AssertionError(f"{error}\n{self.log()}") from error

    def _tool(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ("env", f"IPMP_RUN_DIR={self.run_dir}", program(name), *arguments)
        return self.lab.run(HOST, command, check=False)
