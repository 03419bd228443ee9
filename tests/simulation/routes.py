"""What the simulated kernel does with RTM_NEWROUTE and RTM_DELROUTE.

Modelled on linux:net/ipv4/fib_trie.c and fib_semantics.c (replace by destination, TOS, metric and
table) and net/ipv6/ip6_fib.c and route.c (replace only what has a gateway by what has one, and only
what has none by what has none). Raises OSError, as the kernel refuses.
"""

from __future__ import annotations

import errno
import os

from ipmp.kernel.netlink import HEADER
from ipmp.world import AF_INET
from tests.simulation.kernel import TABLE_MAIN, Effects, Notice, SimulatedKernel
from tests.simulation.payloads import Entry, covers

HEAD = bytes(HEADER.size)  # a netlink header; nothing in it matters here


def replace(kernel: SimulatedKernel, message: bytes, by: object | None = None) -> None:
    """RTM_NEWROUTE with NLM_F_CREATE | NLM_F_REPLACE."""
    entry = _requested(kernel, message)
    _require_possible(kernel, entry)
    entries = kernel.tables.get(entry.key, [])
    if entry.key.family == AF_INET:
        same = next((i for i, e in enumerate(entries) if e.same_as == entry.same_as), None)
        if same:
            raise _refused(errno.EEXIST)
        place = 0 if entries else None
    else:
        place = next(
            (i for i, e in enumerate(entries) if bool(e.gateway) == bool(entry.gateway)), None
        )
    effects = _effects(kernel, "replace", entry, by)
    if place is None:
        kernel.tables.setdefault(entry.key, []).append(entry)
    else:
        effects.routes_removed.append(entries[place])
        entries[place] = entry
    _told(kernel, effects, entry, new=True)


def append(kernel: SimulatedKernel, message: bytes, by: object | None = None) -> None:
    """RTM_NEWROUTE with NLM_F_CREATE | NLM_F_EXCL, `ip route add`."""
    entry = _requested(kernel, message)
    if kernel.tables.get(entry.key):
        raise _refused(errno.EEXIST)
    _require_possible(kernel, entry)
    effects = _effects(kernel, "add", entry, by)
    kernel.tables[entry.key] = [entry]
    _told(kernel, effects, entry, new=True)


def delete(kernel: SimulatedKernel, message: bytes, by: object | None = None) -> None:
    """RTM_DELROUTE of the first route that is all that the message says."""
    wanted = _requested(kernel, message)
    found = next((e for e in kernel.tables.get(wanted.key, ()) if _is_meant(e, wanted)), None)
    if found is None:
        raise _refused(errno.ESRCH)
    effects = _effects(kernel, "delete", found, by)
    entries = kernel.tables[found.key]
    entries.remove(found)
    if not entries:
        del kernel.tables[found.key]
    effects.routes_removed.append(found)
    _told(kernel, effects, found, new=False)


def _requested(kernel: SimulatedKernel, message: bytes) -> Entry:
    payload = message[len(HEAD) :]
    entry = Entry(payload, "")
    return Entry(payload, kernel.device(entry.ifindex).name)


def _is_meant(entry: Entry, wanted: Entry) -> bool:
    return (
        entry.ifindex == wanted.ifindex
        and entry.protocol == wanted.protocol
        and (entry.gateway == wanted.gateway or wanted.gateway is None)
        and (entry.source == wanted.source or wanted.source is None)
    )


def _require_possible(kernel: SimulatedKernel, entry: Entry) -> None:
    device = kernel.device(entry.ifindex)
    if not device.up:
        raise _refused(errno.ENETDOWN)
    ipv4 = entry.key.family == AF_INET
    if entry.source and not is_own(kernel, entry.source):
        raise _refused(errno.EINVAL)
    gateway = entry.gateway
    if gateway is None or entry.onlink or gateway.startswith("fe80:"):
        return
    own = ipv4 and kernel.is_local(gateway)
    if own or not any(_reaches(e, entry) for e in kernel.entries(entry.ifindex)):
        raise _refused(errno.ENETUNREACH if ipv4 else errno.EHOSTUNREACH)


def _reaches(connected: Entry, entry: Entry) -> bool:
    """A route that makes the gateway a neighbour on the same device."""
    assert entry.gateway is not None
    return (
        connected.gateway is None
        and connected.key.family == entry.key.family
        and connected.key.table == TABLE_MAIN
        and covers(connected.key.destination, entry.gateway)
    )


def is_own(kernel: SimulatedKernel, text: str) -> bool:
    """Whether a route may have this source: the host has the address, whichever device."""
    if ":" not in text:
        return kernel.is_local(text)
    return any(h.text == text and h.usable for d in kernel.devices.values() for h in d.ipv6)


def _effects(kernel: SimulatedKernel, verb: str, entry: Entry, by: object | None) -> Effects:
    return Effects(by, f"{verb} route", kernel.devices[entry.ifindex].name, entry.key)


def _told(kernel: SimulatedKernel, effects: Effects, entry: Entry, *, new: bool) -> None:
    if new:
        effects.routes_added.append(entry)
    effects.notices.append(
        Notice("route", entry.ifindex, entry=entry, new=new, by=effects.by or "a program")
    )
    kernel.done(effects)


def _refused(number: int) -> OSError:
    return OSError(number, os.strerror(number))
