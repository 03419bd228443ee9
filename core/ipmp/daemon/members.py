"""What is known of a group's members: links, probes, the state machine, and what befell them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ipmp.config import GroupConfig
from ipmp.daemon.context import Context
from ipmp.daemon.mismatch import Mismatches
from ipmp.decision import Decision
from ipmp.group import BROKEN, Event, Facts, Group, Member, Sight, adapt, look, observe, step
from ipmp.group.observe import UNPROBED
from ipmp.model import InterfaceState, MoveReason
from ipmp.probing.values import Standing
from ipmp.world import Link

_CAUSES = {
    Event.OFFLINE: MoveReason.OFFLINE,
    Event.PROBES_LOST: MoveReason.PROBE,
    Event.DUPLICATE: MoveReason.DUPLICATE,
    **dict.fromkeys(BROKEN, MoveReason.LINK),
    Event.ABSENT: MoveReason.ABSENT,
}


class Members:
    """The members of one group. What `observe` decides is for the caller to publish."""

    def __init__(
        self, context: Context, config: GroupConfig, inactive: Iterable[str], failed: Iterable[str]
    ) -> None:
        self.lost_before = frozenset(failed) & set(config.members)  # their probes, says the intent
        self.group = initial_group(config, frozenset(inactive), self.lost_before)
        self.links: dict[str, Link] = {}
        self.transitions: dict[str, dict[str, int]] = {m.name: {} for m in self.group.members}
        self.untold: set[str] = set()  # members whose addresses the link may not know
        self.due: float | None = None  # when to look again although nothing may have happened
        self._context = context
        self._config = config
        self._sights: dict[str, Sight] = {}
        self._standings: Callable[[], Mapping[str, Standing]] = dict
        self._causes: dict[str, MoveReason] = {}
        self._mismatches = Mismatches(config.name)

    @property
    def names(self) -> set[str]:
        """The names of all members."""
        return {m.name for m in self.group.members}

    @property
    def dead(self) -> frozenset[str]:
        """Members that cannot receive: nothing is in flight to them."""
        alive = {name for name, ln in self.links.items() if ln.up and ln.carrier is not False}
        return frozenset(self.names - alive)

    def configure(self, config: GroupConfig) -> None:
        """Go on with another configuration; members that stay keep their state."""
        self._config = config
        self.group = adapt(self.group, initial_group(config, frozenset(), frozenset()))
        for member in self.group.members:
            self.transitions.setdefault(member.name, {})

    def differ(self) -> bool:
        """Read the links now; whether one is not as it was last seen."""
        return self._read() != self.links

    def listen(self, standings: Callable[[], Mapping[str, Standing]]) -> None:
        """Ask here what the probes say."""
        self._standings = standings

    @property
    def offline(self) -> frozenset[str]:
        """Members that carry nothing until they are brought online; they are not probed."""
        return frozenset(m.name for m in self.group.members if m.state is InterfaceState.OFFLINE)

    @property
    def targets_dead(self) -> bool:
        """No member hears any target: the group has failed, and not its members."""
        return any(m.event is Event.GROUP_LOST for m in self.group.members)

    def observe(self) -> list[Decision]:
        """Read the links and step the state machine."""
        context, now = self._context, self._context.monotonic()
        before_links, self.links = self.links, self._read()
        self._compare(before_links)
        standings = self._standings()
        facts = {m.name: self._facts(m.name, standings, now) for m in self.group.members}
        events, self.due = observe(self.group, facts, self._config.up_delay, now)
        before = self.group
        self.group, decisions = step(before, events, context.wall())
        for old, new in zip(before.members, self.group.members, strict=True):
            self._note(old, new)
        return [*decisions, *self._mismatches.fresh(self.links)]

    def reason(self, source: str | None, target: str) -> MoveReason:
        """What befell the member that an address leaves, or what its target recovered from."""
        for member in self.group.members:
            if member.name == source and not member.active:
                return self._causes.get(member.name, MoveReason.RECONCILE)
        return self._causes.get(target, MoveReason.RECONCILE)

    def twin(self, name: str) -> str | None:
        """Another member that is not offline and has the same hardware address."""
        own = self.links.get(name)
        for member in self.group.members:
            link = self.links.get(member.name)
            if own is None or link is None or member.name == name or not link.hwaddr:
                continue
            if link.hwaddr == own.hwaddr and not self._context.offline(member.name):
                return member.name
        return None

    def _read(self) -> dict[str, Link]:
        return self._context.kernel.links(m.name for m in self.group.members)

    def _facts(self, name: str, standings: Mapping[str, Standing], now: float) -> Facts:
        link = self.links.get(name)
        sight = self._sights[name] = look(self._sights.get(name), link, now)
        standing = standings.get(name, UNPROBED)
        return Facts(link, sight, self._context.offline(name), standing)

    def _compare(self, before: Mapping[str, Link]) -> None:
        """A device that was replaced took its addresses along and has the default settings."""
        now = {name: (link.ifindex, link.hwaddr) for name, link in self.links.items()}
        self.untold.update(
            name for name, ln in before.items() if now.get(name) != (ln.ifindex, ln.hwaddr)
        )
        if any(name in now and now[name][0] != link.ifindex for name, link in before.items()):
            self._context.appeared(self._config)

    def _note(self, old: Member, new: Member) -> None:
        if old.state is not new.state or not old.known:
            states = self.transitions[new.name]
            states[new.state] = states.get(new.state, 0) + 1
        if new.event is not old.event and old.event is Event.ABSENT and old.known:
            self._context.appeared(self._config)
        if old.known and new.functioning and not old.functioning:
            self.untold.add(new.name)  # what stayed on it when nobody worked
        cause = _CAUSES.get(new.event)
        if cause is not None:
            self._causes[new.name] = cause


def initial_group(config: GroupConfig, inactive: frozenset[str], failed: frozenset[str]) -> Group:
    """The state before the first look.

    `inactive` members were kept back by the last daemon; for it, `failed` ones had lost their
    probes, and they have to prove themselves anew (ipmp-semantics 2.14, Q4).
    """
    members = []
    for name in (*config.interfaces, *config.standby):
        member = Member(name, standby=name in config.standby, inactive=name in inactive)
        members.append(member.lost_before() if name in failed else member)
    return Group(config.name, tuple(members), config.failback, config.min_usable)
