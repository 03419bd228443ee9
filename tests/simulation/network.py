"""The IP link behind the devices: paths that carry, delay and lose frames, and a peer that listens.

Each device has a `Path` to the peers, by which announcements and probes travel. The peer keeps a
neighbour table as a Linux peer or a router does: an announcement overwrites it, an entry is
resolved when there is none, and nothing else ever changes it (router caches live for hours,
linux-peers 2.3).
"""

from __future__ import annotations

from collections import defaultdict
from random import Random
from typing import Protocol

from ipmp.model import Family
from ipmp.probing.prober import ALL_NODES
from tests.simulation.clock import Clock
from tests.simulation.kernel import Device, SimulatedKernel

EVERYBODY = frozenset(ALL_NODES.values())
STRAY_SECONDS = 0.05  # traffic that is under way to the old member when the peer learns the new one


class Counting(Protocol):
    """Who counts what arrives."""

    def take(self, device: Device, text: str) -> None:
        """One packet has arrived."""


class Path:
    """The way from one device to the peers of its link."""

    def __init__(self) -> None:
        self.delay = 0.0001  # seconds, one way
        self.loss = 0.0  # share of frames that are lost, besides those of the whole network
        self.silent: set[str] = set()  # targets that do not answer on this path


class Network:
    """Everything that is not this host."""

    def __init__(self, kernel: SimulatedKernel, clock: Clock, random: Random) -> None:
        self.kernel, self.clock, self.random = kernel, clock, random
        self.paths: dict[str, Path] = defaultdict(Path)  # by device
        self.loss = 0.0  # share of frames that are lost on any path
        self.alive: dict[str, list[str]] = {}  # link -> hosts and routers that answer
        self.neighbours: dict[str, str] = {}  # address -> hwaddr, as the peer believes
        self.lost: set[str] = set()  # addresses whose last announcement a path has lost
        self.counters: list[Counting] = []
        self._turned: dict[str, tuple[str, float]] = {}  # address -> hwaddr left, and when

    def announce(self, device: Device, text: str) -> None:
        """An announcement leaves the host; the peer hears it unless it is lost on the way."""
        path = self.paths[device.name]
        if not device.works or self.random.random() < self.loss + path.loss:
            self.lost.add(text)
            return
        self.lost.discard(text)
        hwaddr = device.hwaddr
        self.clock.after(path.delay, lambda: self.learn(text, hwaddr))

    def learn(self, text: str, hwaddr: str) -> None:
        """The peer has heard from whom the address is."""
        before = self.neighbours.get(text, "")
        if before != hwaddr:
            self._turned[text] = (before, self.clock.now)
            self.neighbours[text] = hwaddr

    def forget(self, text: str) -> None:
        """The peer's entry has expired."""
        self.neighbours.pop(text, None)

    def resolve(self, text: str) -> str | None:
        """The peer sends to an address: whom does it take for the owner? None: nobody answers."""
        if text not in self.neighbours:
            for device in self.kernel.devices.values():
                if device.works and any(h.text == text and h.usable for h in device.held):
                    self.neighbours[text] = device.hwaddr
                    break
        return self.neighbours.get(text)

    def reaches(self, text: str) -> bool:
        """Whether what the peer sends to the address is delivered (weak host, linux-peers 1.1)."""
        hwaddr = self.resolve(text)
        devices = self.kernel.devices.values()
        arrives = any(d.hwaddr == hwaddr and d.works for d in devices)
        return arrives and any(
            h.text == text and h.usable and (d.up or h.family == 2) for d in devices for h in d.held
        )

    def arrive(self, device: Device, text: str) -> None:
        """One packet for an address arrives on a device, if that has a link."""
        for counter in self.counters if device.works else ():
            counter.take(device, text)

    def traffic(self, device: Device, texts: frozenset[str], seconds: float) -> int:
        """Unicast packets for these addresses that arrived on a device lately."""
        if not device.works or seconds <= 0:
            return 0
        current = sum(self.neighbours.get(text) == device.hwaddr for text in texts)
        stray = sum(
            hwaddr == device.hwaddr and self.clock.now - when < STRAY_SECONDS
            for text in texts
            for hwaddr, when in (self._turned.get(text, ("", 0.0)),)
        )
        return current * self.random.randrange(3) + (stray and self.random.randrange(2))

    # Probes -------------------------------------------------------------------------------------

    def hosts(self, segment: str, family: Family) -> tuple[str, ...]:
        """The routers and hosts of a link that are alive and answer probes."""
        return tuple(
            host for host in self.alive.get(segment, ()) if (":" in host) is (family is Family.IPV6)
        )

    def neighbours_of(self, devices: list[Device], family: Family) -> tuple[str, ...]:
        """Who is in the neighbour table for these devices: whoever lives on their link."""
        segments = dict.fromkeys(device.segment for device in devices)
        return tuple(host for segment in segments for host in self.hosts(segment, family))

    def answers(self, device: Device, target: str, family: Family) -> list[tuple[str, float]]:
        """Who answers a probe that leaves a device, and after how many seconds."""
        path = self.paths[device.name]
        hosts = self.hosts(device.segment, family)
        asked = hosts if target in EVERYBODY else tuple(h for h in hosts if h == target)
        if not device.works:
            return []
        loss = self.loss + path.loss
        return [
            (host, 2 * path.delay + self.random.uniform(0, path.delay))
            for host in asked
            if host not in path.silent and all(self.random.random() >= loss for _ in range(2))
        ]
