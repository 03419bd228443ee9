"""The world of the simulated kernel, as ip(8) and the far ends of the cables would change it.

Virtual time follows real time while a test waits, and goes on a little after each change, so that
what the kernel tells is told as soon as Linux would tell it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from random import Random

from ipmp.homes import Codec
from ipmp.kernel import codec
from ipmp.kernel.multipath import gathered
from ipmp.kernel.netlink import NLM_F_APPEND, NLM_F_EXCL, NLM_F_REPLACE, attribute
from ipmp.kernel.protocol import Changes, Kernel
from ipmp.plan import Step
from ipmp.world import (
    AF_INET,
    AF_INET6,
    IFA_F_DEPRECATED,
    IFA_F_NODAD,
    IFA_F_NOPREFIXROUTE,
    IFA_F_PERMANENT,
    Link,
    RouteKey,
    address_of,
)
from tests.kernel.world import MACS, MEMBERS, To, World
from tests.simulation import routes
from tests.simulation.clock import Clock
from tests.simulation.connection import Connection, Faults
from tests.simulation.kernel import Device, SimulatedKernel
from tests.simulation.network import Network
from tests.simulation.payloads import IFA_BROADCAST, RTA_METRICS, RTA_PREF, Held, route_payload

NOTICE_SECONDS = 0.002  # after which a change has been told
OWNERS = {"kernel": 2, "boot": 3, "static": 4, "ra": 9, "zebra": 11, "dhcp": 16, "bgp": 186}
METRICS = {"mtu": 2, "advmss": 8, "hoplimit": 10, "initcwnd": 11}  # RTAX_*
PREFERENCES = {"low": 3, "medium": 0, "high": 1}  # RFC 4191
RTA_FLOW = 11


@contextmanager
def simulated() -> Iterator[tuple[Kernel, World]]:
    """The simulated kernel and its world; used in a running event loop."""
    world = SimulatedWorld()
    passing = asyncio.get_running_loop().create_task(world.pass_time())
    try:
        yield world.connection, world
    finally:
        passing.cancel()
        world.connection.close()


class SimulatedWorld:
    """Implements `World`, and watches what the daemon's side does."""

    codec = Codec(codec.spec_of, codec.declared_spec, gathered)

    def __init__(self) -> None:
        chance = Random(0)
        self._clock = Clock()
        self._kernel = SimulatedKernel(self._clock, chance)
        self._network = Network(self._kernel, self._clock, chance)
        self._faults = Faults(threaded=0.0)
        self.connection = Connection(self._kernel, self._network, self, self._faults, chance)
        self._devices: dict[str, Device] = {}  # by their first names
        self._heard: list[tuple[Device, tuple[str, str]]] = []
        for member in MEMBERS:
            self.insert(member)

    async def pass_time(self) -> None:
        """Let virtual time follow that of the loop, for ever."""
        now = asyncio.get_running_loop().time
        last = now()
        while True:
            await asyncio.sleep(0)
            last, before = now(), last
            self._clock.spend(last - before)

    # Addresses and routes -------------------------------------------------------------------------

    def add_address(self, key: str, member: str, **options: str | int) -> None:
        key, _, length = key.partition("/")
        peer, _, to = str(options.get("peer", "")).partition("/")
        flags = IFA_F_PERMANENT if "valid_lft" not in options else 0
        flags |= IFA_F_NODAD if ":" in key else 0
        flags |= IFA_F_NOPREFIXROUTE if "noprefixroute" in options else 0
        flags |= IFA_F_DEPRECATED if options.get("preferred_lft") == 0 else 0
        extra = b""
        if "brd" in options:
            extra = attribute(IFA_BROADCAST, socket.inet_aton(str(options["brd"])))
        held = Held(
            f"{key}/{length or to}",
            self._devices[member].ifindex,
            flags=flags,
            label=str(options.get("label", self._devices[member].name)),
            peer=peer,
            metric=int(options.get("metric", 0)),
            extra=extra,
        )
        self._kernel.add(held)
        self._told()

    def delete_address(self, key: str, member: str) -> None:
        self._kernel.delete(Held(key, self._devices[member].ifindex))
        self._told()

    def add_route(self, destination: str, member: str, **options: str | int) -> None:
        self._new_route(NLM_F_EXCL, destination, member, options)

    def append_route(self, destination: str, member: str, **options: str | int) -> None:
        self._new_route(NLM_F_APPEND, destination, member, options)

    def replace_route(self, destination: str, member: str, **options: str | int) -> None:
        self._new_route(NLM_F_REPLACE, destination, member, options)

    def delete_route(self, destination: str, **options: str | int) -> None:
        table = int(options.get("table", 254))
        found = next(
            entry
            for key, entries in self._kernel.tables.items()
            for entry in entries
            if (key.destination, key.table) == (destination, table)
        )
        routes.delete(self._kernel, found.raw)
        self._told()

    def _new_route(
        self, flags: int, destination: str, member: str, options: Mapping[str, str | int]
    ) -> None:
        family = AF_INET6 if ":" in f"{destination}{options.get('via', '')}" else AF_INET
        if "from" in options:
            destination += f" from {options['from']}"
        table, metric = int(options.get("table", 254)), int(options.get("metric", 0))
        payload = route_payload(
            RouteKey(family, table, destination, int(str(options.get("tos", 0)), 0), metric),
            self._devices[member].ifindex,
            gateway=str(options["via"]) if "via" in options else None,
            source=str(options["src"]) if "src" in options else None,
            protocol=OWNERS[str(options.get("protocol", "boot"))],
            onlink="onlink" in options,
            extra=_extra(options),
        )
        routes.new(self._kernel, payload, flags)
        self._told()

    # Links ----------------------------------------------------------------------------------------

    def set_up(self, member: str, up: bool) -> None:
        self._kernel.set_up(self._devices[member], up)
        self._told()

    def set_carrier(self, member: str, carrier: bool) -> None:
        self._faults.linkwatch = 0.0 if member in MEMBERS or carrier else 1.0
        self._kernel.set_carrier(self._devices[member], carrier)
        self._told()

    def set_sysctl(self, member: str, name: str, value: int) -> None:
        self._devices[member].sysctls[name] = value

    def rename(self, member: str, name: str) -> None:
        self._kernel.rename(self._devices[member], name)
        self._told()

    def remove(self, member: str) -> None:
        self._kernel.remove(self._devices.pop(member))
        self._told()

    def insert(self, member: str) -> None:
        self._insert(member, MACS[member])

    def insert_slow(self, name: str) -> None:
        self._insert(name, "02:00:00:00:00:12")

    def insert_tunnel(self, name: str) -> None:
        self._insert(name, "")

    def _insert(self, name: str, hwaddr: str) -> None:
        device = self._devices[name] = self._kernel.create(name, "link")
        device.hwaddr = hwaddr
        device.sysctls["ipv4.promote_secondaries"] = 1
        self._kernel.set_up(device, True)
        self._told()

    # Packets --------------------------------------------------------------------------------------

    def arrive(self, member: str, destination: str, to: To = "host") -> None:
        if to == "host":
            self._network.arrive(self._devices[member], destination)

    def listen(self) -> object:
        return self._heard

    def announced(self, member: str) -> list[tuple[str, str]]:
        device = self._devices[member]
        found = [said for where, said in self._heard if where is device]
        self._heard = [heard for heard in self._heard if heard[0] is not device]
        return found

    def delivers(self, address: str) -> bool:
        return routes.is_own(self._kernel, address)

    def egress(self, destination: str) -> str | None:
        device = routes.egress(self._kernel, destination)
        return device.name if device is not None else None

    def _told(self) -> None:
        """Let what the kernel tells of a change arrive."""
        self._clock.spend(NOTICE_SECONDS)

    # Watcher of the connection --------------------------------------------------------------------

    def effect(self, what: str) -> None:
        """The daemon may do everything here."""

    def read(self, links: dict[str, Link]) -> None:
        """It may read everything."""

    def looked(self, links: dict[str, Link]) -> None:
        """And look."""

    def refused(self, step: Step, number: int) -> None:
        """The test looks at refusals itself."""

    def heard(self, changes: Changes) -> None:
        """And at what was heard."""

    def sent(self, device: Device, key: str) -> None:
        """A frame is on the link."""
        self._heard.append((device, (address_of(key), device.hwaddr)))


def _extra(options: Mapping[str, str | int]) -> bytes:
    """The attributes of a route that the kernel only keeps."""
    extra = b""
    metrics = [(METRICS[name], value) for name, value in options.items() if name in METRICS]
    if metrics:
        values = (attribute(number, codec.U32.pack(int(value))) for number, value in metrics)
        extra += attribute(RTA_METRICS, b"".join(values))
    if "realm" in options:
        extra += attribute(RTA_FLOW, codec.U32.pack(int(options["realm"])))
    if "pref" in options:
        extra += attribute(RTA_PREF, bytes((PREFERENCES[str(options["pref"])],)))
    return extra
