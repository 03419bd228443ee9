"""What people, cables and other programs do to the host; each act is one function.

An act takes the world and its own source of chance and does one thing, now. Acts are scheduled as
happenings, so they fall between any two messages of the daemon.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from random import Random

from ipmp.kernel.netlink import NLM_F_REPLACE
from ipmp.world import IFA_F_NODAD, IFA_F_PERMANENT, OWNER
from tests.simulation import routes
from tests.simulation.connection import draw_faults
from tests.simulation.kernel import PROTO_KERNEL, Device
from tests.simulation.payloads import Entry, Held, route_payload
from tests.simulation.scenario import (
    FIRST,
    LAST,
    LEASED,
    GroupPlan,
    add_route,
    draw_declared,
    furnish_member,
    hosts,
    put,
)
from tests.simulation.world import World

Act = Callable[[World, Random], None]

PERSON, PROGRAM = "root (uid 0) via if_mpadm", "remediator"


def _group(world: World, random: Random) -> GroupPlan:
    return random.choice(world.groups)


def _device(world: World, random: Random) -> Device | None:
    return world.kernel.names.get(random.choice(_group(world, random).members))


# Cables and devices -------------------------------------------------------------------------------


def pull_cable(world: World, random: Random) -> None:
    device = _device(world, random)
    if device is not None and device.reports_carrier:
        world.kernel.set_carrier(device, False)


def plug_cable(world: World, random: Random) -> None:
    device = _device(world, random)
    if device is not None:
        world.kernel.set_carrier(device, True)


def flap(world: World, random: Random) -> None:
    """The cable has a loose contact."""
    device = _device(world, random)
    if device is not None and device.reports_carrier:
        world.kernel.set_carrier(device, not device.carrier)
        back = device.carrier
        world.clock.after(random.choice((0.0005, 0.02, 0.3)), lambda: _contact(world, device, back))


def _contact(world: World, device: Device, carrier: bool) -> None:
    if world.kernel.devices.get(device.ifindex) is device:
        world.kernel.set_carrier(device, not carrier)


def set_down(world: World, random: Random) -> None:
    if (device := _device(world, random)) is not None:
        world.kernel.set_up(device, False)


def set_up(world: World, random: Random) -> None:
    if (device := _device(world, random)) is not None:
        world.kernel.set_up(device, True)


def unplug_device(world: World, random: Random) -> None:
    if (device := _device(world, random)) is not None:
        world.kernel.remove(device)


def plug_device(world: World, random: Random) -> None:
    """A missing device comes back with another index and MAC, sometimes configured at once."""
    group = _group(world, random)
    missing = [name for name in group.members if name not in world.kernel.names]
    if not missing:
        return
    device = world.kernel.create(random.choice(missing), group.name)
    if random.random() < 0.3:
        furnish_member(world.kernel, device, group, random)
    elif random.random() < 0.8:
        world.kernel.set_up(device, True)


def change_mac(world: World, random: Random) -> None:
    """`ip link set address`: the link must learn it, and two members must not have the same."""
    if (device := _device(world, random)) is not None:
        others = [d.hwaddr for d in world.kernel.devices.values() if d.segment == device.segment]
        fresh = f"02:00:00:01:00:{random.randrange(256):02x}"
        world.kernel.set_hwaddr(device, random.choice(others) if random.random() < 0.1 else fresh)
        for held in device.held:
            if not world.is_known(held.key):  # so whoever has changed it tells the link
                world.network.forget(held.text)


# The network ----------------------------------------------------------------------------------


def break_path(world: World, random: Random) -> None:
    """A switch port stops forwarding; the carrier stays up."""
    world.network.paths[random.choice(_group(world, random).members)].loss = 1.0


def mend_path(world: World, random: Random) -> None:
    world.network.paths[random.choice(_group(world, random).members)].loss = 0.0


def silence_hosts(world: World, random: Random) -> None:
    """Routers and hosts die: sometimes one, sometimes all of a link."""
    group = _group(world, random)
    alive = world.network.alive.get(group.name, [])
    if alive:
        dead = alive if random.random() < 0.3 else [random.choice(alive)]
        world.network.alive[group.name] = [host for host in alive if host not in dead]


def revive_hosts(world: World, random: Random) -> None:
    group = _group(world, random)
    world.network.alive[group.name] = hosts(group)


# Operators and the remediator ---------------------------------------------------------------------


def _operate(operation: str, *actors: str) -> Act:
    def act(world: World, random: Random) -> None:
        name = random.choice(_group(world, random).members)
        world.operate(operation, name, random.choice(actors))

    return act


offline = _operate("offline", PERSON, PERSON, PROGRAM)
online = _operate("online", PERSON, PERSON, PROGRAM)
hold = _operate("hold", PERSON)
release = _operate("release", PERSON, PERSON, PROGRAM)


# Other programs -----------------------------------------------------------------------------------


def add_address(world: World, random: Random) -> None:
    """An operator or a DHCP client adds an address, perhaps one that another member has."""
    group, device = _group(world, random), _device(world, random)
    if device is None or device.segment != group.name:
        return
    static = [h for n in group.members for h in _held(world, n) if h.flags & IFA_F_PERMANENT]
    data = [h.key for h in static if h.scope == 0 and not h.key.endswith("/32")]
    kind = random.random()
    flags = IFA_F_PERMANENT | (IFA_F_NODAD if random.random() < 0.7 else 0)
    if kind < 0.3 and data:
        key = random.choice(data)
    elif kind < 0.4:
        key, flags = group.subnets[0].key(LEASED + device.ifindex % 10), 0
    else:
        key = random.choice(group.subnets).key(random.randint(FIRST, LAST))
    try:
        held = put(world.kernel, device, key, flags=flags, random=random)
    except OSError:
        return  # it is there
    if random.random() < 0.5 and held.usable:
        world.network.learn(held.text, device.hwaddr)
        world.invariants.spoke(device, key)


def delete_address(world: World, random: Random) -> None:
    """Somebody deletes any address of a member, the daemon's anchor included."""
    device = _device(world, random)
    if device is not None and (keys := [h.key for h in device.held if h.proto != 3]):
        world.kernel.delete(Held(random.choice(keys), device.ifindex))


