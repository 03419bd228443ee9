"""Steps and readings, as short as the tests want to write them."""

from __future__ import annotations

from collections.abc import Sequence

from ipmp.kernel.protocol import Failure, Kernel
from ipmp.plan import AddAddress, DeleteAddress, DeleteRoute, ReplaceRoute, Step
from ipmp.world import OWNER, Address, DataAddress, DataRoute, Route, Snapshot
from tests.kernel.world import MEMBERS, World

GROUP = "ipmp0"


async def look(kernel: Kernel, *members: str) -> Snapshot:
    """Read the kernel as the daemon does."""
    return await kernel.snapshot(kernel.links(members or MEMBERS))


async def keys(kernel: Kernel, member: str) -> list[str]:
    """What a member holds, in the kernel's order, without link-local addresses of IPv6."""
    held = (await look(kernel, member)).addresses[member]
    return [key for key in held if not key.startswith("fe80:")]


async def address(kernel: Kernel, key: str, member: str) -> Address:
    """One address as it is found on a member."""
    return (await look(kernel, member)).addresses[member][key]


async def routes(kernel: Kernel, member: str) -> list[Route]:
    """The routes that follow the group and leave through a member."""
    return (await look(kernel, member)).routes[member]


async def do(kernel: Kernel, *steps: Step) -> None:
    """Carry out steps of which none may be refused."""
    assert await attempt(kernel, *steps) == []


async def attempt(kernel: Kernel, *steps: Step) -> Sequence[Failure]:
    """Carry out steps after a look at the links, as the daemon does."""
    kernel.links({step.member for step in steps})
    return await kernel.apply(kernel.prepare(steps))


def add(world: World, key: str, member: str, label: str = "", proto: int = OWNER) -> AddAddress:
    """Add an address that was declared."""
    return AddAddress(DataAddress(world.codec.declared(key), GROUP, 0), member, label, proto)


def copy(world: World, found: Address, member: str, proto: int = OWNER) -> AddAddress:
    """Add the copy of an address that was found on another member."""
    return AddAddress(DataAddress(world.codec.found(found), GROUP, 0), member, "", proto)


def delete(found: Address) -> DeleteAddress:
    """Take away an address that was found."""
    return DeleteAddress(found.key, found.member, found.peer)


def reroute(found: Route, member: str, protocol: int = OWNER) -> ReplaceRoute:
    """Let a route that was found leave through another member."""
    return ReplaceRoute(DataRoute(found, GROUP), member, protocol)


def add_beside(found: Route, member: str, *, beside: bool = False) -> ReplaceRoute:
    """Add a route that was found on another member without replacing any."""
    return ReplaceRoute(DataRoute(found, GROUP), member, OWNER, in_place=False, beside=beside)


def delete_route(found: Route) -> DeleteRoute:
    """Remove a route that was found."""
    return DeleteRoute(found, found.member)
