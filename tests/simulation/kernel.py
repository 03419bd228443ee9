"""A Linux kernel in memory: links, addresses and what happens to routes, refusals included.

Modelled on net/ipv4/devinet.c and fib_frontend.c and on net/ipv6/addrconf.c; the rows of
linux-peers 1.1 to 1.5 are all here: primaries and secondaries, promotion, the silent flush of a
device's IPv4 routes with its last IPv4 address, admin down, duplicate address detection. What is
asked of routes is in `routes`, and `requests` takes netlink messages. Every operation is told to
`witness` (what it did, and on whose behalf) and its notifications go to the listeners. Operations
raise OSError, as the kernel refuses.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from random import Random
from typing import Protocol

from msgspec.structs import replace

from ipmp.kernel.multipath import parse_spread
from ipmp.world import (
    AF_INET,
    AF_INET6,
    IFA_F_DADFAILED,
    IFA_F_NODAD,
    IFA_F_NOPREFIXROUTE,
    IFA_F_PERMANENT,
    IFA_F_SECONDARY,
    IFA_F_TENTATIVE,
    MADE,
    OWNER,
    SCOPE_LINK,
    Address,
    Link,
    Route,
    RouteKey,
    SpreadRoute,
)
from tests.simulation.clock import Clock
from tests.simulation.payloads import Entry, Held, route_payload

PROTO_KERNEL, TABLE_MAIN = 2, 254
ETHERNET, NONE = 1, 0xFFFE  # ARPHRD_*
KERNEL_LL = 3  # IFA_PROTO of a link-local address


def refused(number: int, text: str = "") -> OSError:
    """How the kernel says no."""
    return OSError(number, text or os.strerror(number))


class Device:
    """One network interface."""

    def __init__(self, name: str, ifindex: int, segment: str, *, reports_carrier: bool) -> None:
        self.name, self.ifindex, self.segment = name, ifindex, segment
        self.up = False
        self.carrier = True
        self.losses = 0  # of the carrier
        self.reports_carrier = reports_carrier
        self.hwaddr = f"02:00:00:00:{ifindex >> 8:02x}:{ifindex & 0xFF:02x}"
        self.ipv4: list[Held] = []
        self.ipv6: list[Held] = []
        self.sysctls: dict[str, int] = {}  # those that `sysctl.Requirement` names; absent: 0
        self.routes: list[Route] | None = None  # of the last dump, while nothing changes

    @property
    def works(self) -> bool:
        """Frames leave and arrive."""
        return self.up and self.carrier

    @property
    def held(self) -> list[Held]:
        """All addresses, in the order of the dumps."""
        return self.ipv4 + self.ipv6

    def find(self, key: str) -> Held | None:
        """The address with this key, if the device has it."""
        return next((h for h in (self.ipv6 if ":" in key else self.ipv4) if h.key == key), None)

    def link(self) -> Link:
        """What RTM_GETLINK tells."""
        carrier = self.works if self.reports_carrier else None
        kind = ETHERNET if self.hwaddr else NONE
        return Link(self.name, self.ifindex, self.up, carrier, self.hwaddr, 1500, kind, self.losses)


class Effects:
    """What one message did, and what listeners are told of it."""

    def __init__(self, by: object | None, verb: str, device: str, what: object = "") -> None:
        self.by, self.verb, self.device, self.what = by, verb, device, what
        self.added: list[tuple[str, Held]] = []  # with the device's name
        self.removed: list[tuple[str, Held]] = []
        self.routes_added: list[Entry] = []
        self.routes_removed: list[Entry] = []
        self.notices: list[Notice] = []


class Notice:
    """One multicast message of rtnetlink."""

    __slots__ = ("by", "entry", "ifindex", "key", "kind", "name", "new", "replaced")

    def __init__(
        self,
        kind: str,
        ifindex: int,
        *,
        name: str = "",
        key: str = "",
        entry: Entry | None = None,
        new: bool = True,
        replaced: bool = False,
        by: object | None = None,
    ) -> None:
        self.kind, self.ifindex, self.name, self.key = kind, ifindex, name, key
        self.entry, self.new, self.replaced, self.by = entry, new, replaced, by


class Listener(Protocol):
    """Who hears the multicast messages."""

    def hear(self, notices: list[Notice]) -> None:
        """Take note of what one message caused."""


class SimulatedKernel:
    """Links, addresses and routes of one network namespace."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self.clock = clock
        self.random = random
        self.devices: dict[int, Device] = {}
        self.names: dict[str, Device] = {}
        self.tables: dict[RouteKey, list[Entry]] = {}
        self.local: set[tuple[str, int]] = set()  # IPv4 routes of the local table
        self.listeners: list[Listener] = []
        self.witness: Callable[[Effects], None] = lambda effects: None
        self._ifindex = 1

    # Links --------------------------------------------------------------------------------------

    def create(self, name: str, segment: str = "", *, reports_carrier: bool = True) -> Device:
        """A new device, down and empty."""
        self._ifindex += 1
        device = Device(name, self._ifindex, segment, reports_carrier=reports_carrier)
        self.devices[device.ifindex] = self.names[name] = device
        self.done(self._link_effects(device, "create"))
        return device

    def remove(self, device: Device) -> None:
        """The device is unplugged or its driver unloaded: everything on it goes with it."""
        effects = self._link_effects(device, "remove")
        self._take_down(device, effects)
        for held in list(device.held):
            self._unlink(device, held, effects)
        for entry in self.entries(device.ifindex):  # what is left has other ways
            self._leave_out(entry, device, effects)
        del self.devices[device.ifindex], self.names[device.name]
        self.done(effects)

    def set_up(self, device: Device, up: bool) -> None:
        """`ip link set up` or `down`."""
        if device.up is up:
            return
        effects = self._link_effects(device, "up" if up else "down")
        if up:
            device.up = True
            self._bring_up(device, effects)
        else:
            self._take_down(device, effects)
            for held in list(device.ipv6):
                keeps = device.sysctls.get("ipv6.keep_addr_on_down", 0) > 0
                if not keeps or held.scope == SCOPE_LINK or not held.flags & IFA_F_PERMANENT:
                    self._unlink(device, held, effects)
                elif not held.flags & IFA_F_NODAD:
                    held.flags |= IFA_F_TENTATIVE
        self.done(effects)

    def set_carrier(self, device: Device, carrier: bool) -> None:
        """A cable is pulled or plugged in: addresses and routes stay, whatever the carrier does."""
        if device.carrier is carrier:
            return
        device.carrier = carrier
        device.losses += not carrier
        effects = self._link_effects(device, "carrier" if carrier else "no-carrier")
        if carrier and device.up:
            self._link_local(device, effects)
        self.done(effects)

    def set_hwaddr(self, device: Device, hwaddr: str) -> None:
        """`ip link set address`."""
        effects = self._link_effects(device, "address")
        device.hwaddr = hwaddr
        self.done(effects)

    def rename(self, device: Device, name: str) -> None:
        """`ip link set name`."""
        effects = self._link_effects(device, "rename")
        del self.names[device.name]
        device.name, self.names[name] = name, device
        device.routes = None
        self.done(effects)

    def _link_effects(self, device: Device, verb: str) -> Effects:
        effects = Effects(None, verb, device.name)
        effects.notices.append(Notice("link", device.ifindex, name=device.name))
        return effects

    def _bring_up(self, device: Device, effects: Effects) -> None:
        """What comes back with the device: local and connected routes, nothing else."""
        for held in device.ipv4:
            self._connect(device, held, effects)
        self._revive_hops(device, AF_INET6)
        if device.ipv4:
            self._revive_hops(device, AF_INET)
        if device.carrier:
            self._link_local(device, effects)
        for held in device.ipv6:
            self._connect(device, held, effects)
            if held.flags & IFA_F_TENTATIVE:
                self._detect_duplicates(device, held)

    def _take_down(self, device: Device, effects: Effects) -> None:
        """IPv4 routes go without a word, IPv6 routes with one each."""
        device.up = False
        for entry in self.entries(device.ifindex):
            self._lose_hop(entry, device, effects, told=entry.key.family == AF_INET6)
        self.local = {(text, index) for text, index in self.local if index != device.ifindex}

    def _link_local(self, device: Device, effects: Effects) -> None:
        number = device.ifindex
        key = f"fe80::ff:fe00:{number:x}/64"
        if device.find(key) is None and not device.sysctls.get("ipv6.disable_ipv6"):
            held = Held(key, number, flags=IFA_F_PERMANENT, scope=SCOPE_LINK, proto=KERNEL_LL)
            device.ipv6.append(held)
            self._tell_address(held, effects, new=True)

    # Addresses ----------------------------------------------------------------------------------

    def add(self, held: Held, by: object | None = None) -> None:
        """Configure an address; raises OSError as the kernel refuses it."""
        device = self.device(held.ifindex)
        effects = Effects(by, "add", device.name, held.key)
        if held.family == AF_INET:
            self._insert_ipv4(device, held)
            self.local.add((held.text, device.ifindex))
        else:
            self._insert_ipv6(device, held)
        held.outside = by is None
        effects.added.append((device.name, held))
        self._tell_address(held, effects, new=True)
        if device.up:
            self._connect(device, held, effects)
            if held.family == AF_INET:
                self._revive_hops(device, AF_INET)
            if held.flags & IFA_F_TENTATIVE:
                self._detect_duplicates(device, held)
        self.done(effects)

    def _insert_ipv4(self, device: Device, held: Held) -> None:
        """A primary goes behind the primaries of its scope, a secondary to the end."""
        place = 0
        held.flags &= ~IFA_F_SECONDARY
        for index, other in enumerate(device.ipv4):
            if not other.flags & IFA_F_SECONDARY and held.scope <= other.scope:
                place = index + 1
            if other.subnet == held.subnet:
                if other.text == held.text:
                    raise refused(errno.EEXIST)
                if other.scope != held.scope:
                    raise refused(errno.EINVAL)
                held.flags |= IFA_F_SECONDARY
        device.ipv4.insert(len(device.ipv4) if held.flags & IFA_F_SECONDARY else place, held)

    def _insert_ipv6(self, device: Device, held: Held) -> None:
        """The newest of a scope comes first; the prefix length makes no difference."""
        if any(other.text == held.text for other in device.ipv6):
            raise refused(errno.EEXIST)
        if device.sysctls.get("ipv6.disable_ipv6"):
            raise refused(errno.EACCES)
        place = next(
            (i for i, other in enumerate(device.ipv6) if other.scope >= held.scope),
            len(device.ipv6),
        )
        if not held.flags & IFA_F_NODAD:
            held.flags |= IFA_F_TENTATIVE
        device.ipv6.insert(place, held)

    def change_metric(self, wanted: Held, by: object | None = None) -> None:
        """Give the connected route of an address another metric; the new route comes first."""
        device = self.device(wanted.ifindex)
        held = device.find(wanted.key)
        if held is None:
            self.add(wanted, by)
            return
        effects = Effects(by, "shift", device.name, held.key)
        before, held.metric = held.route_metric, wanted.metric
        held.flags |= 0  # its payload is another one
        self._tell_address(held, effects, new=True)
        if held.route_metric != before and device.up:
            self._connect(device, held, effects)
            self._drop_connected(device, held, before, effects)
        self.done(effects)

    def delete(self, wanted: Held, by: object | None = None) -> None:
        """Remove exactly this address with this prefix length and, IPv4, this peer."""
        device = self.device(wanted.ifindex)
        held = device.find(wanted.key)
        if held is None or (held.family == AF_INET and held.subnet != wanted.subnet):
            raise refused(errno.EADDRNOTAVAIL)
        effects = Effects(by, "delete", device.name, held.key)
        if held.family == AF_INET and not held.flags & IFA_F_SECONDARY:
            self._delete_primary(device, held, effects)
        else:
            self._unlink(device, held, effects)
        self.done(effects)

    def _delete_primary(self, device: Device, held: Held, effects: Effects) -> None:
        """Its secondaries go with it, unless the first of them is promoted."""
        secondary = [h for h in device.ipv4 if h.flags & IFA_F_SECONDARY]
        siblings = [h for h in secondary if h.subnet == held.subnet]
        if not device.sysctls.get("ipv4.promote_secondaries"):
            for sibling in siblings:
                self._unlink(device, sibling, effects)
            siblings = []
        self._unlink(device, held, effects)
        if siblings:
            promoted = siblings[0]
            promoted.flags &= ~IFA_F_SECONDARY
            device.ipv4.remove(promoted)
            primaries = [i for i, h in enumerate(device.ipv4) if not h.flags & IFA_F_SECONDARY]
            device.ipv4.insert(max(primaries, default=-1) + 1, promoted)
            self._tell_address(promoted, effects, new=True)
            if device.up:
                self._connect(device, promoted, effects)

    def _unlink(self, device: Device, held: Held, effects: Effects) -> None:
        """Take one address off the device, with all that depends on it."""
        (device.ipv4 if held.family == AF_INET else device.ipv6).remove(held)
        effects.removed.append((device.name, held))
        self._tell_address(held, effects, new=False)
        self._disconnect(device, held, effects)
        if held.family == AF_INET:
            if not any(other.text == held.text for other in device.ipv4):
                self.local.discard((held.text, device.ifindex))
            if not self.is_local(held.text):
                self._lose_source(held, effects)
            if not device.ipv4:
                for entry in self.entries(device.ifindex):
                    if entry.key.family == AF_INET:
                        self._lose_hop(entry, device, effects, told=False)
        elif not any(other.text == held.text for d in self.devices.values() for other in d.ipv6):
            self._lose_source(held, effects)

    def is_local(self, text: str) -> bool:
        """Whether an IPv4 address is one of this host's."""
        return any(local == text for local, _ in self.local)

    def _detect_duplicates(self, device: Device, held: Held) -> None:
        """DAD takes one to two seconds and fails when another of our devices defends it."""

        def judge() -> None:
            if held not in device.ipv6 or self.devices.get(device.ifindex) is not device:
                return
            if not (device.up and held.flags & IFA_F_TENTATIVE):
                return
            effects = Effects(None, "dad", device.name, held.key)
            if any(self._defends(d, held.text) for d in self.devices.values() if d is not device):
                held.flags |= IFA_F_DADFAILED
            else:
                held.flags &= ~IFA_F_TENTATIVE
            self._tell_address(held, effects, new=True)
            self.done(effects)

        self.clock.after(1.0 + self.random.random(), judge)

    def _defends(self, device: Device, text: str) -> bool:
        return device.works and any(h.text == text and h.usable for h in device.ipv6)

    def _tell_address(self, held: Held, effects: Effects, *, new: bool) -> None:
        notice = Notice("address", held.ifindex, key=held.key, new=new, by=effects.by)
        effects.notices.append(notice)

    # Connected routes ---------------------------------------------------------------------------

    def _connect(self, device: Device, held: Held, effects: Effects) -> None:
        """The connected route of an address, at the end of those with the same key."""
        if held.family == AF_INET:
            self.local.add((held.text, device.ifindex))
        secondary = held.family == AF_INET and held.flags & IFA_F_SECONDARY
        if held.connected is None or secondary or held.flags & IFA_F_NOPREFIXROUTE:
            return
        key = RouteKey(held.family, TABLE_MAIN, held.connected, 0, held.route_metric)
        for other in self.tables.get(key, ()):
            alike = other.protocol == PROTO_KERNEL or held.family == AF_INET6
            if other.ifindex == device.ifindex and other.gateway is None and alike:
                return
        source = held.text if held.family == AF_INET else None
        raw = route_payload(key, device.ifindex, source=source, protocol=PROTO_KERNEL)
        entry = Entry(raw, device.name)
        self.tables.setdefault(key, []).append(entry)
        effects.routes_added.append(entry)

    def _disconnect(self, device: Device, held: Held, effects: Effects) -> None:
        """Remove the connected route when no other address of the device needs it."""
        if held.family == AF_INET6 and any(
            other.connected == held.connected and not other.flags & IFA_F_NOPREFIXROUTE
            for other in device.ipv6
        ):
            return
        self._drop_connected(device, held, held.route_metric, effects)

    def _drop_connected(self, device: Device, held: Held, metric: int, effects: Effects) -> None:
        source = held.text if held.family == AF_INET else None
        key = RouteKey(held.family, TABLE_MAIN, held.connected or "", 0, metric)
        for entry in list(self.tables.get(key, ())):
            ours = entry.ifindex == device.ifindex and entry.protocol == PROTO_KERNEL
            if ours and entry.source == source:
                self.drop(entry, effects, told=True)

    def _lose_source(self, held: Held, effects: Effects) -> None:
        """The address is nowhere: IPv4 routes with it as source go, IPv6 ones forget it."""
        for entries in list(self.tables.values()):
            for entry in [e for e in entries if e.source == held.text]:
                if held.family == AF_INET6:
                    stripped = entry.without_source(self.devices[entry.ifindex].name)
                    entries[entries.index(entry)] = stripped
                    effects.routes_removed.append(entry)
                    effects.routes_added.append(stripped)
                    self.devices[entry.ifindex].routes = None
                elif entry.key.table == TABLE_MAIN and entry.protocol != PROTO_KERNEL:
                    self.drop(entry, effects, told=True)

    # Routes over several devices ------------------------------------------------------------------

    def _lose_hop(self, entry: Entry, device: Device, effects: Effects, *, told: bool) -> None:
        """The device carries nothing any more: a route that has another way passes it over."""
        entry.dead.add(device.ifindex)
        if entry.dead.issuperset(entry.hops):
            self.drop(entry, effects, told=told)

    def _revive_hops(self, device: Device, family: int) -> None:
        """What passed the device over takes it again."""
        for entry in self.entries(device.ifindex):
            if entry.key.family == family:
                entry.dead.discard(device.ifindex)

    def _leave_out(self, entry: Entry, device: Device, effects: Effects) -> None:
        """The device is gone: IPv4 drops the whole route without a word, IPv6 this way."""
        if entry.key.family == AF_INET:
            self.drop(entry, effects, told=False)
            return
        entries = self.tables[entry.key]
        others = [index for index in entry.hops if index != device.ifindex]
        left = entry.without_hop(device.ifindex, self.devices[others[0]].name)
        entries[entries.index(entry)] = left
        effects.routes_removed.append(entry)
        effects.routes_added.append(left)
        effects.notices.append(Notice("route", left.ifindex, entry=left))

    # What all operations share ------------------------------------------------------------------

    def entries(self, ifindex: int) -> list[Entry]:
        """All routes out of one device."""
        return [e for entries in self.tables.values() for e in entries if ifindex in e.hops]

    def dump_addresses(self, link: Link, family: int) -> dict[str, Address]:
        """The addresses of a device as the daemon reads them."""
        device = self.devices.get(link.ifindex)
        if device is None:
            return {}
        held = device.ipv4 if family == AF_INET else device.ipv6
        return {h.key: h.address(link.name) for h in held}

    def dump_routes(self, link: Link, family: int) -> list[Route]:
        """The routes out of a device as the daemon reads them."""
        device = self.devices.get(link.ifindex)
        if device is None:
            return []
        if device.routes is None:
            parsed = (e.parsed for e in self.entries(device.ifindex))
            device.routes = [replace(r, member=link.name) for r in parsed if r is not None]
        return [route for route in device.routes if route.key.family == family]

    def dump_spread(self, link: Link, family: int, names: Mapping[int, str]) -> list[SpreadRoute]:
        """The routes out of a device that the daemon has spread, or made for that."""
        found = (
            parse_spread(entry.raw, names)
            for entry in self.entries(link.ifindex)
            if entry.key.family == family and entry.protocol in (OWNER, MADE)
        )
        return [route for route in found if route is not None]

    def device(self, ifindex: int) -> Device:
        """The device with this index; ENODEV when it is gone."""
        device = self.devices.get(ifindex)
        if device is None:
            raise refused(errno.ENODEV)
        return device

    def drop(self, entry: Entry, effects: Effects, *, told: bool) -> None:
        """The kernel itself removes a route; its messages carry no port."""
        entries = self.tables[entry.key]
        entries.remove(entry)
        if not entries:
            del self.tables[entry.key]
        effects.routes_removed.append(entry)
        if told:
            effects.notices.append(Notice("route", entry.ifindex, entry=entry, new=False))

    def done(self, effects: Effects) -> None:
        """The message is carried out: tell the witness, then the listeners."""
        for entry in (*effects.routes_added, *effects.routes_removed):
            for index in entry.hops:
                if index in self.devices:
                    self.devices[index].routes = None
        self.witness(effects)
        for listener in self.listeners:
            listener.hear(effects.notices)
