"""What must be true of addresses and routes, kept apart from what the daemon believes.

At rest everything that follows a group is entered, with where it is at home and how it is
configured. From then on it is *certain*: whatever fails, it must come back. Only a person can put
it in *doubt* (remove it by hand, change the configuration, take things away while no daemon runs);
then either outcome is right until the next rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ipmp.config import Config, GroupConfig
from ipmp.world import IFA_F_PERMANENT, OWNER, SCOPE_UNIVERSE, RouteIdentity
from tests.simulation.kernel import Device, Effects
from tests.simulation.payloads import Entry, Held

if TYPE_CHECKING:
    from tests.simulation.world import World


class Known:
    """One address or route that follows a group."""

    __slots__ = ("certain", "common", "configuration", "group", "holder", "home", "marks", "source")

    def __init__(self, group: str, home: str | None) -> None:
        self.group, self.home = group, home
        self.configuration: tuple[object, ...] | None = None  # once seen at home, or a copy of it
        self.common: tuple[object, ...] = ()  # of a route: what it keeps even while it is spread
        self.marks: tuple[int, str] | None = None  # IFA_PROTO and label, once seen at home
        self.source: str | None = None  # of a route
        self.holder: str | None = None  # at the last rest
        self.certain = True


class Ledger:
    """Addresses by key and routes by identity."""

    def __init__(self) -> None:
        self.addresses: dict[str, Known] = {}
        self.routes: dict[RouteIdentity, Known] = {}

    def doubt(self, effects: Effects, *, on_purpose: bool) -> None:
        """Something outside the daemon did this; on purpose, or to a host without daemon."""
        for _, held in (*effects.removed, *effects.added) if on_purpose else ():
            if held.key in self.addresses:
                self.addresses[held.key].certain = False
        sources = {key.partition("/")[0] for key in self.addresses}
        for entry in (*effects.routes_removed, *effects.routes_added):
            for_good = entry.source is not None and entry.source not in sources
            if on_purpose or for_good:
                for identity, known in self.routes.items():
                    if identity[0] == entry.key:
                        known.certain = False

    def doubt_unread(self, config: Config, is_stale: Callable[..., bool]) -> None:
        """The daemon stops, and has not read yet what has just happened to these members."""
        for known in (*self.addresses.values(), *self.routes.values()):
            group = config.groups.get(known.group)
            if group is None or is_stale(*group.members):
                known.certain = False

    def doubt_group(self, name: str) -> None:
        """Its configuration changes."""
        for known in (*self.addresses.values(), *self.routes.values()):
            if known.group == name:
                known.certain = False

    def enter_address(self, held: Held, group: str, device: str, home: str | None) -> None:
        """At rest: the address follows the group."""
        known = self.addresses.get(held.key)
        if known is None or not known.certain:
            known = self.addresses[held.key] = Known(group, home)
        if device == home or (home is None and held.proto == OWNER):
            known.configuration = known.configuration or held.configuration
        if device == home and held.proto != OWNER:
            known.marks = known.marks or (held.proto, held.label)
        known.holder = device

    def enter_route(self, entry: Entry, group: str, device: str) -> None:
        """At rest: the route follows the group."""
        identity = (entry.key, entry.gateway)
        known = self.routes.get(identity)
        if known is None or not known.certain:
            known = self.routes[identity] = Known(group, None)
            known.configuration, known.source = entry.configuration, entry.source
            known.common = entry.common
        known.holder = device

    def is_unchanged(self, entry: Entry) -> bool:
        """Whether a route is as it was entered, or was never entered."""
        known = self.routes.get((entry.key, entry.gateway))
        if known is None or not known.certain:
            return True
        if entry.is_spread:
            return known.common == entry.common
        return known.configuration == entry.configuration

    def forget_doubtful(self, present: Iterable[str], routes: Iterable[RouteIdentity]) -> None:
        """At rest: what was in doubt and is gone is gone for good."""
        kept, routed = set(present), set(routes)
        self.addresses = {k: v for k, v in self.addresses.items() if v.certain or k in kept}
        self.routes = {i: v for i, v in self.routes.items() if v.certain or i in routed}


def follows(group: GroupConfig, device: Device, held: Held) -> bool:
    """Whether an address on a device is a data address of the group (DESIGN 5.2)."""
    if device.name not in group.members:
        return False
    if any(declared.address == held.key for declared in group.addresses):
        return True
    return (
        group.adopt
        and held.scope == SCOPE_UNIVERSE
        and bool(held.flags & IFA_F_PERMANENT)
        and held.key not in group.probe.test_addresses.values()
    )


def data_addresses(world: World, group: GroupConfig) -> Iterator[tuple[Device, Held]]:
    """All copies of data addresses of a group that are on its members."""
    for name in group.members:
        device = world.kernel.names.get(name)
        if device is not None:
            for held in device.held:
                if follows(group, device, held):
                    yield device, held


def group_of(config: Config, member: str) -> GroupConfig | None:
    """The group that has this member."""
    return next((g for g in config.groups.values() if member in g.members), None)
