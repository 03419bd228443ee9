"""Put the parts together: start, reload and stop one remediator."""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path

import msgspec
import structlog
from aiohttp import web

from ipmp.fleetlock.client import FleetLockClient
from ipmp.fleetlock.config import load as load_fleet
from ipmp.serving.admission import TokenError
from ipmp.serving.document import DocumentError
from ipmp.serving.tls import TlsError, server_context
from ipmp_remediator.access import Gate, SecretError
from ipmp_remediator.budget import FleetBudget, Observed, Slots
from ipmp_remediator.config import load
from ipmp_remediator.daemon_client import DaemonClient
from ipmp_remediator.database import StoreError
from ipmp_remediator.desk import SOCKET, Desk
from ipmp_remediator.intake import Rules
from ipmp_remediator.journal import Journal
from ipmp_remediator.metrics import Metrics
from ipmp_remediator.policy import Authentication, Config
from ipmp_remediator.reader import ConfigError
from ipmp_remediator.receiver import Receiver
from ipmp_remediator.store import Store
from ipmp_remediator.web import Web
from ipmp_remediator.worker import Worker

_SHUTDOWN_TIMEOUT = 5.0

_log = structlog.get_logger()


class StartError(Exception):
    """The remediator cannot start; the message is one sentence that says what to do."""


class Address(msgspec.Struct, frozen=True):
    """A host (empty: all addresses) and a port (0: any) to listen on."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Tell whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        return bool(self.host) and ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Settings(msgspec.Struct, frozen=True):
    """What the command line says."""

    listen: tuple[Address, ...]
    config_file: Path
    run_dir: Path
    state_dir: Path
    force_dry_run: bool = False
    telemetry_path: str = "/metrics"


def read_policy(settings: Settings) -> Config:
    """Read the policy file and its credentials; raise ConfigError with every mistake."""
    config = load(settings.config_file)
    errors = []
    try:
        Gate(config).check_secrets()
        if config.tls:
            server_context(config.tls)
    except (SecretError, TlsError) as error:
        errors.append(f"{settings.config_file}: {error}")
    try:
        _fleet_budget(config, Metrics())
    except DocumentError as error:
        errors += error.errors
    except (TokenError, TlsError) as error:
        errors.append(f"{config.fleet_file}: {error}")
    if config.authentication is Authentication.NONE:
        errors += [
            f'{settings.config_file}: authentication is "none", so {address} cannot be listened '
            "on, only loopback addresses; set token_file or another credential"
            for address in settings.listen
            if not address.loopback
        ]
    if errors:
        raise ConfigError(errors)
    if settings.force_dry_run:
        return msgspec.structs.replace(config, dry_run=True)
    return config


class Remediator:
    """One running remediator."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._config = read_policy(settings)
        self._gate = Gate(self._config)
        self._resources = AsyncExitStack()
        self._worker: Worker
        self.metrics = Metrics()
        self.addresses: tuple[Address, ...] = ()  # those that are listened on, with real ports

    @property
    def members(self) -> frozenset[str] | None:
        """The interfaces that the daemon last reported; None before it did."""
        status = self._worker.status
        return frozenset(i.name for i in status.interfaces) if status else None

    async def start(self) -> None:
        """Open the store, listen and begin to work; raise StartError."""
        try:
            await self._start()
        except BaseException:
            await self._resources.aclose()
            raise

    async def stop(self) -> None:
        """Stop listening, then working; an unfinished job stays in the store."""
        await self._resources.aclose()

    def reload(self) -> bool:
        """Read the policy file again; when it has mistakes the old policy stays in force."""
        try:
            config = read_policy(self._settings)
        except ConfigError as error:
            for sentence in error.errors:
                _log.error(f"the policy was not reloaded, the old one stays in force: {sentence}")
            return False
        for key in ("tls", "fleet_file"):
            if getattr(config, key) != getattr(self._config, key):
                _log.warning(f"{key} has changed, which takes effect at the next start")
        self._config = config
        self._gate = Gate(config)
        self.metrics.dry_run.set(config.dry_run)
        self._worker.wake()
        _log.info("the policy was reloaded", file=str(self._settings.config_file))
        return True

    async def _start(self) -> None:
        store = await self._open_store()
        journal = Journal(self.metrics)
        daemon = DaemonClient(self._settings.run_dir / "control.sock")
        slots = Slots(_fleet_budget(self._config, self.metrics))
        self._worker = Worker(store, daemon, self.metrics, journal, lambda: self._config, slots)
        await self._worker.refresh_metrics()
        site = Web(
            store,
            Receiver(store.database, self.metrics, journal),
            self.metrics,
            gate=lambda: self._gate,
            rules=lambda: Rules(config=self._config, members=self.members),
            received=self._worker.wake,
            telemetry_path=self._settings.telemetry_path,
            version=version("ipmp"),
        )
        await slots.start(await store.memory(0.0), self._config.allow)
        self._resources.push_async_callback(slots.stop)
        task = asyncio.create_task(self._worker.run())
        self._resources.push_async_callback(_cancel, task)
        await self._listen(site.application())
        await self._open_desk(Desk(store, daemon, lambda: self._config, self._worker.wake))

    async def _open_desk(self, desk: Desk) -> None:
        """Without its socket only `ipmp approve` and a part of `ipmp explain` are missing."""
        path = self._settings.run_dir / SOCKET
        try:
            runner = await desk.serve(path)
        except OSError as error:
            why = error.strerror or str(error)
            _log.warning(f"cannot listen on {path} for `ipmp approve` and `ipmp explain`: {why}")
        else:
            self._resources.push_async_callback(runner.cleanup)

    async def _open_store(self) -> Store:
        directory = self._settings.state_dir
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = self._resources.enter_context((directory / "lock").open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartError(f"another ipmp_remediator is using {directory}") from error
        except OSError as error:
            raise StartError(f"cannot use state directory {directory}: {error.strerror}") from error
        try:
            store = await Store.open(directory / "remediator.sqlite")
        except StoreError as error:
            raise StartError(str(error)) from error
        self._resources.push_async_callback(store.close)
        return store

    async def _listen(self, application: web.Application) -> None:
        runner = web.AppRunner(
            application,
            access_log=None,
            auto_decompress=False,
            shutdown_timeout=_SHUTDOWN_TIMEOUT,
        )
        await runner.setup()
        self._resources.push_async_callback(runner.cleanup)
        tls = server_context(self._config.tls) if self._config.tls else None
        for address in self._settings.listen:
            try:
                site = web.TCPSite(runner, address.host or None, address.port, ssl_context=tls)
                await site.start()
            except OSError as error:
                why = error.strerror or str(error)
                raise StartError(f"cannot listen on {address}: {why}") from error
        self.addresses = tuple(Address(host=a[0], port=a[1]) for a in runner.addresses)
        for address in self.addresses:
            _log.info(f"listening on {'https' if tls else 'http'}://{address}")


def _fleet_budget(config: Config, metrics: Metrics) -> FleetBudget | None:
    """Raise DocumentError, TlsError or TokenError when the file or what it names is wrong."""
    if config.fleet_file is None:
        return None
    fleet = load_fleet(config.fleet_file)

    def note(pool: str, clear: bool) -> None:
        metrics.fleet_budget_up.labels(pool).set(clear)

    return FleetBudget(Observed(FleetLockClient(fleet), note), fleet.host_id, fleet.pools_of)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
