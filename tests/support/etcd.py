"""A real etcd of one node, FleetLock servers and dispatchers, that tests may kill."""

from __future__ import annotations

import random
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tests.support.tools import need
from tests.support.wait import eventually

_given: set[int] = set()


def free_port() -> int:
    """A port below those that clients get, so that nobody has it while its server is dead."""
    for port in random.sample(range(20_000, 32_000), 100):
        if port in _given:  # to a server that has not started yet
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given.add(port)
            return port
    raise AssertionError("no port is free")


class Process:
    """A server that is started again at the same port, with what it has on disk."""

    def __init__(
        self, command: list[str], log: Path, healthy: str, tls: ssl.SSLContext | None = None
    ) -> None:
        """Take the command, its log, the URL that tells its health, and how to speak to that."""
        self._command = command
        self._log = log
        self._healthy = healthy
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        if wait:
            self.await_healthy()

    def await_healthy(self) -> None:
        try:
            eventually(self.healthy, timeout=60, interval=0.05)
        except AssertionError as error:
            raise AssertionError(f"{self._healthy}: {self._log.read_text()[-2000:]}") from error

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(self._healthy, timeout=2, context=self._tls) as answer:
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


def dispatcher(directory: Path, config: Path) -> tuple[Process, str]:
    """A dispatcher that is not started yet, and its URL."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "ipmp_remediator.command", "route"]
    command += ["--config.file", str(config), "--web.listen-address", f"127.0.0.1:{port}"]
    return Process(command, directory / f"route-{port}.log", f"{url}/-/ready"), url
