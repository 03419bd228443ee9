"""A host as others see and change it, whichever kernel it has.

The tests of the contract take two fixtures: `kernel`, which is what the daemon holds, and `world`,
which is everybody else: operators, cables, packets. What they prove of Linux holds them, with the
same bodies, for every other `protocol.Kernel`: it only needs a `World` of its own.
"""

from __future__ import annotations

from typing import Literal, Protocol

from ipmp.homes import Codec

MACS = {"ni0": "02:00:00:00:00:10", "ni1": "02:00:00:00:00:11"}
MEMBERS = tuple(MACS)

#: Whom the frame of an arriving packet is for.
To = Literal["host", "broadcast", "other"]


class World(Protocol):
    """What happens to a host with the members ni0 and ni1, and what can be seen of it from outside.

    At first they are up and have their carrier, their MAC, an IPv6 link-local address, and nothing
    else. Options are those of ip(8), by their names there.
    """

    codec: Codec

    def add_address(self, key: str, member: str, **options: str | int) -> None:
        """Configure an address, IPv6 without DAD."""

    def delete_address(self, key: str, member: str) -> None:
        """Remove an address."""

    def add_route(self, destination: str, member: str, **options: str | int) -> None:
        """Add a route; refused where there is one with the same key."""

    def append_route(self, destination: str, member: str, **options: str | int) -> None:
        """Add a route behind those with the same key."""

    def replace_route(self, destination: str, member: str, **options: str | int) -> None:
        """Put a route in the place of the one with the same key."""

    def delete_route(self, destination: str, **options: str | int) -> None:
        """Remove a route."""

    def set_up(self, member: str, up: bool) -> None:
        """Set a member up or down administratively."""

    def set_carrier(self, member: str, carrier: bool) -> None:
        """Pull or plug in the cable of a member."""

    def set_sysctl(self, member: str, name: str, value: int) -> None:
        """Set a member's own value, for example of `ipv4.promote_secondaries`."""

    def rename(self, member: str, name: str) -> None:
        """Give a member another name."""

    def remove(self, member: str) -> None:
        """Take a member out of the host."""

    def insert(self, member: str) -> None:
        """Put it back, up: the same name and MAC, another index, no address but link-local."""

    def insert_slow(self, name: str) -> None:
        """Add an interface, up, of which the kernel may tell a carrier loss up to a second late."""

    def insert_tunnel(self, name: str) -> None:
        """Add an interface without an Ethernet address, up."""

    def arrive(self, member: str, destination: str, to: To = "host") -> None:
        """Let an IP packet to an address come in on a member."""

    def listen(self) -> object:
        """From now on, announcements are heard."""

    def announced(self, member: str) -> list[tuple[str, str]]:
        """(address, MAC) of each announcement on the link of a member since the last call."""

    def delivers(self, address: str) -> bool:
        """Whether a packet to the address would reach this host's own sockets."""

    def egress(self, destination: str) -> str | None:
        """The interface through which a packet would leave; None when there is no route."""
