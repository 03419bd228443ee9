"""What a simulated host starts with: devices, groups, addresses and routes, drawn from a seed."""

from __future__ import annotations

import json
from random import Random

import msgspec

from ipmp.kernel.netlink import NLM_F_EXCL, attribute
from ipmp.world import (
    AF_INET,
    AF_INET6,
    IFA_F_NODAD,
    IFA_F_NOPREFIXROUTE,
    IFA_F_PERMANENT,
    RouteKey,
)
from tests.simulation import routes
from tests.simulation.kernel import Device, SimulatedKernel
from tests.simulation.payloads import BGP, IFA_BROADCAST, ZEBRA, Held, mtu, route_payload

STATIC, BOOT = 4, 3  # rtm_protocol of who makes routes
TABLES = (254, 254, 254, 100, 1000)


class Subnet(msgspec.Struct, frozen=True):
    """One IP subnet of a link, and its router."""

    pattern: str  # of an address, with one place for a number
    router: str
    ipv4: bool

    def key(self, number: int) -> str:
        """The address with this number, with prefix length."""
        return self.pattern.format(number)


#: The subnets of each link, by the number of its group.
SUBNETS = (
    (
        Subnet("192.0.2.{}/24", "192.0.2.1", True),
        Subnet("192.0.3.{}/26", "192.0.3.1", True),
        Subnet("2001:db8:1::{:x}/64", "2001:db8:1::1", False),
    ),
    (
        Subnet("198.51.100.{}/24", "198.51.100.1", True),
        Subnet("2001:db8:2::{:x}/64", "2001:db8:2::1", False),
    ),
)
FIRST, LAST = 5, 40  # numbers of data addresses
TEST, LEASED = 50, 60  # numbers from which on test and leased addresses are


class GroupPlan(msgspec.Struct):
    """One group as ipmp.toml will say it."""

    name: str
    number: int
    interfaces: list[str]
    standby: list[str]
    addresses: dict[str, str | None] = {}  # declared: key -> home
    adopt: bool = True
    failback: bool = True
    min_usable: int = 1
    rate: int = 10
    method: str = "off"
    detection: str = "10s"
    up_delay: str = "2s"
    outbound: str = "single"
    tests: dict[str, str] = {}

    @property
    def members(self) -> list[str]:
        """Every member, the standby ones last."""
        return self.interfaces + self.standby

    @property
    def subnets(self) -> tuple[Subnet, ...]:
        """The subnets of its link."""
        return SUBNETS[self.number]


def draw_groups(random: Random) -> list[GroupPlan]:
    """One or two groups of one to four members."""
    groups = []
    spread = random.random() < 0.3
    for number in range(1 if random.random() < 0.7 else 2):
        size = random.choice((1, 2, 2, 2, 3, 3, 4))
        names = [f"n{number}{index}" for index in range(size)]
        spare = size > 1 and random.random() < 0.3
        group = GroupPlan(
            name=f"ipmp{number}",
            number=number,
            interfaces=names[:-1] if spare else names,
            standby=names[-1:] if spare else [],
            adopt=random.random() < 0.8,
            failback=random.random() < 0.7,
            rate=random.choice((1, 10, 10, 1000)),
            method=random.choice(("off", "off", "off", "off", "auto", "arp")),
            detection=random.choice(("1s", "3s", "10s")),
            up_delay=random.choice(("0s", "0s", "2s")),
            outbound="spread" if spread else "single",
        )
        group.min_usable = 2 if len(group.members) > 2 and random.random() < 0.2 else 1
        draw_declared(group, random)
        if random.random() < 0.4:
            subnet = group.subnets[0]
            group.tests = {
                name: f"{subnet.key(TEST + index).partition('/')[0]}/32"
                for index, name in enumerate(group.members)
            }
        groups.append(group)
    return groups


def draw_declared(group: GroupPlan, random: Random) -> None:
    """Draw the addresses that the file declares; some have a home."""
    group.addresses = {}
    for _ in range(random.choice((0, 1, 2, 3))):
        key = random.choice(group.subnets).key(random.randint(FIRST, LAST))
        home = random.choice(group.interfaces) if random.random() < 0.5 else None
        group.addresses[key] = home


def toml(groups: list[GroupPlan]) -> str:
    """The configuration file."""
    lines = []
    for group in groups:
        declared = ", ".join(
            f"{{ address = {json.dumps(key)}"
            + (f", home = {json.dumps(home)} }}" if home else " }")
            for key, home in group.addresses.items()
        )
        lines += [
            f"[groups.{group.name}]",
            f"interfaces = {json.dumps(group.interfaces)}",
            f"standby = {json.dumps(group.standby)}",
            f"addresses = [{declared}]",
            f"adopt = {json.dumps(group.adopt)}",
            f"failback = {json.dumps(group.failback)}",
            f"min_usable = {group.min_usable}",
            f"announce = {{ rate = {group.rate} }}",
            f"failure_detection_time = {json.dumps(group.detection)}",
            f"up_delay = {json.dumps(group.up_delay)}",
            f"outbound = {json.dumps(group.outbound)}",
            f"[groups.{group.name}.probe]",
            f"method = {json.dumps(group.method)}",
        ]
        tests = ", ".join(
            f"{name} = {json.dumps(key)}"
            for name, key in group.tests.items()
            if name in group.members
        )
        if tests:
            lines.append(f"test_addresses = {{ {tests} }}")
    return "\n".join(lines) + "\n"


