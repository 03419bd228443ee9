"""What one life of the daemon holds of the simulated kernel: implements `protocol.Kernel`.

Mirrors `linux.LinuxKernel` in what matters to the daemon: members are found by the index that the
last `links` told, own changes are not reported back, which refusals are none. Adds what a real
kernel and its neighbours do at their worst: every message takes time, during which the world goes
on; messages are refused; notifications come late, in another order, or not at all.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Protocol

import msgspec
from msgspec.structs import replace

from ipmp.kernel.encoding import Encoded, encode, is_already_so
from ipmp.kernel.multipath import parse_spread
from ipmp.kernel.protocol import Changes, Course, Failure, PassedOver, Prepared
from ipmp.plan import Step
from ipmp.probing import Inquiry, Nearby
from ipmp.world import (
    AF_INET,
    AF_INET6,
    OWNER,
    Address,
    Link,
    Route,
    RouteIdentity,
    RouteKey,
    Snapshot,
    SpreadRoute,
    address_of,
)
from tests.simulation.kernel import Device, Notice, SimulatedKernel, refused
from tests.simulation.network import Network
from tests.simulation.probes import SimulatedProbes
from tests.simulation.requests import request

TRANSIENT = (errno.ENOBUFS, errno.ENOMEM)


class Faults(msgspec.Struct):
    """How bad the world is: probabilities, and times in seconds."""

    refuse: float = 0.0  # a message of a batch
    fail: float = 0.0  # a call as a whole
    lose: float = 0.0  # a notification
    overrun: float = 0.0  # the event socket, at a notification
    late: float = 0.001  # longest delay of a notification
    linkwatch: float = 0.0  # share of link notifications that come up to a second late
    threaded: float = 0.5  # share of batches during which the loop goes on
    message: float = 0.0002  # longest time that a message takes
    loss: float = 0.0  # a frame on the link


def draw_faults(random: Random) -> Faults:
    """How bad one world is; each of its evils may be absent, usual or extreme."""
    return Faults(
        refuse=random.choice((0.0, 0.02, 0.2)),
        fail=random.choice((0.0, 0.005, 0.05)),
        lose=random.choice((0.0, 0.05, 0.5, 1.0)),
        overrun=random.choice((0.0, 0.02)),
        late=random.choice((0.0002, 0.003, 1.0)),
        linkwatch=random.choice((0.0, 0.5)),
        threaded=random.choice((0.0, 0.5, 1.0)),
        message=random.choice((0.0002, 0.0002, 0.02)),
        loss=random.choice((0.0, 0.0, 0.2)),
    )


class Watcher(Protocol):
    """Who is told of everything that the daemon does."""

    def effect(self, what: str) -> None:
        """Something is about to leave the daemon; it may die here."""

    def read(self, links: dict[str, Link]) -> None:
        """A snapshot of these members begins."""

    def looked(self, links: dict[str, Link]) -> None:
        """The daemon has seen these links, and that the other members are absent."""

    def refused(self, step: Step, number: int) -> None:
        """The kernel refuses a step."""

    def sent(self, device: Device, key: str) -> None:
        """A frame leaves the host."""

    def heard(self, changes: Changes) -> None:
        """A notification reaches the daemon."""


class Connection:
    """One daemon's sockets."""

    def __init__(
        self,
        kernel: SimulatedKernel,
        network: Network,
        watcher: Watcher,
        faults: Faults,
        random: Random,
    ) -> None:
        self._kernel, self._network, self._watcher = kernel, network, watcher
        self._faults, self._random = faults, random
        self._links: dict[str, Link] = {}
        self._members: frozenset[str] = frozenset()
        self._routes: dict[str, set[RouteKey]] = {}  # seen on each member
        self._callback: Callable[[Changes], None] | None = None
        self._late: list[list[Notice]] = []  # of links, which the kernel has not told yet
        self._turn = asyncio.Lock()
        self.open = True

    def close(self) -> None:
        """Nothing is heard any more."""
        self.open = False
        self._callback = None
        if self in self._kernel.listeners:
            self._kernel.listeners.remove(self)

    # Watching -----------------------------------------------------------------------------------

    def watch(self, members: Iterable[str], callback: Callable[[Changes], None]) -> None:
        """Call back when something else than ourselves changes one of these members."""
        self._members = frozenset(members)
        if self._callback is None:
            self._kernel.listeners.append(self)
        self._callback = callback

    def hear(self, notices: list[Notice]) -> None:
        """The kernel has sent these messages; they arrive when they arrive."""
        foreign = [n for n in notices if n.by is not self]
        faults, chance = self._faults, self._random.random()
        if not foreign or chance < faults.lose:
            return
        if chance < faults.lose + faults.overrun:
            self._kernel.clock.after(0.0, lambda: self._deliver(Changes(overrun=True)))
            return
        delay = self._random.uniform(0, faults.late)
        if foreign[0].kind == "link" and self._random.random() < faults.linkwatch:
            self._late.append(foreign)
            self._kernel.clock.after(self._random.random(), lambda: self._release(foreign))
        else:
            self._kernel.clock.after(delay, lambda: self._deliver(self._read(foreign)))

    def _release(self, notices: list[Notice]) -> None:
        """Late, unless a look at the link has brought it out (linux:net/core/link_watch.c)."""
        if notices in self._late:
            self._late.remove(notices)
            self._deliver(self._read(notices))

    def _deliver(self, changes: Changes) -> None:
        if self._callback is not None and changes != Changes():
            self._watcher.heard(changes)
            self._callback(changes)

    def _read(self, notices: list[Notice]) -> Changes:
        changes = Changes()
        links = self._links.items()
        names = {link.ifindex: name for name, link in links if name in self._members}
        for notice in notices:
            name = names.get(notice.ifindex)
            if notice.kind == "link":
                name = notice.name if notice.name in self._members else name
                if name is not None:
                    changes.links.add(name)
            elif notice.kind == "address" and name is not None:
                changes.addresses.add((name, notice.key))
            elif notice.kind == "route":
                self._read_route(notice, names, changes)
        return changes

    def _read_route(self, notice: Notice, names: dict[int, str], changes: Changes) -> None:
        assert notice.entry is not None
        key, name = notice.entry.key, names.get(notice.ifindex)
        spread = parse_spread(notice.entry.raw, names)
        if spread is not None and self._members.intersection(spread.members):
            changes.routes = True
            if not notice.new and notice.by is not None and spread.protocol == OWNER:
                changes.removed_routes.add(key)
        if notice.replaced and any(key in keys for keys in self._routes.values()):
            changes.routes = True
            changes.removed_routes.add(key)
        if name is not None and notice.entry.parsed is not None:
            changes.routes = True
            if not notice.new and notice.by is not None:
                changes.removed_routes.add(key)

    # Reading ------------------------------------------------------------------------------------

    def links(self, members: Iterable[str]) -> dict[str, Link]:
        """Read the links now; a device that was renamed is followed."""
        self._may_fail()
        found: dict[str, Link] = {}
        for name in members:
            link = self._find(name)
            if link is None:
                self._links.pop(name, None)
            else:
                found[name] = link
        for notices in [late for late in self._late if late[0].name in found]:
            self._kernel.clock.after(0.0, lambda notices=notices: self._release(notices))
        self._links.update(found)
        self._watcher.looked(self._links)
        return found

    def _find(self, name: str) -> Link | None:
        device = self._kernel.names.get(name)
        if device is not None:
            return device.link()
        before = self._links.get(name)
        device = self._kernel.devices.get(before.ifindex) if before is not None else None
        if device is None:
            return None
        return replace(device.link(), name=name, renamed=device.name)

    async def snapshot(self, links: dict[str, Link]) -> Snapshot:
        """Read addresses and routes of these links, one dump after the other."""
        self._may_fail()
        self._watcher.read(links)
        addresses: dict[str, dict[str, Address]] = {name: {} for name in links}
        routes: dict[str, list[Route]] = {name: [] for name in links}
        spread: dict[tuple[RouteIdentity, tuple[str, ...]], SpreadRoute] = {}
        names = {link.ifindex: name for name, link in links.items()}
        threaded = self._random.random() < self._faults.threaded
        for family in (AF_INET, AF_INET6):
            for name, link in links.items():
                addresses[name] |= self._kernel.dump_addresses(link, family)
            for name, link in links.items():
                await self._spend(threaded)
                routes[name] += self._kernel.dump_routes(link, family)
                for route in self._kernel.dump_spread(link, family, names):
                    spread[route.identity, route.members] = route
        self._routes |= {name: {route.key for route in found} for name, found in routes.items()}
        for over in spread.values():
            for name in self._routes.keys() & over.members:
                self._routes[name].add(over.key)
        return Snapshot(links, addresses, routes, list(spread.values()))

    async def nearby(self, links: dict[str, Link], inquiry: Inquiry) -> Nearby:
        """Who else is on these links, as the neighbour table knows it."""
        self._may_fail()
        found = (self._kernel.devices.get(link.ifindex) for link in links.values())
        devices = [device for device in found if device is not None]
        neighbours = {
            family: self._network.neighbours_of(devices, family) for family in inquiry.neighbours
        }
        own = {h.text for d in self._kernel.devices.values() for h in d.held}
        return Nearby(neighbours=neighbours, own=frozenset(own & inquiry.addresses))

    def probe_sockets(self, readable: Callable[[], None]) -> SimulatedProbes:
        """Sockets for the probes of one group."""
        return SimulatedProbes(self._kernel, self._network, lambda: self.open, readable)

    # Changing -----------------------------------------------------------------------------------

    def prepare(self, steps: Sequence[Step]) -> Prepared:
        """Encode steps for the members as they are now."""
        return encode(steps, self._links)

    async def apply(self, prepared: Prepared, course: Course | None = None) -> list[Failure]:
        """Carry out steps in order and return those that the kernel refused."""
        assert isinstance(prepared, Encoded)
        course = course or Course()
        async with self._turn:
            if course.over:
                raise PassedOver
            try:
                refusals = await self._carry_out(prepared)
            except OSError:
                course.over = True
                raise
            course.over = course.over or bool(refusals)
        held = {
            (h.key, name)
            for name, link in self._links.items()
            if (device := self._kernel.devices.get(link.ifindex))
            for h in device.ipv6
        }
        return [refusal for refusal in refusals if not is_already_so(refusal, held)]

    async def _carry_out(self, prepared: Encoded) -> list[Failure]:
        self._may_fail()
        threaded = self._random.random() < self._faults.threaded
        refusals: list[Failure] = []
        for step, message in zip(prepared.possible, prepared.messages, strict=True):
            await self._spend(threaded)
            refusals += self._send(step, message)
        await self._spend(threaded)
        gone = os.strerror(errno.ENODEV)
        return refusals + [Failure(step, errno.ENODEV, gone) for step in prepared.gone]

    def _send(self, step: Step, message: bytes) -> Iterator[Failure]:
        """Carry out one message, unless the kernel refuses it."""
        self._watcher.effect("message")
        try:
            if self.refuses(step):
                raise refused(self._random.choice(TRANSIENT))
            request(self._kernel, message, self)
        except OSError as error:
            self._watcher.refused(step, error.errno or 0)
            yield Failure(step, error.errno or 0, error.strerror or "")

    def refuses(self, step: Step) -> bool:
        """Whether the kernel is too short of memory for this step."""
        return self._random.random() < self._faults.refuse

    async def _spend(self, threaded: bool) -> None:
        """Let a message take its time: with the loop going on, or while it is held."""
        seconds = self._random.uniform(0, self._faults.message)
        if threaded:
            await asyncio.sleep(seconds)  # virtual time
        else:
            self._kernel.clock.spend(seconds)

    # Packets ------------------------------------------------------------------------------------

    def announce(self, key: str, member: str) -> None:
        """Send one announcement from a member; raises OSError when it cannot."""
        link = self._links.get(member)
        device = self._kernel.devices.get(link.ifindex) if link is not None else None
        if device is None:
            raise refused(errno.ENODEV, f"{member} is gone")
        if not device.hwaddr:
            raise refused(errno.EOPNOTSUPP, f"{member} has no Ethernet address to announce")
        if not device.up:
            raise refused(errno.ENETDOWN)
        self._may_fail()
        self._watcher.effect("frame")
        self._watcher.sent(device, key)
        self._network.announce(device, address_of(key))

    def count_unicast(self, member: str, keys: Iterable[str]) -> Counter:
        """Start to count what still arrives on a member for these addresses; raises OSError."""
        link = self._links.get(member)
        device = self._kernel.names.get(link.device if link is not None else member)
        if device is None:
            raise refused(errno.ENODEV)
        self._may_fail()
        counter = Counter(self._network, device, frozenset(address_of(key) for key in keys))
        self._network.counters.append(counter)
        return counter

    def _may_fail(self) -> None:
        if self._faults.fail and self._random.random() < self._faults.fail:
            raise refused(errno.ENOBUFS)


class Counter:
    """Implements `protocol.QuietCounter` on the simulated network."""

    def __init__(self, network: Network, device: Device, texts: frozenset[str]) -> None:
        self._network, self._device, self._texts = network, device, texts
        self._last = network.clock.now
        self._count = 0

    def arrived(self) -> int:
        """Packets since the last call."""
        now = self._network.clock.now
        since, self._last = now - self._last, now
        count, self._count = self._count, 0
        return count + self._network.traffic(self._device, self._texts, since)

    def take(self, device: Device, text: str) -> None:
        """One packet has arrived."""
        self._count += device is self._device and text in self._texts

    def close(self) -> None:
        """Stop counting."""
        self._network.counters.remove(self)
