"""One host of the fleet: a network of its own, its daemon, and its remediator."""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from ipmp.client import ClientError
from ipmp.intent import Intent
from ipmp.lab import Lab
from ipmp.model import OfflineIntent, Status
from ipmp.serving.tls import ClientContexts, ClientTls
from ipmp_remediator.decision import Decision
from tests.endurance.course import MEMBERS, UNPROBED
from tests.support import lab
from tests.support.etcd import Process, free_port
from tests.support.fleet import Authority
from tests.support.remediator import write_policy
from tests.support.wait import eventually

ROUTE = "route.example"
GROUP = "ipmp0"


class Daemon:
    """`mpathd` of a host, as a victim."""

    def __init__(self, host: lab.Host) -> None:
        self._host = host

    def start(self, *, wait: bool = True) -> None:
        self._host.launch()
        if wait:
            self.await_healthy()

    def await_healthy(self) -> None:
        eventually(self.healthy, timeout=20, interval=0.05)

    def healthy(self) -> bool:
        try:
            return bool(self._host.status().groups)
        except ClientError:
            return False

    def kill(self) -> None:
        self._host.kill9()

    def pause(self) -> None:
        self._host.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._host.signal(signal.SIGCONT)


class FleetHost:
    """The host; what an observer can see of it. Without pools it has no budget but its own."""

    def __init__(
        self,
        directory: Path,
        name: str,
        pools: Sequence[str],
        servers: Sequence[str],
        authority: Authority,
        client: ClientTls,
    ) -> None:
        self.name = name
        self.pools = tuple(pools)
        self.directory = directory / name
        self.directory.mkdir()
        self.lab = Lab(self.directory / "lab")
        self.port = free_port()
        extra = _access(name, authority)
        if pools:
            extra += 'fleet_file = "fleet.toml"\n'
            (self.directory / "fleet.toml").write_text(
                f'host = "{name}"\nurls = {json.dumps(list(servers))}\n'
                f'pools = {json.dumps(list(pools))}\ntimeout = "6s"\n'
            )
        policy = write_policy(self.directory, extra=extra, policy='host_label = "instance"')
        command = [sys.executable, "-m", "ipmp_remediator.main", f"--config.file={policy}"]
        command += [f"--run-dir={self.directory / 'run'}"]
        command += [f"--state-dir={self.directory / 'remediator'}"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}"]
        log, url = self.directory / "remediator.log", f"https://127.0.0.1:{self.port}/-/ready"
        self.remediator = Process(command, log, url, ClientContexts(client).current())

    def build(self) -> None:
        """Make its network; the daemon can be started then."""
        self.lab.start()
        self._host = lab.Host(self.lab, self.directory, UNPROBED)
        self.daemon = Daemon(self._host)

    def status(self) -> Status | None:
        """What the daemon says; None when it does not answer."""
        try:
            return self._host.client.status(timeout=1.0)
        except ClientError:
            return None

    def drained(self) -> dict[str, OfflineIntent]:
        """What is offline by the daemon's own memory, which is there also when it is dead."""
        try:
            intent = msgspec.json.decode(
                (self.directory / "run" / "intent.json").read_bytes(), type=Intent
            )
        except FileNotFoundError:
            return {}
        return intent.offline

    def decisions(self) -> list[Decision]:
        """Everything that the remediator has decided, oldest first."""
        path = self.directory / "remediator" / "remediator.sqlite"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT decision FROM decisions ORDER BY id").fetchall()
        return [msgspec.json.decode(row[0], type=Decision) for row in rows]


def _access(name: str, authority: Authority) -> str:
    """Only the dispatchers may send, by certificate and token."""
    cert, key = authority.issue("127.0.0.1", name)
    files = f'cert_file = "{cert}", key_file = "{key}", client_ca_file = "{authority.file}"'
    return f'host_names = ["{name}"]\ntls = {{ {files}, client_allowed_sans = ["{ROUTE}"] }}\n'


def interfaces(hosts: Sequence[FleetHost]) -> list[tuple[str, str]]:
    """Every interface that may be drained."""
    return [(host.name, member) for host in hosts for member in MEMBERS]
