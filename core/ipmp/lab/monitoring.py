"""A private Prometheus and a private Alertmanager on loopback, for the demo and for tests.

Each runs the real program with a configuration given as text, keeps everything in a directory that
it is given, and ends with the process that started it, whatever that dies of.

    with Prometheus(prometheus_config({"ipmp": ["127.0.0.1:10088"]}), directory) as prometheus:
        prometheus.query("ipmp_up")
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from ipmp.lab.tools import find, unpacked_share

READY_WITHIN = 20.0  # seconds; both take well under one on an idle machine
STOP_WITHIN = 5.0
_ANSWER_WITHIN = 10.0
_ATTEMPTS = 3  # another program may take a free port between the look and the start

# `$0` is the unpacked /usr/share; the mount is seen by this program only.
_WITH_SHARE = 'mount -t overlay overlay -o "lowerdir=$0:/usr/share" /usr/share && exec "$@"'


class MonitoringError(Exception):
    """The program is missing, did not start, or refused a request; one sentence says which."""


class Sample(NamedTuple):
    """One element of an instant vector."""

    labels: Mapping[str, str]
    value: float


class _Server(ABC):
    """What both programs share: start with a configuration, wait until ready, ask, stop.

    Start it from a thread that outlives it (the main one): the kernel ends it with that thread.
    """

    program = ""  # its name, and that of the data it has below /usr/share

    def __init__(self, config: str, directory: Path, *, port: int = 0) -> None:
        """Take the configuration's text, where files may lie, and the port (0: a free one)."""
        self.port = port
        self._config = config
        self._fixed_port = port != 0
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has printed so far."""
        path = self._log_path
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> Self:
        """Start it and wait until it answers; MonitoringError says why it does not."""
        path = find(self.program)
        if path is None:
            raise MonitoringError(
                f"{self.program} is neither on the PATH nor fetched by make setup"
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "config.yml").write_text(self._config)
        for attempt in range(_ATTEMPTS):
            self.port = self.port if self._fixed_port else _free_port()
            self._process = self._spawn(path)
            if self._wait_until_ready():
                return self
            taken = "address already in use" in self.log
            if self._fixed_port or not taken or attempt == _ATTEMPTS - 1:
                break
        complaint = _last_complaint(self.log)
        self.stop()
        raise MonitoringError(f"{self.program} did not start: {complaint}")

    def stop(self) -> None:
        """End it, politely at first."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def get(self, path: str, **parameters: str | float) -> Any:
        """Return the decoded JSON of a GET on its API."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        status, body = self._request("GET", path + query)
        if status != 200:
            raise MonitoringError(f"{self.program} answered {status}: {body[:500].decode()}")
        return json.loads(body)

    def reload(self, config: str) -> None:
        """Replace its configuration; MonitoringError, and the old one stays, if it is refused."""
        (self.directory / "config.yml").write_text(config)
        status, body = self._request("POST", "/-/reload")
        if status != 200:
            raise MonitoringError(f"{self.program} refused to reload: {body[:500].decode()}")

    @abstractmethod
    def _arguments(self) -> list[str]:
        """Return the flags that the program is started with."""

    @property
    def _log_path(self) -> Path:
        return self.directory / f"{self.program}.log"

    def _spawn(self, path: Path) -> subprocess.Popen[bytes]:
        command = with_web_pages(self.program, [str(path), *self._arguments()])
        with self._log_path.open("wb") as log:
            return subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a ^C at the terminal is for the demo to act on
            )

    def _wait_until_ready(self) -> bool:
        deadline = time.monotonic() + READY_WITHIN
        while self._process and self._process.poll() is None and time.monotonic() < deadline:
            try:
                if self._request("GET", "/-/ready")[0] == 200:
                    return True
            except MonitoringError:
                pass  # it does not listen yet
            time.sleep(0.02)
        return False

    def _request(self, method: str, target: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ANSWER_WITHIN)
        try:
            connection.request(method, target)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise MonitoringError(f"{self.program} does not answer: {error}") from error
        finally:
            connection.close()


class Prometheus(_Server):
    """A Prometheus; rule files are named in its configuration."""

    program = "prometheus"

    def query(self, expression: str) -> list[Sample]:
        """Return the instant vector that a PromQL expression gives now."""
        data = self.get("/api/v1/query", query=expression)["data"]
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(row["metric"], float(row["value"][1])) for row in data["result"]]

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are pending or firing."""
        found: list[dict[str, Any]] = self.get("/api/v1/alerts")["data"]["alerts"]
        return found

    def healthy_targets(self) -> set[str]:
        """Return the jobs of which every target could be scraped at the last attempt."""
        targets = self.get("/api/v1/targets")["data"]["activeTargets"]
        sick = {t["labels"]["job"] for t in targets if t["health"] != "up"}
        return {t["labels"]["job"] for t in targets} - sick

    def _arguments(self) -> list[str]:
        return [
            f"--config.file={self.directory / 'config.yml'}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            f"--web.external-url={self.url}/",
            "--web.enable-lifecycle",
            "--log.level=warn",
        ]


class Alertmanager(_Server):
    """An Alertmanager that stays alone: no cluster, no gossip port."""

    program = "alertmanager"

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that it holds."""
        found: list[dict[str, Any]] = self.get("/api/v2/alerts")
        return found

    def _arguments(self) -> list[str]:
        return [
            f"--config.file={self.directory / 'config.yml'}",
            f"--storage.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            f"--web.external-url={self.url}/",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def with_web_pages(name: str, command: list[str]) -> list[str]:
    """Return the command such that it dies with us and finds its web pages where it expects them.

    Unpacked below `.tools`, Debian's programs look for them under `/usr/share` in vain; an overlay
    in a mount namespace of their own puts them there. Where that is not allowed, all but the web
    pages works.
    """
    dying_with_us = ["setpriv", "--pdeathsig", "KILL", *command]
    share = unpacked_share("prometheus" if name == "prometheus" else "prometheus/alertmanager")
    if share is None:
        return dying_with_us
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    inside = ["unshare", "--mount", *user, "sh", "-c", _WITH_SHARE, str(share)]
    trial = subprocess.run([*inside, "true"], capture_output=True, check=False)  # noqa: S603
    return [*inside, *dying_with_us] if trial.returncode == 0 else dying_with_us


def _last_complaint(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
