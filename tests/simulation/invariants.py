"""The eight invariants of DESIGN 4, judged from outside: kernel, disk and the peer's view.

Those that hold at every instant are checked after each message of the daemon, each announcement and
each change of its intent; those that hold once a move is over, at rest. A daemon cannot know what
happened after its last reading: where something else has touched the same object since
(`World.stale`), an instant is not judged, the next rest is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ipmp.config import GroupConfig
from ipmp.daemon.operations import AUTOMATION
from ipmp.group import Event
from ipmp.intent import Intent
from ipmp.model import GroupState, InterfaceState
from ipmp.world import (
    AF_INET6,
    IFA_F_DADFAILED,
    IFA_F_NODAD,
    OWNER,
    SCOPE_LINK,
    Link,
    RouteIdentity,
)
from tests.simulation.kernel import PROTO_KERNEL, Device, Effects
from tests.simulation.ledger import Known, data_addresses, follows, group_of
from tests.simulation.payloads import Entry, Held, covers, network_of
from tests.simulation.routes import is_own

if TYPE_CHECKING:
    from tests.simulation.life import Life
    from tests.simulation.world import World

ALWAYS_REDUNDANT = 1
OK, UNKNOWN = InterfaceState.OK, InterfaceState.UNKNOWN


class Invariants:
    """Judges one world; what is broken is told to it with the number of the invariant."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._restless: set[str] = set()
        self._spoke: dict[str, list[int]] = {}  # address -> devices that announced it, last last
        self._verbs: dict[str, Callable[[Life, Effects], None]] = {
            "add": self._added,
            "delete": self._deleted,
            "add route": self._routed,
            "replace route": self._routed,
            "shift": self._shifted,
            "delete route": self._routed,
        }

    # At every instant -----------------------------------------------------------------------------

    def acted(self, life: Life, effects: Effects) -> None:
        """The daemon's message has been carried out."""
        self._verbs[effects.verb](life, effects)
        self._routes_survive(life, effects)

    def _added(self, life: Life, effects: Effects) -> None:
        device, held = self._world.kernel.names[effects.device], effects.added[0][1]
        if _is_anchor(held) or self._is_test(device, held):
            return
        group = self._managing(held.key, device, held)
        if group is None:
            self._broken(8, f"{held.key} is put on {device.name}, which is not its group's")
            return
        if held.family == AF_INET6 and not held.flags & IFA_F_NODAD:
            self._broken(1, f"{held.key} is added to {device.name} with duplicate detection")
        if not self._world.stale(life, held.key, *group.members):
            self._works(life, group, device.name, f"{held.key} is put on it")
            self._failback_is_on(life, group, device, held)
        known = self._world.ledger.addresses.get(held.key)
        if known is not None and known.certain:
            if known.configuration not in (None, held.configuration):
                was, now = known.configuration, held.configuration
                self._broken(3, f"{held.key} is not the same on {device.name}: {was}, now {now}")
            at_home = device.name == known.home and known.marks is not None
            if at_home and known.marks != (held.proto, held.label):
                self._broken(
                    3, f"{held.key} comes home to {device.name} with another mark or label"
                )

    def _deleted(self, life: Life, effects: Effects) -> None:
        world = self._world
        device, held = world.kernel.names[effects.device], effects.removed[-1][1]
        promotes = device.sysctls.get("ipv4.promote_secondaries")
        if len(effects.removed) > 1 and promotes and not world.stale(life, held.key, device.name):
            lost = ", ".join(h.key for _, h in effects.removed[:-1])
            self._broken(1, f"{lost} vanished from {device.name} together with {held.key}")
        if _is_anchor(held) or world.stale(life, held.key, device.name):
            return
        if self._is_test(device, held):
            return
        group = self._managing(held.key, device, held)
        if group is None:
            self._broken(8, f"{held.key} on {device.name} is not ours and is deleted")
            return
        if held.family != AF_INET6 and not device.ipv4 and promotes:
            self._broken(3, f"{device.name} has lost its last IPv4 address: its routes are flushed")
        if world.is_kept(held):
            self._is_elsewhere(life, group, device, held)

    def _shifted(self, life: Life, effects: Effects) -> None:
        """The connected route of an address is put behind others; nothing else changes."""

    def _is_test(self, device: Device, held: Held) -> bool:
        """A test address that the daemon has put there itself."""
        tests = [
            group.probe.test_addresses.get(device.name)
            for config in self._world.in_force
            for group in config.groups.values()
        ]
        return held.key in tests and held.proto == OWNER

    def _is_elsewhere(self, life: Life, group: GroupConfig, device: Device, held: Held) -> None:
        """Make before break: another member has it, and has told the link."""
        world = self._world
        others = [d for d in world.kernel.devices.values() if d is not device]
        holders = [d for d in others if d.find(held.key)]
        if world.stale(life, held.key, *group.members):
            return
        copies = [h for d in holders if (h := d.find(held.key))]
        if not copies or (held.usable and not any(copy.usable for copy in copies)):
            self._broken(1, f"{held.key} is deleted from {device.name} and is nowhere else")
        elif (
            device.works
            and held.usable
            and not {d.ifindex for d in holders}.intersection(self._spoke.get(held.key, ())[-1:])
        ):
            self._broken(4, f"{held.key} is deleted from {device.name} before it is announced")
        if not self._any_works(life, device.name):
            self._broken(7, f"the group has failed, and {held.key} is moved off {device.name}")

    def _routed(self, life: Life, effects: Effects) -> None:
        """Only what follows the group is replaced or deleted."""
        world = self._world
        group = world.group_in_force(effects.device)
        if group is None:
            self._broken(8, f"{effects.what} is changed on {effects.device}, which is no member")
            return
        new = effects.routes_added[0] if effects.routes_added else None
        for old in effects.routes_removed:
            if not world.stale(life, str(old.key), effects.device):
                self._route_goes(old, new)
        if new is not None and not world.stale(life, str(new.key), *group.members):
            for index in new.hops:
                name = world.kernel.devices[index].name
                self._works(life, group, name, f"{new.key} leaves through it")
            if not world.ledger.is_unchanged(new):
                was = world.ledger.routes[new.key, new.gateway].configuration
                self._broken(
                    3, f"{new.key} is not the same any more: {was}, now {new.configuration}"
                )

    def _route_goes(self, old: Entry, new: Entry | None) -> None:
        """It is one of ours, and there is another one like it.

        The kernel replaces the first of those that have the same key, whosever that is.
        """
        others = [e for e in self._world.kernel.tables.get(old.key, ()) if e is not new]
        if old.is_others and all(e.is_others for e in others):
            self._broken(8, f"{old.key} belongs to somebody else (protocol {old.protocol})")
        known = self._world.ledger.routes.get((old.key, old.gateway))
        if known and known.certain and not self._same_routes(old):
            self._broken(3, f"{old.key} via {old.gateway} is gone from every member")

    def _same_routes(self, entry: Entry) -> list[Entry]:
        return [
            e for e in self._world.kernel.tables.get(entry.key, ()) if e.gateway == entry.gateway
        ]

    def _routes_survive(self, life: Life, effects: Effects) -> None:
        """No route is lost as a consequence of moving an address, whoever owns it."""
        if "route" in effects.verb or self._is_retired(effects):
            return
        promotes = self._world.kernel.names[effects.device].sysctls.get("ipv4.promote_secondaries")
        for entry in effects.routes_removed:
            group = self._world.group_in_force(effects.device)
            members = group.members if group is not None else ()
            foreign = self._world.stale(life, str(entry.key), str(effects.what), *members)
            if not promotes or entry.is_made:
                continue  # what secondaries keep alive is somebody else's doing now
            if entry.protocol != PROTO_KERNEL and not foreign:
                what = "is flushed" if not effects.routes_added else "loses its source"
                self._broken(3, f"{entry.key} {what} by {effects.verb} {effects.what}")

    def _is_retired(self, effects: Effects) -> bool:
        """Who takes an address or a member out of the configuration wants its traces gone, too."""
        world = self._world
        left = group_of(world.config, effects.device) is None
        return left or any(not world.is_kept(held) for _, held in effects.removed)

    def announced(self, life: Life, device: Device, key: str) -> None:
        """A frame leaves the host: only the holder may speak."""
        self._world.count()
        self._world.note("announced %s from %s", key, device.name)
        held = device.find(key)
        if held is not None:
            self.spoke(device, key)
        elif not self._world.stale(life, key, device.name):
            self._broken(4, f"{key} is announced from {device.name}, which does not have it")

    def spoke(self, device: Device, key: str) -> None:
        """The last to announce an address on the link is this device."""
        self.silenced(device, key)
        self._spoke.setdefault(key, []).append(device.ifindex)

    def silenced(self, device: Device, key: str) -> None:
        """What this device has said of an address is forgotten on the link."""
        speakers = self._spoke.get(key, [])
        if device.ifindex in speakers:
            speakers.remove(device.ifindex)

    def intended(self, before: Intent, after: Intent) -> None:
        """The intent is stored: who asked for what has changed, and was it allowed?"""
        world = self._world
        for name in after.offline.keys() - before.offline.keys():
            self._may_go_offline(name, after)
        for name in before.offline.keys() - after.offline.keys():
            asked = world.asked("online", name)
            person = not before.offline[name].actor.startswith(AUTOMATION)
            if not world.was_dropped(name) and not any(
                not (actor.startswith(AUTOMATION) and (person or name in before.holds))
                for actor in asked
            ):
                self._broken(6, f"{name} is brought online against what a person decided")
        for name in before.holds.keys() - after.holds.keys():
            asked = world.asked("release", name)
            people = [actor for actor in asked if not actor.startswith(AUTOMATION)]
            if not people and not world.was_dropped(name):
                self._broken(6, f"the hold of {name} is gone, and nobody lifted it")

    def _may_go_offline(self, name: str, after: Intent) -> None:
        world = self._world
        actor = after.offline[name].actor
        if actor not in world.asked("offline", name):
            self._broken(6, f"{name} is offline, and nobody asked for it")
        if name in after.holds and actor.startswith(AUTOMATION):
            self._broken(6, f"{name} is held, and automation takes it offline")
        if not any(self._stays_usable(g, name, after) for g in world.groups_in_force(name)):
            self._broken(5, f"{name} goes offline, and too few stay usable")

    def _stays_usable(self, group: GroupConfig, name: str, after: Intent) -> bool:
        world, life = self._world, self._world.life
        others = [m for m in group.members if m != name and m not in after.offline]
        assert life is not None
        assert life.daemon is not None
        runner = life.daemon.runners.get(group.name)
        if runner is None:
            return False
        twins = {m.name for m in runner.members.group.members if m.event is Event.DUPLICATE}
        usable = [m for m in others if world.works(m) and m not in twins]
        failed = runner.members.group.state is GroupState.FAILED
        return len(usable) >= max(ALWAYS_REDUNDANT, group.min_usable) or (failed and bool(others))

    # At rest --------------------------------------------------------------------------------------

    def at_rest(self, life: Life) -> None:
        """Nothing happens any more: judge every group, and enter what is there."""
        assert life.daemon is not None
        self._states_are_true(life)
        present: set[str] = set()
        routed: set[RouteIdentity] = set()
        for group in self._world.config.groups.values():
            self._addresses_are_placed(life, group, present)
            self._routes_are_placed(life, group, routed)
        self._world.ledger.forget_doubtful(present, routed)

    def _states_are_true(self, life: Life) -> None:
        """STATE of every member is what a look at the link, the path and the intent says."""
        assert life.daemon is not None
        intent, world = self._world.disk.intent, self._world
        for status in life.daemon.status().interfaces:
            state = status.state
            if status.name in intent.offline or world.twin(status.name, intent):
                right = state is InterfaceState.OFFLINE or status.name not in intent.offline
            elif not world.works(status.name):
                right = state is InterfaceState.FAILED
            else:
                right = state in (OK, UNKNOWN) or not world.is_answered(status.name)
            if not right:
                self._broken(2, f"{status.name} is {state}, and that is not true: {status.reason}")
            if (status.offline is None) is (status.name in intent.offline):
                self._broken(6, f"{status.name}: the status does not show who took it offline")
            if status.hold != intent.holds.get(status.name):
                self._broken(6, f"{status.name}: the status does not show its hold")

    def _addresses_are_placed(self, life: Life, group: GroupConfig, present: set[str]) -> None:
        world, ledger = self._world, self._world.ledger
        usable = world.usable(group)
        status = life.daemon.status()  # type: ignore[union-attr]
        states = {i.name: i.state for i in status.interfaces}
        usable = [m for m in usable if self._should_work(m, states[m])]
        copies: dict[str, list[tuple[Device, Held]]] = {}
        for device, held in data_addresses(world, group):
            copies.setdefault(held.key, []).append((device, held))
        present |= copies.keys()
        if not usable:
            return
        wanted = {a.address for a in group.addresses}
        wanted |= {
            k
            for k, known in ledger.addresses.items()
            if known.group == group.name and known.certain
        }
        for key in wanted - copies.keys():
            self._broken(1, f"{key} of {group.name} is on no member, although {usable} work")
        active = self._active(life, group)
        self._restless = self._held_back(life, group)
        homes = {a.address: a.home for a in status.addresses}
        for key, found in copies.items():
            device, held = found[0]
            if len(found) > 1:
                self._broken(2, f"{key} is left on {[d.name for d, _ in found]}")
            if held.flags & IFA_F_DADFAILED and held.proto != OWNER:
                continue  # another host has it, or had it: that is for its owner to put right
            if device.name not in usable or not held.usable:
                self._broken(2, f"{key} is left on {device.name}, and {usable} work")
            if device.name not in active:
                self._broken(2, f"{key} is left on {device.name}, which is kept back")
            if key not in homes:
                self._broken(2, f"{key} on {device.name} is not known to the daemon")
            self._is_home(group, device, held, homes.get(key), active)
            self._peer_knows(device, held)
            self._spoke[key] = [device.ifindex]
            ledger.enter_address(held, group.name, device.name, homes.get(key))

    def _should_work(self, name: str, state: InterfaceState) -> bool:
        """Not if it rightly failed for its probes, or gives way to a twin."""
        world = self._world
        if world.twin(name, world.disk.intent) and state is InterfaceState.OFFLINE:
            return False
        return world.is_answered(name) or state is not InterfaceState.FAILED

    def _held_back(self, life: Life, group: GroupConfig) -> set[str]:
        """Addresses that have moved too often lately (linux-peers 2.3)."""
        assert life.daemon is not None
        books, now = life.daemon.runners[group.name].books, self._world.clock.now
        return {key for key in books.places if books.calm_at(key) > now}

    def _is_home(
        self, group: GroupConfig, device: Device, held: Held, home: str | None, active: list[str]
    ) -> None:
        known = self._world.ledger.addresses.get(held.key)
        if known is not None and known.certain:
            self._is_as_before(held, known, home)
        restless = held.key in self._restless
        if group.failback and home in active and device.name != home and not restless:
            self._broken(2, f"{held.key} is on {device.name}, although its home {home} works")

    def _is_as_before(self, held: Held, known: Known, home: str | None) -> None:
        if known.configuration not in (None, held.configuration):
            was, now = known.configuration, held.configuration
            self._broken(3, f"{held.key} is not the same any more: {was}, now {now}")
        if known.home != home:
            self._broken(2, f"the home of {held.key} was {known.home} and is now {home}")

    def _peer_knows(self, device: Device, held: Held) -> None:
        """The peer sends to the holder, and the packet arrives."""
        network, devices = self._world.network, self._world.kernel.devices.values()
        believed = network.resolve(held.text)
        elsewhere = any(d is not device and d.find(held.key) for d in devices)
        if held.text in network.lost or elsewhere:
            return  # elsewhere: on an interface that has left the group
        if believed != device.hwaddr:
            self._broken(
                4, f"{held.key} is on {device.name} ({device.hwaddr}), the peer sends to {believed}"
            )
        elif not network.reaches(held.text):
            self._broken(1, f"{held.key} on {device.name} cannot be reached")

    def _routes_are_placed(
        self, life: Life, group: GroupConfig, routed: set[RouteIdentity]
    ) -> None:
        world, ledger = self._world, self._world.ledger
        active = self._active(life, group)
        found: dict[RouteIdentity, list[Entry]] = {}
        for entries in world.kernel.tables.values():
            for entry in entries:
                if entry.is_others or not set(group.members) & set(self._names(entry)):
                    continue
                if entry.is_made or entry.is_spread:
                    self._is_spread_rightly(group, entry, active)
                if not entry.is_made:
                    found.setdefault((entry.key, entry.gateway), []).append(entry)
        routed |= found.keys()
        wanted = {i: k for i, k in ledger.routes.items() if k.group == group.name and k.certain}
        for identity, known in wanted.items():
            fit = [m for m in active if _fits(world.kernel.names[m], identity)]
            entries = found.get(identity, [])
            if not fit or (known.source and not is_own(world.kernel, known.source)):
                continue
            if not entries:
                self._broken(3, f"{identity[0]} via {identity[1]} is lost; it fits {fit}")
            elif not any(map(ledger.is_unchanged, entries)):
                self._broken(3, f"{identity[0]} is not the same any more: an attribute is lost")
        for identity, entries in found.items():
            names = [name for entry in entries for name in self._names(entry)]
            source = entries[0].source
            if source and not is_own(world.kernel, source):
                continue  # nobody can set it anew (linux-peers 1.5)
            fit = [m for m in active if _fits(world.kernel.names[m], identity)]
            spread = any(entry.is_spread for entry in entries)
            single = len(set(names)) == 1 and names[0] in fit
            if fit and not (len(entries) == 1 if spread else single):
                self._broken(
                    3, f"{identity[0]} via {identity[1]} leaves through {names}, not {fit}"
                )
            if fit and len(entries) == 1 and not spread:
                self._may_be_single(life, group, entries[0], active)
                ledger.enter_route(entries[0], group.name, names[0])

    def _names(self, entry: Entry) -> list[str]:
        """The devices through which a route leaves."""
        return [self._world.kernel.devices[index].name for index in entry.hops]

    def _is_spread_rightly(self, group: GroupConfig, entry: Entry, active: list[str]) -> None:
        """Only members that carry something take part, and only while the file says so."""
        names = self._names(entry)
        if entry.source and not is_own(self._world.kernel, entry.source):
            return  # nobody can set it anew (linux-peers 1.5); the kernel passes dead ways over
        devices = (self._world.kernel.names[name] for name in active)
        if not any(_fits(device, (entry.key, entry.gateway)) for device in devices):
            return  # there is no way for it
        if active and group.outbound != "spread":
            self._broken(3, f"{entry.key} is spread over {names}, and the group is not")
        if active and not set(active).issuperset(names):
            self._broken(3, f"{entry.key} is spread over {names}, of which only {active} work")

    def _may_be_single(
        self, life: Life, group: GroupConfig, entry: Entry, active: list[str]
    ) -> None:
        """What every active member can carry to a gateway is spread over them."""
        devices = [self._world.kernel.names[name] for name in active]
        alone = len(self._world.kernel.tables[entry.key]) == 1
        if group.outbound != "spread" or len(active) < 2 or not alone or entry.gateway is None:
            return
        own = [a.address for a in life.daemon.status().addresses if a.group == group.name]  # type: ignore[union-attr]
        near = any(covers(network_of(key), entry.gateway) >= 0 for key in own)
        if not near and not entry.gateway.startswith("fe80:"):
            return  # in none of the group's networks
        if all(_asks(device, entry.gateway) for device in devices):
            self._broken(3, f"{entry.key} leaves through {self._names(entry)} only, not {active}")

    def _active(self, life: Life, group: GroupConfig) -> list[str]:
        assert life.daemon is not None
        interfaces = life.daemon.status().interfaces
        return [i.name for i in interfaces if i.group == group.name and i.active]

    # What the daemon knew -------------------------------------------------------------------------

    def _works(self, life: Life, group: GroupConfig, name: str, what: str) -> None:
        """Egress and addresses never go to a member that is known to be dead or offline."""
        if not self._any_works(life, name):
            self._broken(7, f"group {group.name} has failed, and {name} is touched: {what}")
        if name in self._world.disk.intent.offline:
            self._broken(2, f"{name} is offline, and {what}")
        elif not _seems_up(life.seen.get(name)):
            self._broken(2, f"{name} is known to have failed, and {what}")

    def _any_works(self, life: Life, name: str) -> bool:
        offline = self._world.disk.intent.offline
        members = {m for group in self._world.groups_in_force(name) for m in group.members}
        return any(_seems_up(life.seen.get(m)) and m not in offline for m in members)

    def _failback_is_on(self, life: Life, group: GroupConfig, device: Device, held: Held) -> None:
        """FAILBACK=no: an address never leaves an active member for another one."""
        groups = self._world.groups_in_force(device.name)
        if life.daemon is None or any(g.failback for g in groups):
            return
        runner = life.daemon.runners.get(group.name)
        if runner is None:
            return
        for member in runner.members.group.members:
            other = self._world.kernel.names.get(member.name)
            if other is None or other is device or not member.active:
                continue
            copy = other.find(held.key)
            if copy is not None and copy.usable:
                self._broken(
                    6, f"failback is off, and {held.key} leaves {other.name} for {device.name}"
                )

    def _managing(self, key: str, device: Device, held: Held) -> GroupConfig | None:
        """The group, before or after a reload, to which the address belongs on this device."""
        for config in reversed(self._world.in_force):
            group = group_of(config, device.name)
            known = key in self._world.adoptable  # once adopted, it is kept
            if group is None or not (known or held.proto == OWNER or follows(group, device, held)):
                continue
            return group
        return None

    def _broken(self, number: int, what: str) -> None:
        self._world.broken(f"invariant {number}", what)


def _is_anchor(held: Held) -> bool:
    return held.scope == SCOPE_LINK and held.proto == OWNER


def _seems_up(link: Link | None) -> bool:
    return link is not None and link.up and link.carrier is not False


def _fits(device: Device, identity: RouteIdentity) -> bool:
    """Whether the device has an address with which the route works."""
    key, gateway = identity
    own = [h for h in device.held if h.family == key.family]
    if gateway is None or gateway.startswith("fe80:"):
        return bool(own) or key.family == AF_INET6
    networks = (network_of(held.key) for held in own)
    return any(covers(network, gateway) >= 0 for network in networks)


def _asks(device: Device, gateway: str) -> bool:
    """Whether the device asks for a gateway in its own name, whatever else it has."""
    if gateway.startswith("fe80:"):
        return any(held.scope == SCOPE_LINK and held.family == AF_INET6 for held in device.held)
    if ":" in gateway:
        return False
    return any(not _is_anchor(h) and covers(network_of(h.key), gateway) >= 0 for h in device.ipv4)
