"""The world of the real kernel: ip(8), /proc/sys, and the far ends of the members' cables.

All in one network namespace, which must be the process's own. The far ends have no addresses.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ipmp.homes import Codec
from ipmp.kernel.codec import declared_spec, spec_of
from ipmp.kernel.linux import LinuxKernel
from ipmp.kernel.multipath import gathered
from ipmp.kernel.protocol import Kernel
from ipmp.lab import frames, topology
from tests.kernel.world import MACS, MEMBERS, To, World
from tests.support.wait import eventually

#: For tests of what only Linux does, or has: their `kernel` and `world` are the real ones.
LINUX_ONLY = pytest.mark.parametrize("host", ["linux"], indirect=True)

OTHER_MAC = "02:00:00:00:00:99"
ETH_P_ALL = 0x0003
BROADCAST = "ff:ff:ff:ff:ff:ff"


@contextmanager
def linux() -> Iterator[tuple[Kernel, World]]:
    """The real kernel and its world."""
    world = LinuxWorld()
    kernel = LinuxKernel()
    try:
        yield kernel, world
    finally:
        kernel.close()
        world.close()


class LinuxWorld:
    """Implements `World`."""

    codec = Codec(spec_of, declared_spec, gathered)

    def __init__(self) -> None:
        self._wire: socket.socket | None = None  # on the far ends; to close one takes 16 ms
        self._heard: list[tuple[str, tuple[str, str]]] = []
        self._ports = count(4790)
        for name, value in topology.sysctls(topology.HOST).items():
            Path("/proc/sys/net", name).write_text(value)
        batch("link set lo up", *(command for member in MEMBERS for command in _cable(member)))
        eventually(_link_locals_are_there)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()

    def add_address(self, key: str, member: str, **options: str | int) -> None:
        if ":" not in key:
            ip("addr", "add", key, *_words(options), "dev", member)
            return
        ip("addr", "add", key, *_words(options), "dev", member, "nodad")
        local = ("-6", "route", "show", "table", "local", "dev", member, key.partition("/")[0])
        eventually(lambda: ip(*local))  # only then the kernel tells of it

    def delete_address(self, key: str, member: str) -> None:
        ip("addr", "del", key, "dev", member)

    def add_route(self, destination: str, member: str, **options: str | int) -> None:
        ip(*_route("add", destination, {"dev": member, **options}))

    def append_route(self, destination: str, member: str, **options: str | int) -> None:
        ip(*_route("append", destination, {"dev": member, **options}))

    def replace_route(self, destination: str, member: str, **options: str | int) -> None:
        ip(*_route("replace", destination, {"dev": member, **options}))

    def delete_route(self, destination: str, **options: str | int) -> None:
        ip(*_route("del", destination, options))

    def set_up(self, member: str, up: bool) -> None:
        ip("link", "set", member, "up" if up else "down")

    def set_carrier(self, member: str, carrier: bool) -> None:
        ip("link", "set", _far_end(member), "up" if carrier else "down")

    def set_sysctl(self, member: str, name: str, value: int) -> None:
        family, key = name.split(".")
        Path(f"/proc/sys/net/{family}/conf/{member}/{key}").write_text(str(value))

    def rename(self, member: str, name: str) -> None:
        ip("link", "set", member, "name", name)

    def remove(self, member: str) -> None:
        ip("link", "del", member)

    def insert(self, member: str) -> None:
        batch(*_cable(member))

    def insert_slow(self, name: str) -> None:
        """A bridge; veth is among the few whose carrier the kernel never tells late."""
        batch(
            f"link add {name} type bridge",
            f"link add {name}-port type veth peer name {_far_end(name)}",
            f"link set {name}-port master {name} up",
            f"link set {_far_end(name)} addrgenmode none up",
            f"link set {name} up",
        )

    def insert_tunnel(self, name: str) -> None:
        """VXLAN-GPE carries IP without Ethernet; each device wants a port of its own."""
        port = next(self._ports)
        batch(
            f"link add {name} type vxlan dstport {port} external gpe",
            f"link set {name} up",
        )

    def arrive(self, member: str, destination: str, to: To = "host") -> None:
        mac = {"host": MACS[member], "broadcast": BROADCAST, "other": OTHER_MAC}[to]
        ethernet = bytes.fromhex(f"{mac}{OTHER_MAC}".replace(":", ""))
        self.listen().sendto(ethernet + _packet(destination), (_far_end(member), 0))

    def listen(self) -> socket.socket:
        if self._wire is None:
            kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
            self._wire = socket.socket(socket.AF_PACKET, kind, socket.htons(ETH_P_ALL))
        return self._wire

    def announced(self, member: str) -> list[tuple[str, str]]:
        self._heard += _announcements(self.listen())
        found = [said for where, said in self._heard if where == _far_end(member)]
        self._heard = [heard for heard in self._heard if heard[0] != _far_end(member)]
        return found

    def delivers(self, address: str) -> bool:
        return _lookup(address).get("type") == "local"

    def egress(self, destination: str) -> str | None:
        device: str | None = _lookup(destination).get("dev")
        return device


def batch(*commands: str) -> None:
    """Run commands of ip(8)."""
    ip("-batch", "-", text="\n".join(commands) + "\n")


def ip(*arguments: str, text: str = "") -> str:
    """Run ip(8) and return what it says."""
    command = ("ip", *arguments)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)} {text}: {done.stderr}"
    return done.stdout


def _announcements(wire: socket.socket) -> Iterator[tuple[str, tuple[str, str]]]:
    """Where somebody announced what, of the frames that wait."""
    while True:
        try:
            frame, address = wire.recvfrom(frames.SNAPSHOT)
        except BlockingIOError:
            return
        facts = frames.parse(frame)
        if facts is not None and facts["target_ip"] == facts["sender_ip"]:
            yield address[0], (facts["target_ip"], facts["sender_mac"])


def _cable(member: str) -> Iterator[str]:
    far = _far_end(member)
    yield f"link add {member} address {MACS[member]} type veth peer name {far}"
    yield f"link set {far} addrgenmode none up"
    yield f"link set {member} up"


def _far_end(member: str) -> str:
    return f"to-{member}"


def _link_locals_are_there() -> bool:
    found = Path("/proc/net/if_inet6").read_text().split()
    return all(member in found for member in MEMBERS)


def _lookup(address: str) -> dict[str, Any]:
    command = ("ip", "-j", "-d", "route", "get", address)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout)[0] if done.returncode == 0 else {}
    return found


def _packet(destination: str) -> bytes:
    """Ethertype and an IP packet without content, of an experimental protocol (RFC 3692)."""
    if ":" in destination:
        head, source = "86dd 60000000 0000 fd 40", "2001:db8:f::1"
    else:
        head, source = "0800 45000014 00000000 40fd0000", "198.51.100.99"
    addresses = (ipaddress.ip_address(address).packed for address in (source, destination))
    return bytes.fromhex(head) + b"".join(addresses)


def _words(options: Mapping[str, str | int]) -> Iterator[str]:
    for name, value in options.items():
        yield name
        if value != "":
            yield str(value)


def _route(what: str, destination: str, options: Mapping[str, str | int]) -> Iterator[str]:
    ipv6 = ":" in f"{destination}{options.get('via', '')}"
    yield from ("-6" if ipv6 else "-4", "route", what, destination)
    yield from _words(options)
