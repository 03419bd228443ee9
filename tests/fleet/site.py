"""The whole fleet: every part a real process of its own, on loopback and in namespaces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol, Self

from ipmp.lab import LabError
from ipmp.serving.tls import ClientTls
from tests.endurance.course import MEMBERS
from tests.fleet.hosts import ROUTE, FleetHost
from tests.support.alertmanagers import cluster
from tests.support.etcd import Process, dispatcher, etcd, fleetlock
from tests.support.fleet import Authority
from tests.support.remediator import TOKEN

SLOTS = {"rack-a": 2, "rack-b": 2, "fleet": 3}
HOSTS = {
    "db0.example": ("fleet", "rack-a"),
    "db1.example": ("fleet", "rack-a"),
    "db2.example": ("fleet", "rack-a"),
    "db3.example": ("fleet", "rack-b"),
    "db4.example": ("fleet", "rack-b"),
}


class Victim(Protocol):
    """What can be killed and paused."""

    def start(self, *, wait: bool = True) -> None: ...

    def await_healthy(self) -> None: ...

    def kill(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Site:
    """All parts by name, started on entry."""

    def __init__(
        self,
        directory: Path,
        hosts: Mapping[str, tuple[str, ...]] = HOSTS,
        slots: Mapping[str, int] = SLOTS,
    ) -> None:
        """Take the pools of each host, and the slots of each pool."""
        self.slots = slots
        self._directory = directory
        self._parts = ExitStack()
        store, endpoint = etcd(directory)
        servers = [fleetlock(directory, self._budget(endpoint)) for _ in range(2)]
        self.servers = tuple(url for _, url in servers)
        authority = Authority(directory)
        client = authority.client(ROUTE)
        self._hosts(hosts, authority, client)
        routes = [dispatcher(directory, self._route(client)) for _ in range(2)]
        self.routes = tuple(url for _, url in routes)
        webhooks = [f"{url}/alerts" for url in self.routes]
        managers = cluster(directory, webhooks, directory / "token")
        self.alertmanagers = tuple(url for _, url in managers)
        self.victims: dict[str, Victim] = {"etcd": store}
        self._name("fleetlock", servers)
        self._name("route", routes)
        self._name("alertmanager", managers)

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
    def cables(self) -> list[str]:
        """Names of what can be pulled."""
        return [f"cable {host}/{member}" for host in self.hosts for member in MEMBERS]

    def pull(self, cable: str) -> None:
        host, _, member = cable.removeprefix("cable ").partition("/")
        self.hosts[host].lab.fault("cable-pull", member)

    def plug(self, cable: str) -> None:
        host, _, member = cable.removeprefix("cable ").partition("/")
        self.hosts[host].lab.repair(member)

    def _start(self) -> None:
        for host in self.hosts.values():
            host.build()
            self._parts.callback(host.lab.stop)
            self.victims[f"mpathd {host.name}"] = host.daemon
            self.victims[f"remediator {host.name}"] = host.remediator
        for victim in self.victims.values():
            victim.start(wait=False)
            self._parts.callback(_end, victim)
        for victim in self.victims.values():
            victim.await_healthy()

    def _name(self, kind: str, processes: list[tuple[Process, str]]) -> None:
        self.victims |= {f"{kind} {n}": process for n, (process, _) in enumerate(processes)}

    def _hosts(
        self, hosts: Mapping[str, tuple[str, ...]], authority: Authority, client: ClientTls
    ) -> None:
        self.hosts = {
            name: FleetHost(self._directory, name, pools, self.servers, authority, client)
            for name, pools in hosts.items()
        }

    def _budget(self, endpoint: str) -> Path:
        config = self._directory / "fleetlock.toml"
        slots = "".join(f"{pool} = {number}\n" for pool, number in self.slots.items())
        etcd = f'endpoints = ["{endpoint}"]\ntimeout = "1s"\n'
        config.write_text(f"[slots]\n{slots}[etcd]\n{etcd}")
        return config

    def _route(self, client: ClientTls) -> Path:
        """Write what the dispatchers need, and the token that everybody shows."""
        token, targets = self._directory / "token", self._directory / "targets.json"
        token.write_text(TOKEN)
        groups = [
            {"targets": [f"127.0.0.1:{host.port}"], "labels": {"instance": f"{host.name}:10088"}}
            for host in self.hosts.values()
        ]
        targets.write_text(json.dumps(groups))
        config = self._directory / "route.toml"
        config.write_text(
            f'token_file = "{token}"\nhosts_token_file = "{token}"\n'
            f'[targets]\nfile = "{targets}"\n'
            f'[hosts_tls]\nca_file = "{client.ca_file}"\n'
            f'cert_file = "{client.cert_file}"\nkey_file = "{client.key_file}"\n'
        )
        return config


def _end(victim: Victim) -> None:
    with suppress(LabError, ProcessLookupError):
        victim.resume()
        victim.kill()
