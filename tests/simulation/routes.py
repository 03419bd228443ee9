"""What the simulated kernel does with RTM_NEWROUTE and RTM_DELROUTE, and which way packets go.

Modelled on linux:net/ipv4/fib_trie.c and fib_semantics.c (replace by destination, TOS, metric and
table) and net/ipv6/ip6_fib.c and route.c (replace what has a gateway by what has one, and what has
none by what has none, if there is one). Raises OSError, as the kernel refuses.
"""

from __future__ import annotations

import errno
import zlib

from ipmp.kernel.netlink import NLM_F_APPEND, NLM_F_EXCL, NLM_F_REPLACE
from ipmp.world import AF_INET, AF_INET6
from tests.simulation.kernel import (
    TABLE_MAIN,
    Device,
    Effects,
    Notice,
    SimulatedKernel,
    refused,
)
from tests.simulation.payloads import Entry, covers, dumped_route


def new(kernel: SimulatedKernel, payload: bytes, flags: int, by: object | None = None) -> None:
    """RTM_NEWROUTE: in place of another one, beside others (IPv4), or where there is none."""
    entry = _requested(kernel, payload)
    present = kernel.tables.get(entry.key, [])
    if present and flags & NLM_F_EXCL:
        raise refused(errno.EEXIST)
    _require_possible(kernel, entry)
    place = _place(entry, present) if flags & NLM_F_REPLACE else None
    unseen = place is not None and entry.key.family == AF_INET6  # IPv6 looks no further then
    if not unseen and any(_conflict(entry, e) for i, e in enumerate(present) if i != place):
        raise refused(errno.EEXIST)
    effects = _effects(kernel, "add" if place is None else "replace", entry, by)
    if place is None:
        behind = flags & NLM_F_APPEND or entry.key.family == AF_INET6
        entries = kernel.tables.setdefault(entry.key, [])
        entries.insert(len(entries) if behind else 0, entry)
    else:
        effects.routes_removed.append(present[place])
        present[place] = entry
    effects.routes_added.append(entry)
    _tell(effects, entry, new=True, replaced=place is not None)
    kernel.done(effects)


def _place(entry: Entry, present: list[Entry]) -> int | None:
    """Which route the new one replaces: the first, for IPv6 rather one of the same kind."""
    kinds = (bool(e.gateway) == bool(entry.gateway) for e in present)
    if entry.key.family == AF_INET6 and (alike := [i for i, same in enumerate(kinds) if same]):
        return alike[0]
    return 0 if present else None


def _conflict(entry: Entry, other: Entry) -> bool:
    """Whether both cannot be there; Linux would make one multipath route of two with gateways."""
    if entry.key.family == AF_INET:
        return entry.same_as == other.same_as
    multipath = entry.gateway is not None and other.gateway is not None
    return multipath or (entry.ifindex, entry.gateway) == (other.ifindex, other.gateway)


def delete(kernel: SimulatedKernel, payload: bytes, by: object | None = None) -> None:
    """RTM_DELROUTE of the first route that is all that the message says."""
    wanted = _requested(kernel, payload)
    found = next((e for e in kernel.tables.get(wanted.key, ()) if _is_meant(e, wanted)), None)
    if found is None:
        raise refused(errno.ESRCH)
    effects = _effects(kernel, "delete", found, by)
    kernel.drop(found, effects, told=False)
    _tell(effects, found, new=False)
    kernel.done(effects)


def _is_meant(entry: Entry, wanted: Entry) -> bool:
    return (
        entry.hops == wanted.hops
        and entry.protocol == wanted.protocol
        and (entry.gateway == wanted.gateway or wanted.gateway is None)
        and (entry.source == wanted.source or wanted.source is None)
    )


def _requested(kernel: SimulatedKernel, payload: bytes) -> Entry:
    dumped = dumped_route(payload)
    return Entry(dumped, kernel.device(Entry(dumped, "").ifindex).name)


def _require_possible(kernel: SimulatedKernel, entry: Entry) -> None:
    for index in entry.hops:
        if not kernel.device(index).up:
            raise refused(errno.ENETDOWN)
    if entry.source and not is_own(kernel, entry.source):
        raise refused(errno.EINVAL)
    gateway, ipv4 = entry.gateway, entry.key.family == AF_INET
    if entry.is_spread and gateway is None and not ipv4:
        raise refused(errno.EINVAL)
    if entry.is_spread and ipv4:
        return  # its nexthops are said to be on-link
    if gateway is None or entry.onlink or gateway.startswith("fe80:"):
        return
    own = ipv4 and kernel.is_local(gateway)
    reached = (any(_reaches(e, entry) for e in kernel.entries(i)) for i in entry.hops)
    if own or not all(reached):
        number = errno.ENETUNREACH if ipv4 else errno.EHOSTUNREACH
        raise refused(number, "Nexthop has invalid gateway" if ipv4 else "")


def _reaches(connected: Entry, entry: Entry) -> bool:
    """A route that makes the gateway a neighbour on the same device."""
    assert entry.gateway is not None
    return (
        connected.gateway is None
        and connected.key.family == entry.key.family
        and connected.key.table == TABLE_MAIN
        and covers(connected.key.destination, entry.gateway) >= 0
    )


def is_own(kernel: SimulatedKernel, text: str) -> bool:
    """Whether a route may have this source: the host has the address, whichever device."""
    if ":" not in text:
        return kernel.is_local(text)
    return any(h.text == text and h.usable for d in kernel.devices.values() for h in d.ipv6)


def egress(kernel: SimulatedKernel, destination: str) -> Device | None:
    """The device through which a packet leaves: the first route of the longest prefix.

    Devices without a carrier are passed over where `ignore_routes_with_linkdown` says so; of
    several others that a route has, the flow chooses.
    """
    family = AF_INET6 if ":" in destination else AF_INET
    best: tuple[int, int] | None = None
    found: Device | None = None
    for key, entries in kernel.tables.items():
        if (key.family, key.table) != (family, TABLE_MAIN) or " from " in key.destination:
            continue
        rank = (covers(key.destination, destination), -key.metric)
        flow = zlib.crc32(destination.encode())
        ways = (_ways(kernel, entry) for entry in entries)
        device = next((usable[flow % len(usable)] for usable in ways if usable), None)
        if device is not None and rank[0] >= 0 and (best is None or rank > best):
            best, found = rank, device
    return found


def _ways(kernel: SimulatedKernel, entry: Entry) -> list[Device]:
    """The devices that a route may use now."""
    devices = [kernel.devices[index] for index in entry.hops if index not in entry.dead]
    return [d for d in devices if d.carrier or not _ignored(d, entry.key.family)]


def _ignored(device: Device, family: int) -> bool:
    name = "ipv4" if family == AF_INET else "ipv6"
    return bool(device.sysctls.get(f"{name}.ignore_routes_with_linkdown"))


def _effects(kernel: SimulatedKernel, verb: str, entry: Entry, by: object | None) -> Effects:
    return Effects(by, f"{verb} route", kernel.devices[entry.ifindex].name, entry.key)


def _tell(effects: Effects, entry: Entry, *, new: bool, replaced: bool = False) -> None:
    by = effects.by or "a program"
    notice = Notice("route", entry.ifindex, entry=entry, new=new, replaced=replaced, by=by)
    effects.notices.append(notice)
