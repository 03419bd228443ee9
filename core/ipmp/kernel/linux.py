"""The real kernel behind `protocol.Kernel`: netlink for state, packet sockets for announcements."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ipmp.kernel import codec, ethtool, frames, link_codec, route_codec
from ipmp.kernel.batches import Batches, Refused
from ipmp.kernel.encoding import AddressEvent, Encoded, encode, is_already_so, is_doubtful
from ipmp.kernel.events import Events, is_local_route
from ipmp.kernel.multipath import parse_spread
from ipmp.kernel.nearby import read_nearby
from ipmp.kernel.netlink import NLM_F_REPLACE, Message, Part, Requests
from ipmp.kernel.probes import ProbeSockets
from ipmp.kernel.protocol import Changes, Course, Failure, Prepared
from ipmp.kernel.quiet import QuietMonitor
from ipmp.plan import ShiftRoute, Step
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
    enter,
    is_ipv4,
)

RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE = 1, 5, 7
RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE = 9, 11

#: A local IPv6 route appears 110-750 us after the ACK of its address (pyroute2-eval 3.2).
LOCAL_ROUTE_SECONDS = 0.1


class LinuxKernel:
    """Implements `protocol.Kernel` for the network namespace that the process is in."""

    def __init__(self) -> None:
        self._batches = Batches()
        self._requests = Requests()
        self._poll = Requests()  # carrier is asked while a dump is under way
        self._events: Events | None = None
        self._local_routes = Events(())
        self._sender = frames.Sender()
        self._links: dict[str, Link] = {}
        self._link_answers: dict[str, link_codec.Answer] = {}
        #: Of the last dump of each kind: members by index, and what was told.
        self._told: dict[tuple[Any, ...], tuple[dict[int, str], dict[bytes, Part[Any]]]] = {}
        self._routes: dict[str, set[RouteKey]] = {}  # of members, when they were last read
        self._expected: set[AddressEvent] = set()  # IPv6 address events that we will cause
        self._turn = asyncio.Lock()  # of apply
        self._members: tuple[str, ...] = ()
        self._callback: Callable[[Changes], None] = lambda changes: None

    def close(self) -> None:
        """Release all sockets."""
        if self._events is not None:
            asyncio.get_running_loop().remove_reader(self._events.fileno())
            self._events.close()
        requests = self._batches, self._requests, self._poll
        for closing in (*requests, self._local_routes, self._sender):
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
                ),
                ignored_port=self._batches.port,
            )
            asyncio.get_running_loop().add_reader(self._events.fileno(), self._read_events)

    def _read_events(self) -> None:
        assert self._events is not None
        received, overrun = self._events.read()
        changes = Changes(overrun=overrun)
        names = {ln.ifindex: name for name, ln in self._links.items() if name in self._members}
        for message in received:
            self._note(message, names, changes)
        if changes != Changes():
            self._callback(changes)

    def _note(self, message: Message, names: dict[int, str], changes: Changes) -> None:
        kind, payload = message.type, message.payload
        if kind in (codec.RTM_NEWLINK, codec.RTM_DELLINK):
            link = link_codec.parse_link(payload)
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
        elif kind in (codec.RTM_NEWROUTE, codec.RTM_DELROUTE):
            self._note_route(message, names, changes)

    def _note_route(self, message: Message, names: dict[int, str], changes: Changes) -> None:
        """A route of a member may go by being replaced with one of another owner or interface."""
        if message.type == codec.RTM_NEWROUTE and message.flags & NLM_F_REPLACE:
            key = route_codec.route_key(message.payload)
            if any(key in keys for keys in self._routes.values()):
                changes.routes = True
                changes.removed_routes.add(key)
        if not route_codec.follows_group(message.payload):
            return
        name = names.get(route_codec.route_index(message.payload))
        route = route_codec.parse_route(message.payload, name) if name is not None else None
        spread = parse_spread(message.payload, names)
        if spread is not None and any(member in self._members for member in spread.members):
            changes.routes = True
            if message.type == codec.RTM_DELROUTE and message.port and spread.protocol == OWNER:
                changes.removed_routes.add(spread.key)
        if route is not None:
            changes.routes = True
            if message.type == codec.RTM_DELROUTE and message.port:  # 0: the kernel itself
                changes.removed_routes.add(route.key)

    # Reading ------------------------------------------------------------------------------------

    def links(self, members: Iterable[str]) -> dict[str, Link]:
        """Read the links now; asking also flushes delayed carrier events (linux-peers 3.2)."""
        found: dict[str, Link] = {}
        for name in members:
            link = self._ask(name, link_codec.link_request(name)) or self._renamed(name)
            if link is not None:
                found[name] = link
            else:
                self._link_answers.pop(name, None)
                self._links.pop(name, None)
        self._links.update(found)
        return found

    def _ask(self, name: str, question: bytes) -> Link | None:
        """The answer as a link of this member; parsed only when it has changed."""
        datagram = self._poll.look(question)
        known = self._link_answers.get(name)
        if known is not None and known.is_told_by(datagram):
            return known.link
        answer = link_codec.parse_answer(datagram)
        if answer is None:
            return None
        link = ethtool.with_speed(answer.link)
        if link.name != name:
            link = msgspec.structs.replace(link, name=name, renamed=link.name)
        answer.link = link
        self._link_answers[name] = answer
        return link

    def _renamed(self, name: str) -> Link | None:
        """A member whose name has gone may live on under another one, as the same device."""
        before = self._links.get(name)
        if before is None:
            return None
        link = self._ask(name, link_codec.link_request_by_index(before.ifindex))
        return link if link is not None and link.hwaddr == before.hwaddr else None

    async def snapshot(self, links: dict[str, Link]) -> Snapshot:
        """Read addresses and routes of these links; yields to the loop while it reads."""
        addresses: dict[str, dict[str, Address]] = {name: {} for name in links}
        routes: dict[str, list[Route]] = {name: [] for name in links}
        spread: dict[tuple[RouteIdentity, tuple[str, ...]], SpreadRoute] = {}
        keys: dict[str, set[RouteKey]] = {name: set() for name in links}
        for family in (AF_INET, AF_INET6):
            for address in await self._addresses(family, links):
                enter(addresses, address)
            for name in links:
                for route in await self._route_dump(family, name, links):
                    keys[name].add(route.key)
                    if isinstance(route, Route):
                        routes[name].append(route)
                    else:  # told once for each of its members
                        spread[route.identity, route.members] = route
        self._routes |= keys
        self._link_answers.clear()  # no answer tells that a link is faster now: ask its driver anew
        return Snapshot(links, addresses, routes, list(spread.values()))

    async def _route_dump(
        self, family: int, name: str, links: Mapping[str, Link]
    ) -> list[Route | SpreadRoute]:
        """The routes of one family that leave through a member and are ours to lead."""
        names = {link.ifindex: name for name, link in links.items()}
        return await self._requests.dump(
            route_codec.route_dump(family, links[name].ifindex),
            lambda m: parse_spread(m.payload, names) or route_codec.parse_route(m.payload, name),
            self._known((family, name), names),
        )

    async def _addresses(self, family: int, links: Mapping[str, Link]) -> list[Address]:
        """The addresses of one family on these links, in the kernel's order."""
        names = {link.ifindex: name for name, link in links.items()}

        def parse(message: Message) -> Address | None:
            name = names.get(codec.address_index(message.payload))
            return codec.parse_address(message.payload, name) if name is not None else None

        known = self._known((family, ""), names)
        return await self._requests.dump(codec.address_dump(family), parse, known)

    def _known(self, what: tuple[int, str], names: dict[int, str]) -> dict[bytes, Part[Any]]:
        """What the last dump of this kind told, if the indices of the members are as they were."""
        kind = *what, *names.values()
        before, told = self._told.get(kind, ({}, {}))
        if before != names:
            told = {}
            self._told[kind] = names, told
        return told

    async def nearby(self, links: dict[str, Link], inquiry: Inquiry) -> Nearby:
        """Who else is on these links; yields to the loop while it reads."""
        return await read_nearby(self._requests, self._poll, links.values(), inquiry)

    def probe_sockets(self, readable: Callable[[], None]) -> ProbeSockets:
        """Sockets for the probes of one group."""
        return ProbeSockets(readable)

    # Changing -----------------------------------------------------------------------------------

    def prepare(self, steps: Sequence[Step]) -> Prepared:
        """Encode the steps; those of members that do not exist are refused when applied."""
        encoded = encode(steps, self._links)
        encoded.chunks = self._batches.chunks(encoded.messages)
        return encoded

    async def apply(self, prepared: Prepared, course: Course | None = None) -> list[Failure]:
        """Carry out steps in order and return those that the kernel refused.

        The next batch waits for one with IPv6, whose events must be known to be ours when they
        come, and for one with members that do not exist, which ends its course.
        """
        assert isinstance(prepared, Encoded)
        course = course or Course()
        async with self._turn:
            self._expect(prepared)
            adding = any(kind == codec.RTM_NEWADDR for kind, _, _ in self._expected)
            if adding:
                self._local_routes.join(RTNLGRP_IPV6_ROUTE)
            sending = self._batches.send(prepared.chunks, course)
            if adding:
                await self._await_local_routes(prepared, sending)
            elif prepared.ipv6_events or prepared.gone:
                await sending
            course.over = course.over or bool(prepared.gone)
        return await self._failures(prepared, await sending)

    async def _failures(self, prepared: Encoded, refused: Iterable[Refused]) -> list[Failure]:
        """The steps that are not as they should be now."""
        refusals = [Failure(prepared.possible[r.index], r.errno, r.text) for r in refused]
        gone = os.strerror(errno.ENODEV)
        refusals += [Failure(step, errno.ENODEV, gone) for step in prepared.gone]
        held: set[tuple[str, str]] = set()
        if any(map(is_doubtful, refusals)):
            found = await self._addresses(AF_INET6, self._links)
            held = {(address.key, address.member) for address in found}
        return [refusal for refusal in refusals if not is_already_so(refusal, held)]

    def _expect(self, prepared: Encoded) -> None:
        """The kernel does not say who caused an IPv6 address event (its port is 0): remember.

        Events of the steps before these are read first, while they are still known to be ours.
        """
        if self._events is not None:
            self._read_events()
        self._expected = set(prepared.ipv6_events.values())

    async def _await_local_routes(
        self, prepared: Encoded, sending: Awaitable[list[Refused]]
    ) -> None:
        """IPv6 additions are done only when the kernel's own local route is there.

        The ACK of RTM_NEWADDR comes too early (pyroute2-eval 3.2).
        """
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        try:
            pending = _new_ipv6(prepared, await sending)
            loop.add_reader(self._local_routes.fileno(), readable.set)
            async with asyncio.timeout(LOCAL_ROUTE_SECONDS):
                while pending:
                    await readable.wait()
                    readable.clear()
                    received, _ = self._local_routes.read()
                    pending -= {found for m in received if (found := is_local_route(m))}
        except TimeoutError:
            return  # the address is there; the worst is a packet lost on arrival
        finally:
            loop.remove_reader(self._local_routes.fileno())
            self._local_routes.leave(RTNLGRP_IPV6_ROUTE)
            self._local_routes.read()

    # Packets ------------------------------------------------------------------------------------

    def announce(self, key: str, member: str) -> None:
        """Send one announcement from the member that has the address."""
        link = self._links.get(member)
        if link is None:
            raise OSError(errno.ENODEV, f"{member} is gone")
        hwaddr, address = link.ethernet, address_of(key)
        if hwaddr is None:
            raise OSError(errno.EOPNOTSUPP, f"{member} has no Ethernet address to announce")
        if is_ipv4(key):
            frame = frames.gratuitous_arp(hwaddr, address)
        else:
            frame = frames.unsolicited_na(hwaddr, address, link.router)
        self._sender.send(link.ifindex, frame)

    def count_unicast(self, member: str, keys: Iterable[str]) -> QuietMonitor:
        """Start to count what still arrives on a member for these addresses."""
        link = self._links.get(member)
        return QuietMonitor(link.device if link is not None else member, keys)


def _new_ipv6(prepared: Encoded, refused: Iterable[Refused]) -> set[tuple[int, str]]:
    """The IPv6 addresses, with interface index, that were added."""
    untouched = {r.index for r in refused}
    untouched |= {n for n, step in enumerate(prepared.possible) if isinstance(step, ShiftRoute)}
    return {
        (event[1], address_of(event[2]))
        for index, event in prepared.ipv6_events.items()
        if event[0] == codec.RTM_NEWADDR and index not in untouched
    }
