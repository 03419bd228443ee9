"""A real etcd of one node, and FleetLock servers in front of it, that tests may kill."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tests.support.tools import need
from tests.support.wait import eventually


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A server that is started again at the same port, with what it has on disk."""

    def __init__(self, command: list[str], log: Path, healthy: str) -> None:
        self._command = command
        self._log = log
        self._healthy = healthy
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        if wait:
            self.await_healthy()

    def await_healthy(self) -> None:
        eventually(self.healthy, timeout=20, interval=0.05)

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(self._healthy, timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """kill -9."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def hang_up(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGHUP)


def etcd(directory: Path) -> tuple[Process, str]:
    """An etcd that is not started yet, and its endpoint."""
    url, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    command = [str(need("etcd")), "--name", "one", "--data-dir", str(directory / "etcd")]
    command += ["--listen-client-urls", url, "--advertise-client-urls", url]
    command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
    command += ["--initial-cluster", f"one={peer}"]
    return Process(command, directory / "etcd.log", f"{url}/health"), url


def fleetlock(directory: Path, config: Path) -> tuple[Process, str]:
    """A FleetLock server that is not started yet, and its URL."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "ipmp_fleetlock.main", "--config.file", str(config)]
    command += ["--web.listen-address", f"127.0.0.1:{port}"]
    return Process(command, directory / f"fleetlock-{port}.log", f"{url}/-/ready"), url