def hosts(group: GroupPlan) -> list[str]:
    """Who else is on the link of a group."""
    return [
        *(subnet.router for subnet in group.subnets),
        *(subnet.key(number).partition("/")[0] for subnet in group.subnets for number in (2, 3)),
        "fe80::1",
        "fe80::2",
    ]


def furnish(kernel: SimulatedKernel, groups: list[GroupPlan], random: Random | None) -> None:
    """Make the devices; what an operator and other programs have put on them is drawn."""
    outsider = kernel.create("out0", "elsewhere")
    kernel.set_up(outsider, True)
    put(kernel, outsider, "203.0.113.5/24")
    for group in groups:
        for name in group.members:
            if random is None:
                kernel.set_up(kernel.create(name, group.name), True)
            else:
                device = kernel.create(name, group.name, reports_carrier=random.random() < 0.95)
                furnish_member(kernel, device, group, random)
        for _ in range(random.randrange(6) if random is not None else 0):
            add_route(kernel, group, random)


def furnish_member(
    kernel: SimulatedKernel, device: Device, group: GroupPlan, random: Random
) -> None:
    """Set a member up; give it data, test and leased addresses."""
    kernel.set_up(device, True)
    if test := group.tests.get(device.name):
        put(kernel, device, test, flags=IFA_F_PERMANENT | IFA_F_NOPREFIXROUTE)
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        key = random.choice(group.subnets).key(random.randint(FIRST, LAST))
        if not any(h.key == key for d in kernel.devices.values() for h in d.held):
            put(kernel, device, key, flags=IFA_F_PERMANENT | IFA_F_NODAD, random=random)
    if random.random() < 0.15:
        key = group.subnets[0].key(LEASED + device.ifindex % 10)
        put(kernel, device, key, flags=0)


def put(
    kernel: SimulatedKernel,
    device: Device,
    key: str,
    *,
    flags: int = IFA_F_PERMANENT | IFA_F_NODAD,
    random: Random | None = None,
) -> Held:
    """Configure an address as a program or operator does, sometimes with special wishes."""
    extra, label = b"", device.name
    if random is not None and ":" not in key:
        if random.random() < 0.5:
            extra = attribute(IFA_BROADCAST, b"\xff\xff\xff\xff")
        if random.random() < 0.2:
            label = f"{device.name}:x{random.randrange(10)}"
    held = Held(key, device.ifindex, flags=flags, label=label, extra=extra)
    kernel.add(held)
    return held


def add_route(kernel: SimulatedKernel, group: GroupPlan, random: Random) -> None:
    """Somebody adds a route out of a member, if the kernel takes it."""
    devices = [kernel.names[n] for n in group.members if n in kernel.names]
    if not devices:
        return
    device = random.choice(devices)
    subnet = random.choice(group.subnets)
    sources = [h.text for h in device.held if h.scope == 0 and (":" not in h.key) == subnet.ipv4]
    gateway = random.choice((subnet.router, subnet.router, None))
    if not subnet.ipv4 and random.random() < 0.5:
        gateway = "fe80::1"
    source = random.choice(sources) if sources and random.random() < 0.4 else None
    raw = route_payload(
        draw_key(group, subnet, random),
        device.ifindex,
        gateway=gateway,
        source=source,
        protocol=random.choice((STATIC, STATIC, BOOT, BGP, ZEBRA)),
        extra=mtu(random.choice((0, 0, 1400))),
    )
    try:
        routes.new(kernel, raw, NLM_F_EXCL)
    except OSError:
        return  # there is one with the same key, or it does not fit


def draw_key(group: GroupPlan, subnet: Subnet, random: Random) -> RouteKey:
    """The key of a new route: default or one of a few destinations, in one of a few tables."""
    number = random.randrange(4)
    if subnet.ipv4:
        family, destination = AF_INET, f"10.{group.number}.{number}.0/24"
    else:
        family, destination = AF_INET6, f"2001:db8:f{group.number}{number}::/64"
    if number == 0:
        destination = "default"
    metric = random.choice((0, 100)) if subnet.ipv4 else random.choice((1024, 1024, 100))
    return RouteKey(family, random.choice(TABLES), destination, 0, metric + 7 * group.number)
