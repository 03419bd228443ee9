"""One simulated host on its network, from boot to the end of a seed.

Everything that happens comes from the seed: what the host looks like, what is done to it, how long
things take. `run` lets time pass, `settle` stops the evil and judges what is left at rest.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from ipmp.config import Config, ConfigError, GroupConfig, load
from ipmp.daemon.runner import Runner
from ipmp.decision import Refusal
from ipmp.group.table import FAILED
from ipmp.intent import Intent
from ipmp.model import Event, GroupState, OperationRequest
from tests.simulation.clock import Clock
from tests.simulation.connection import Connection, Faults
from tests.simulation.disk import Disk
from tests.simulation.invariants import Invariants
from tests.simulation.kernel import Effects, SimulatedKernel
from tests.simulation.ledger import Ledger, data_addresses
from tests.simulation.life import NO_DEFAULTS, Killed, Life, seams
from tests.simulation.network import Network
from tests.simulation.payloads import Held
from tests.simulation.scenario import GroupPlan, draw_groups, furnish, hosts, toml

LINK_VERBS = ("up", "down", "remove", "create", "carrier", "no-carrier", "address", "dad")
TRACE = 200  # last events kept for a report
SHARED_MEMORY = Path("/dev/shm")
REST_SECONDS = 11.0  # longer than the time between two full readings
PATIENCE_SECONDS = 130.0  # in which everything must have come to rest
TRIES_SECONDS = 75.0  # after which whatever failed has been tried again
STILL_SECONDS = 1.0  # without a message to the kernel
THREADED = 0.2  # share of seeds in which the daemon computes in threads


class InvariantBroken(AssertionError):
    """What was broken, when, and what led to it."""


class Broken(SystemExit):
    """Carries the report out through tasks and the loop."""

    def __init__(self, report: str) -> None:
        super().__init__(report)
        self.report = report


class World:
    """The host, its network, its daemon, and those who judge it.

    Drawn from a seed, or made of given groups, whose members have nothing configured.
    """

    def __init__(self, seed: int, groups: list[GroupPlan] | None = None) -> None:
        self.seed = seed
        self.chance = Random(f"{seed}/chance")
        self.clock = Clock()
        self.kernel = SimulatedKernel(self.clock, self.chance)
        self.kernel.witness = self._witness
        self.network = Network(self.kernel, self.clock, self.chance)
        self.disk = Disk()
        self.faults = Faults()
        self.ledger = Ledger()
        self.invariants = Invariants(self)
        self.events = 0
        self.trace: deque[tuple[float, str, tuple[object, ...]]] = deque(maxlen=TRACE)
        self.life: Life | None = None
        self.stopped_cleanly = False
        self.in_force: list[Config] = []  # at rest one; during a reload the new one is the last
        self.adoptable: set[str] = set()  # addresses that might have been adopted at some time
        self._touched: dict[str, float] = {}
        self._orders: list[tuple[str, str, str]] = []
        self._stack = ExitStack()
        self._directory = Path(
            tempfile.mkdtemp(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None)
        )
        self.config_file = self._directory / "ipmp.toml"
        draw = Random(f"{seed}/host")
        self.configure(draw_groups(draw) if groups is None else groups)
        furnish(self.kernel, self.groups, draw if groups is None else None)
        self.network.alive = {group.name: hosts(group) for group in self.groups}

    def __enter__(self) -> World:
        self._stack.enter_context(seams(self.kernel, threads=self.chance.random() < THREADED))
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.life is not None:
            self.life.end()
            self.life.bury()
        self._stack.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    # Time -----------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let so much time pass. Raises InvariantBroken."""
        until = self.clock.now + seconds
        try:
            while self.clock.now < until:
                if self.life is None:
                    self.clock.step(until)
                else:
                    self._live(self.life, until)
        except Broken as broken:
            raise InvariantBroken(broken.report) from broken.__cause__

    def _live(self, life: Life, until: float) -> None:
        self.clock.after(until - self.clock.now, life.loop.stop)
        with suppress(Killed):
            life.loop.run_forever()
        if life.ended:
            life.bury()
            self._orders.clear()
            self.life = None

    def suffer(self, faults: Faults) -> None:
        """From now on the kernel and the network are as bad as this."""
        for name in Faults.__struct_fields__:
            setattr(self.faults, name, getattr(faults, name))
        self.network.loss = faults.loss

    def settle(self) -> None:
        """Nothing more is done to the host; judge it when it has come to rest."""
        self.suffer(Faults())
        if self.life is not None:
            self.life.fuse = None
        until = self.clock.now + PATIENCE_SECONDS
        self.run(REST_SECONDS)
        while self.life is None or not self._rests(self.life):
            if self.life is None:
                self.start()
            if self.clock.now > until:
                self._at_once(lambda: self.broken("invariant 2", self._unrest()))
            self.run(STILL_SECONDS)
        self._let_it_try_again()
        self.in_force = self.in_force[-1:]
        life = self.life
        self._at_once(lambda: self.invariants.at_rest(life))

    def _let_it_try_again(self) -> None:
        """Give it time for what the kernel has refused, and for what others undid too often."""
        until = self.clock.now + TRIES_SECONDS
        while self.life is not None and self.life.daemon is not None and self.clock.now < until:
            runners = self.life.daemon.runners.values()
            tries = [t for r in runners for t in r.executor.retries() if t > self.clock.now]
            if not tries and self._rests(self.life):
                return
            self.run(STILL_SECONDS)

    def _rests(self, life: Life) -> bool:
        still = self.clock.now - life.last_write >= STILL_SECONDS
        return (
            still
            and life.ready
            and life.daemon is not None
            and not self._orders
            and all(
                (runner.is_settled or self._has_failed(runner)) and not self._waits(runner)
                for runner in life.daemon.runners.values()
            )
        )

    def _has_failed(self, runner: Runner) -> bool:
        """Nobody can announce what is under way."""
        return runner.members.group.state is GroupState.FAILED

    def _waits(self, runner: Runner) -> bool:
        """A member that works is taken to have failed: it still has to prove itself."""
        failed = [m.name for m in runner.members.group.members if m.state is FAILED]
        return any(self.works(name) and self.is_answered(name) for name in failed)

    def _unrest(self) -> str:
        """Why the daemon does not come to rest."""
        if self.life is None or self.life.daemon is None:
            return "the daemon does not start"
        if self.life.daemon.failed.done():
            return f"a runner has died: {self.life.daemon.failed.exception()!r}"
        runners = self.life.daemon.runners.values()
        busy = [r.config.name for r in runners if not r.is_settled]
        failed = [r.config.name for r in runners if self._waits(r)]
        return f"it never comes to rest: busy {busy}, failed {failed}, ordered {self._orders}"

    def _at_once(self, judge: Callable[[], None]) -> None:
        try:
            judge()
        except Broken as broken:
            raise InvariantBroken(broken.report) from None

    # The daemon -----------------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.in_force[-1]

    def configure(self, groups: list[GroupPlan]) -> None:
        """Write the file; whoever starts or reloads the daemon next puts it in force."""
        self.groups = groups
        self.config_file.write_text(toml(groups))

    def start(self) -> None:
        """Start the daemon, unless one runs."""
        if self.life is None:
            self.note("the daemon is started")
            self.configure(self.groups)
            self._put_in_force()
            self.life = Life(self)
            self.stopped_cleanly = False

    def stop(self) -> None:
        """SIGTERM."""
        if self.life is not None and self.life.ready:
            self.note("the daemon is stopped")
            self.life.stop()

    def stopped(self, life: Life) -> None:
        """The daemon has stopped; what it has not read is as if it happened afterwards."""
        self.stopped_cleanly = self.disk.intent.clean
        if self.stopped_cleanly:
            self.ledger.doubt_unread(self.config, partial(self.stale, life))
        for device in self.kernel.devices.values():
            if self.stale(life, device.name):  # perhaps it has another MAC
                for held in device.held:
                    self.network.forget(held.text)

    def kill(self) -> None:
        """SIGKILL."""
        if self.life is not None:
            self.note("the daemon is killed")
            self.life.kill()

    def operate(self, operation: str, interface: str, actor: str) -> None:
        """Somebody orders offline, online, hold or release."""
        request = OperationRequest(reason="simulation", actor=actor)
        order = (operation, interface, actor)

        async def carry_out() -> None:
            assert self.life is not None
            assert self.life.daemon is not None
            self._orders.append(order)
            try:
                await self.life.daemon.operate(operation, interface, request, actor)
            except (Refusal, OSError) as error:
                self.note("%s of %s: %s", operation, interface, error)
            finally:
                if order in self._orders:
                    self._orders.remove(order)

        self._ask(carry_out)

    def reload(self) -> None:
        """SIGHUP, or the API."""

        async def carry_out() -> None:
            assert self.life is not None
            assert self.life.daemon is not None
            self._put_in_force()
            self._orders.append(("reload", "", ""))
            try:
                await self.life.daemon.reload("simulation")
            except (ConfigError, OSError) as error:
                self.note("reload: %s", error)
            finally:
                self._orders = [order for order in self._orders if order[0] != "reload"]

        self._ask(carry_out)

    def _ask(self, order: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self.life is not None and self.life.ready:
            self.life.order(order())

    def _put_in_force(self) -> None:
        with suppress(ConfigError):
            config = load(self.config_file, NO_DEFAULTS)
            before = self.in_force[-1].groups if self.in_force else {}
            for name in before.keys() | config.groups.keys():
                if before.get(name) != config.groups.get(name):
                    self.ledger.doubt_group(name)
            self.in_force.append(config)
            self._note_adoptable()

    def _note_adoptable(self) -> None:
        for group in (g for config in self.in_force for g in config.groups.values()):
            found = data_addresses(self, group) if group.adopt else ()
            self.adoptable.update(held.key for _, held in found)

    # What is known --------------------------------------------------------------------------------

    def works(self, name: str) -> bool:
        """Whether a member can carry traffic, as far as anybody on the host can see."""
        device = self.kernel.names.get(name)
        return device is not None and device.link().up and device.link().carrier is not False

    def is_known(self, key: str) -> bool:
        """Whether the daemon runs and has seen the address."""
        daemon = self.life.daemon if self.life is not None else None
        return daemon is not None and any(key in r.books.places for r in daemon.runners.values())

    def is_answered(self, name: str) -> bool:
        """Whether a member, if it is probed at all, gets answers from some target.

        Where there is nobody to probe, it depends on what was before.
        """
        group, device = self.group_in_force(name), self.kernel.names.get(name)
        life = self.life
        if group is None or device is None or life is None or life.daemon is None:
            return True
        runner = life.daemon.runners.get(group.name)
        rows = runner.prober.engine.target_rows if runner is not None else ()
        targets = {target for row in rows if row.member == name for target in row.targets}
        path, alive = self.network.paths[name], self.network.alive.get(device.segment, [])
        answering = targets.intersection(alive) - path.silent if path.loss < 1.0 else set()
        return not rows or bool(answering)

    def usable(self, group: GroupConfig) -> list[str]:
        """Members that work and that nobody has taken offline."""
        offline = self.disk.intent.offline
        return [name for name in group.members if name not in offline and self.works(name)]

    def twin(self, name: str, intent: Intent) -> str | None:
        """Another member that is not offline and has the same hardware address."""
        device, group = self.kernel.names.get(name), self.group_in_force(name)
        for other in group.members if group is not None else ():
            found = self.kernel.names.get(other)
            if other == name or found is None or device is None or other in intent.offline:
                continue
            if found.hwaddr == device.hwaddr:
                return other
        return None

    def stale(self, life: Life, *objects: str) -> bool:
        """Whether something else has touched one of these since the daemon has last read them."""
        read = [life.read_at[name] for name in objects if name in life.read_at]
        if not read:
            return True
        since = min(read)
        return any(self._touched.get(name, 0.0) >= since for name in objects)

    def asked(self, operation: str, interface: str) -> list[str]:
        """Who has ordered this and waits for it."""
        return [a for o, i, a in self._orders if (o, i) == (operation, interface)]

    def was_dropped(self, interface: str) -> bool:
        """Whether a reload has taken the interface out of its group."""
        groups = [
            {g.name for g in config.groups.values() if interface in g.members}
            for config in self.in_force
        ]
        return any(g != groups[0] for g in groups) or not groups[-1]

    def group_in_force(self, interface: str) -> GroupConfig | None:
        """The group of a member, in the newest configuration that has it."""
        for config in reversed(self.in_force):
            for group in config.groups.values():
                if interface in group.members:
                    return group
        return None

    def groups_in_force(self, interface: str) -> list[GroupConfig]:
        """The groups of a member, in each configuration in force."""
        groups = [g for config in self.in_force for g in config.groups.values()]
        return [group for group in groups if interface in group.members]

    def is_kept(self, held: Held) -> bool:
        """Whether the address must not get lost: none of the latest reloads has retired it."""
        declared = [
            any(a.address == held.key for g in config.groups.values() for a in g.addresses)
            for config in self.in_force
        ]
        return all(declared[1:] or declared) or not any(declared)

    # Witnesses ------------------------------------------------------------------------------------

    def _witness(self, effects: Effects) -> None:
        """The kernel has carried out a message."""
        ours = isinstance(effects.by, Connection)
        who = "mpathd" if ours else "outside"
        self.note("%s: %s %s on %s", who, effects.verb, effects.what, effects.device)
        if ours:
            assert self.life is not None
            self.invariants.acted(self.life, effects)
        else:
            self.count()
            self.touch(effects.device, *(h.key for _, h in (*effects.removed, *effects.added)))
            self.touch(*(str(e.key) for e in (*effects.routes_removed, *effects.routes_added)))
            on_purpose = effects.verb not in LINK_VERBS
            if effects.verb == "add":
                self._note_adoptable()
            self.ledger.doubt(effects, on_purpose=on_purpose or self.stopped_cleanly)
        self._peers_notice(effects, ours=ours)

    def _peers_notice(self, effects: Effects, *, ours: bool) -> None:
        """What others do is known on the link: that is not for the daemon to tell.

        Who adds an address makes sure that it is free, and a second copy that goes again, or one
        that the daemon retires, leaves no trace. Without a daemon, all of it is for others to tell.
        """
        alone = self.life is None
        for _, held in effects.added if not ours else ():
            if alone or not self._is_elsewhere(held):
                self.network.forget(held.text)
        for name, held in effects.removed:
            retired = ours and not self.is_kept(held)
            if alone or retired or (held.outside and not ours and self._is_elsewhere(held)):
                self.network.forget(held.text)
                if name in self.kernel.names:
                    self.invariants.silenced(self.kernel.names[name], held.key)

    def _is_elsewhere(self, held: Held) -> bool:
        """Whether another device has the address, too."""
        return any(d.find(held.key) not in (None, held) for d in self.kernel.devices.values())

    def intended(self, before: Intent, after: Intent) -> None:
        """The daemon has stored its intent."""
        changed = before.offline.keys() ^ after.offline.keys()
        self.touch(*changed)
        self.invariants.intended(before, after)

    def decided(self, event: Event) -> None:
        """The daemon has written history."""
        self.note("decided: %s", event.sentence)

    def touch(self, *objects: str) -> None:
        """Something else than the daemon's plan has changed these."""
        self._touched.update(dict.fromkeys(objects, self.clock.now))

    def count(self) -> None:
        """One more event."""
        self.events += 1

    def note(self, text: str, *arguments: object) -> None:
        """Remember for a report."""
        self.trace.append((self.clock.now, text, arguments))

    def broken(self, what: str, detail: str, cause: BaseException | None = None) -> None:
        """Report and stop."""
        lines = [f"{when:10.4f}  {text % arguments}" for when, text, arguments in self.trace]
        head = f"seed {self.seed}: {what} is broken at {self.clock.now:.4f}: {detail}"
        raise Broken("\n".join((head, *lines, head))) from cause
