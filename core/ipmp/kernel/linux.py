"""The real kernel behind `protocol.Kernel`: netlink for state, packet sockets for announcements."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ipmp.kernel import codec, frames
from ipmp.kernel.netlink import Events, Message, NetlinkError, Requests
from ipmp.kernel.protocol import Changes, Failure
from ipmp.kernel.quiet import QuietMonitor
from ipmp.plan import AddAddress, AddAnchor, DeleteAddress, DeleteRoute, ReplaceRoute, Step
from ipmp.world import (
    AF_INET,
    AF_INET6,
    IFA_F_NOPREFIXROUTE,
    OWNER,
    SCOPE_LINK,
    Link,
    Snapshot,
    address_of,
    is_ipv4,
)

RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE = 1, 5, 7
RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE = 9, 11

#: A local IPv6 route appears 110-750 us after the ACK of its address (pyroute2-eval 3.2).
LOCAL_ROUTE_SECONDS = 0.1

_ADDED = codec.RTM_NEWADDR

#: Outcomes that leave the kernel as the step wanted it.
ALREADY_SO = {
    AddAddress: {errno.EEXIST},
    AddAnchor: {errno.EEXIST},
    DeleteAddress: {errno.EADDRNOTAVAIL, errno.ENODEV},
    DeleteRoute: {errno.ESRCH, errno.ENODEV},
    ReplaceRoute: set[int](),
}


class LinuxKernel:
    """Implements `protocol.Kernel` for the network namespace that the process is in."""

    def __init__(self) -> None:
        self._requests = Requests()
        self._poll = Requests()  # carrier is asked while a batch is under way
        self._events: Events | None = None
        self._local_routes = Events(())
        self._sender = frames.Sender()
        self._links: dict[str, Link] = {}
        self._link_answers: dict[str, tuple[bytes, Link]] = {}
        self._routers: set[str] = set()
        self._expected: set[tuple[int, int, str]] = set()  # IPv6 address events we will cause
        self._turn = asyncio.Lock()  # of apply
        self._members: tuple[str, ...] = ()
        self._callback: Callable[[Changes], None] = lambda changes: None

    def close(self) -> None:
        """Release all sockets."""
        if self._events is not None:
            asyncio.get_running_loop().remove_reader(self._events.fileno())
            self._events.close()
        for closing in (self._requests, self._poll, self._local_routes, self._sender):
            closing.close()

    # Watching -----------------------------------------------------------------------------------

    def watch(self, members: Iterable[str], callback: Callable[[Changes], None]) -> None:
        """Call back when something else than ourselves changes one of these members."""
        self._members = tuple(members)
        self._callback = callback
        if self._events is None:
            self._events = Events(
                (
                    RTNLGRP_LINK,
                    RTNLGRP_IPV4_IFADDR,
                    RTNLGRP_IPV6_IFADDR,
                    RTNLGRP_IPV4_ROUTE,
                    RTNLGRP_IPV6_ROUTE,
                )
            )
            asyncio.get_running_loop().add_reader(self._events.fileno(), self._read_events)

    def _read_events(self) -> None:
        assert self._events is not None
        received, overrun = self._events.read()
        changes = Changes(overrun=overrun)
        names = {link.ifindex: name for name, link in self._links.items()}
        for message in received:
            if message.port != self._requests.port:
                self._note(message, names, changes)
        if changes != Changes():
            self._callback(changes)

    def _note(self, message: Message, names: dict[int, str], changes: Changes) -> None:
        kind, payload = message.type, message.payload
        if kind in (codec.RTM_NEWLINK, codec.RTM_DELLINK):
            link = codec.parse_link(payload)
            name = link.name if link.name in self._members else names.get(link.ifindex)
            if name is not None:
                changes.links.add(name)
        elif kind in (codec.RTM_NEWADDR, codec.RTM_DELADDR):
            name = names.get(codec.address_index(payload))
            if name is None:
                return
            key = codec.parse_address(payload, name).key
            if (kind, codec.address_index(payload), key) not in self._expected:
                changes.addresses.add((name, key))
        elif kind in (codec.RTM_NEWROUTE, codec.RTM_DELROUTE) and codec.follows_group(payload):
            name = names.get(codec.route_index(payload))
            route = codec.parse_route(payload, name) if name is not None else None
            if route is not None:
                changes.routes = True
                if kind == codec.RTM_DELROUTE and message.port:  # 0: the kernel itself
                    changes.removed_routes.add(route.key)

    # Reading ------------------------------------------------------------------------------------

    def links(self, members: Iterable[str]) -> dict[str, Link]:
        """Read the links now; asking also flushes delayed carrier events (linux-peers 3.2)."""
        found: dict[str, Link] = {}
        for name in members:
            try:
                payload = self._poll.ask(codec.link_request(name))
            except NetlinkError:
                self._link_answers.pop(name, None)
                self._links.pop(name, None)
                continue
            known = self._link_answers.get(name)
            if known is None or known[0] != payload:
                known = self._link_answers[name] = (payload, codec.parse_link(payload))
            if known[1].name == name:
                found[name] = known[1]
        self._links.update(found)
        return found

    async def snapshot(self, links: dict[str, Link]) -> Snapshot:
        """Read addresses and routes of these links; yields to the loop while it reads."""
        snapshot = Snapshot(links=links, addresses={}, routes={})
        for name, link in links.items():
            held = snapshot.addresses[name] = {}
            routes = snapshot.routes[name] = []
            for family in (AF_INET, AF_INET6):
                addresses = await self._requests.dump(
                    codec.address_dump(family, link.ifindex),
                    lambda m, name=name: codec.parse_address(m.payload, name),  # type: ignore[misc]
                )
                held.update((address.key, address) for address in addresses)
                routes += await self._requests.dump(
                    codec.route_dump(family, link.ifindex),
                    lambda m, name=name: codec.parse_route(m.payload, name),  # type: ignore[misc]
                )
            self._routers.discard(name)
            if _forwards(name):
                self._routers.add(name)
        return snapshot

    # Changing -----------------------------------------------------------------------------------

    async def apply(self, steps: Sequence[Step]) -> list[Failure]:
        """Carry out steps in order and return those that the kernel refused.

        IPv6 additions are done only when the kernel's own local route is there: the ACK of
        RTM_NEWADDR comes too early (pyroute2-eval 3.2).
        """
        async with self._turn:
            self._expect(steps)
            if not any(kind == _ADDED for kind, _, _ in self._expected):
                return (await self._apply(steps))[0]
            self._local_routes.join(RTNLGRP_IPV6_ROUTE)
            try:
                failures, fresh = await self._apply(steps)
                await self._await_local_routes(fresh)
            finally:
                self._local_routes.leave(RTNLGRP_IPV6_ROUTE)
                self._local_routes.read()
        return failures

    def _expect(self, steps: Sequence[Step]) -> None:
        """The kernel does not say who caused an IPv6 address event (its port is 0): remember.

        Events of the steps before these are read first, while they are still known to be ours.
        """
        if self._events is not None:
            self._read_events()
        self._expected = set()
        for step in steps:
            link = self._links.get(step.member)
            if link is None:
                continue
            if isinstance(step, AddAddress) and not is_ipv4(step.address.key):
                self._expected.add((_ADDED, link.ifindex, step.address.key))
            elif isinstance(step, DeleteAddress) and not is_ipv4(step.key):
                self._expected.add((codec.RTM_DELADDR, link.ifindex, step.key))

    async def _apply(self, steps: Sequence[Step]) -> tuple[list[Failure], set[tuple[int, str]]]:
        """The steps refused, and the IPv6 addresses (with interface index) that are new."""
        possible = [step for step in steps if step.member in self._links]
        refused = await self._requests.batch([self._encode(step) for step in possible])
        gone = [step for step in steps if step.member not in self._links]
        refusals = [(possible[r.index], r.errno, r.text) for r in refused]
        refusals += [(step, errno.ENODEV, os.strerror(errno.ENODEV)) for step in gone]
        failures = [Failure(*r) for r in refusals if r[1] not in ALREADY_SO[type(r[0])]]
        untouched = {r.index for r in refused}
        fresh = {
            (self._links[step.member].ifindex, address_of(step.address.key))
            for index, step in enumerate(possible)
            if index not in untouched
            and isinstance(step, AddAddress)
            and not is_ipv4(step.address.key)
        }
        return failures, fresh

    def _encode(self, step: Step) -> bytes:
        link = self._links[step.member]
        match step:
            case AddAddress(address=address, label=label, proto=proto):
                return codec.add_address(address.spec, link.ifindex, label, proto)
            case AddAnchor():
                spec = codec.declared_spec(anchor(link), IFA_F_NOPREFIXROUTE, SCOPE_LINK)
                return codec.add_address(spec, link.ifindex, "", OWNER)
            case DeleteAddress(key=key):
                return codec.delete_address(key, link.ifindex)
            case ReplaceRoute(route=route, protocol=protocol):
                return codec.replace_route(route.route, link.ifindex, protocol)
            case DeleteRoute(route=route):
                return codec.delete_route(route, link.ifindex)
            case _:
                raise TypeError(f"not a kernel step: {step}")

    async def _await_local_routes(self, pending: set[tuple[int, str]]) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._local_routes.fileno(), readable.set)
        try:
            async with asyncio.timeout(LOCAL_ROUTE_SECONDS):
                while pending:
                    await readable.wait()
                    readable.clear()
                    received, _ = self._local_routes.read()
                    pending -= {found for m in received if (found := codec.is_local_route(m))}
        except TimeoutError:
            return  # the address is there; the worst is a packet lost on arrival
        finally:
            loop.remove_reader(self._local_routes.fileno())

    # Packets ------------------------------------------------------------------------------------

    def announce(self, key: str, member: str) -> None:
        """Send one announcement from the member that has the address."""
        link = self._links.get(member)
        if link is None:
            raise OSError(errno.ENODEV, f"{member} is gone")
        hwaddr, address = bytes.fromhex(link.hwaddr.replace(":", "")), address_of(key)
        if is_ipv4(key):
            frame = frames.gratuitous_arp(hwaddr, address)
        else:
            frame = frames.unsolicited_na(hwaddr, address, router=member in self._routers)
        self._sender.send(link.ifindex, member, frame)

    def count_unicast(self, member: str, keys: Iterable[str]) -> QuietMonitor:
        """Start to count what still arrives on a member for these addresses."""
        return QuietMonitor(member, keys)


def anchor(link: Link) -> str:
    """The link-scope address that stays on a member without any other IPv4 address.

    From 169.254.1.0 - 169.254.254.255 (RFC 3927), derived from the MAC, so it is stable.
    """
    low = bytes.fromhex(link.hwaddr.replace(":", ""))[-2:]
    return f"{socket.inet_ntoa(bytes((169, 254, 1 + low[0] % 254, low[1])))}/32"


def _forwards(name: str) -> bool:
    """Whether this host is a router on the member: the Router flag of its NAs follows."""
    try:
        return Path(f"/proc/sys/net/ipv6/conf/{name}/forwarding").read_text().strip() == "1"
    except OSError:
        return False