def new_route(world: World, random: Random) -> None:
    add_route(world.kernel, _group(world, random), random)


def delete_route(world: World, random: Random) -> None:
    if (entry := _route(world, random)) is not None:
        routes.delete(world.kernel, entry.raw)


def replace_route(world: World, random: Random) -> None:
    """`ip route replace`: another gateway or another member for a route that exists."""
    entry, group = _route(world, random), _group(world, random)
    if entry is None or entry.protocol == OWNER:
        return
    device = world.kernel.names.get(random.choice(group.members))
    if device is None or device.segment != world.kernel.devices[entry.ifindex].segment:
        return
    gateway = random.choice((entry.gateway, f"fe80::{random.randrange(2, 4)}"))
    if entry.key.family == 2:
        gateway = random.choice((entry.gateway, *(s.router for s in group.subnets if s.ipv4)))
    raw = route_payload(entry.key, device.ifindex, gateway=gateway, protocol=entry.protocol)
    try:
        routes.new(world.kernel, raw, NLM_F_REPLACE)
    except OSError:
        return


def set_sysctl(world: World, random: Random) -> None:
    """Another program puts a sysctl back to the kernel's default."""
    device = _device(world, random)
    if device is not None and device.sysctls:
        device.sysctls[random.choice(sorted(device.sysctls))] = 0
        world.touch(device.name)


def _held(world: World, name: str) -> list[Held]:
    device = world.kernel.names.get(name)
    return device.held if device is not None else []


def _route(world: World, random: Random) -> Entry | None:
    entries = [e for entries in world.kernel.tables.values() for e in entries]
    found = [e for e in entries if e.protocol != PROTO_KERNEL]
    return random.choice(found) if found else None


# The daemon and its configuration -----------------------------------------------------------------


def kill(world: World, random: Random) -> None:
    world.clock.after(random.choice((0.0, 0.001, 0.05, 2.0)), world.start)
    world.kill()


def kill_at_effect(world: World, random: Random) -> None:
    """Die after a few more messages, frames or files."""
    if world.life is not None:
        world.life.fuse = random.randrange(12)


def stop(world: World, random: Random) -> None:
    world.stop()


def start(world: World, random: Random) -> None:
    world.start()


def reload(world: World, random: Random) -> None:
    """The operator edits the file, more or less well, and reloads."""
    groups = deepcopy(world.groups)
    group = random.choice(groups)
    edit = random.randrange(8)
    if edit == 0:
        group.failback = not group.failback
    elif edit == 1:
        draw_declared(group, random)
    elif edit == 2 and group.addresses:
        group.addresses.popitem()
    elif edit == 3 and len(group.interfaces) > 1:
        gone = group.interfaces.pop(random.randrange(len(group.interfaces)))
        group.addresses = {k: None if home == gone else home for k, home in group.addresses.items()}
        group.min_usable = 1
    elif edit == 4:
        known = [d.name for d in world.kernel.names.values() if d.segment == group.name]
        group.interfaces += [n for n in known if n not in group.members]
    elif edit == 5:
        group.adopt = not group.adopt
    elif edit == 6 and len(groups) > 1 and random.random() < 0.3:
        groups.remove(group)
    elif edit == 7:
        group.outbound = "single" if group.outbound == "spread" else "spread"
    world.configure(groups)
    world.reload()
    if random.random() < 0.1:
        world.reload()


def reload_nonsense(world: World, random: Random) -> None:
    """A file that cannot be used: the old configuration stays in force."""
    if world.life is not None and world.life.ready:
        world.config_file.write_text("[groups.ipmp0]\ninterfaces = 7\n")
        world.reload()
        world.clock.after(0.001, lambda: world.configure(world.groups))


#: How often each act is chosen.
WEIGHTS: dict[Act, int] = {
    pull_cable: 6,
    plug_cable: 10,
    flap: 3,
    set_down: 3,
    set_up: 6,
    unplug_device: 2,
    plug_device: 6,
    change_mac: 1,
    break_path: 1,
    mend_path: 3,
    silence_hosts: 1,
    revive_hosts: 3,
    offline: 6,
    online: 7,
    hold: 1,
    release: 1,
    add_address: 5,
    delete_address: 4,
    new_route: 4,
    delete_route: 2,
    replace_route: 2,
    set_sysctl: 1,
    kill: 2,
    kill_at_effect: 2,
    stop: 1,
    start: 6,
    reload: 2,
    reload_nonsense: 1,
}


class Chaos:
    """Draws acts and when they happen."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = Random(f"{world.seed}/chaos")
        self._faults = draw_faults(self._random)

    def burst(self) -> None:
        """Some acts at random times within a window, and time until after the last of them."""
        random = self._random
        self._world.suffer(self._faults)
        window = random.choice((0.002, 0.05, 0.5, 3.0, 8.0))
        acts = random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=random.randint(1, 12))
        for act in acts:
            self._world.clock.after(random.uniform(0, window), lambda act=act: self._do(act))
        self._world.run(window)

    def _do(self, act: Act) -> None:
        self._world.note("act: %s", act.__name__)
        self._world.count()
        act(self._world, self._random)
