"""The books of one group: where each address is, moves under way, counters and durations.

Fed with the steps that were carried out; yields the decisions that people read about them. A
failover or failback is one entry however many addresses it moves: it begins when its cause was
noticed and ends when the last address has been announced from its new member.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence

import msgspec

from ipmp.daemon.durations import Durations
from ipmp.decision import Decision, Kind, Reason
from ipmp.model import MoveReason
from ipmp.world import MADE, DataAddress, Route, RouteIdentity, Snapshot

#: What befell the member that addresses leave, and what they return home after.
LEFT = {
    MoveReason.LINK: Reason.LINK_DOWN,
    MoveReason.PROBE: Reason.PROBES_LOST,
    MoveReason.DUPLICATE: Reason.DUPLICATE_HWADDR,
    MoveReason.ABSENT: Reason.ABSENT,
    MoveReason.OFFLINE: Reason.REQUESTED,
    MoveReason.RECONCILE: Reason.MISPLACED,
}
RETURNED = LEFT | {
    MoveReason.LINK: Reason.LINK_UP,
    MoveReason.PROBE: Reason.REPAIRED,
    MoveReason.DUPLICATE: Reason.UNIQUE_HWADDR,
    MoveReason.ABSENT: Reason.PRESENT,
}


#: EVPN fabrics freeze an address that moves five times in 180 s (RFC 7432 section 15.1): so many
#: moves are free, then an address that works where it is waits before it goes home by itself.
MOVE_LIMIT = 4
MOVE_WINDOW = 180.0


#: What befell the member that addresses leave, or the one to which they return.
Why = Callable[[str, str], MoveReason]


class Place(msgspec.Struct, gc=False):
    """Where one address is, and how it came there; `times` (monotonic) are of its last moves."""

    member: str
    moves: int = 0
    last_move: float = 0.0
    times: tuple[float, ...] = ()
    decision: Decision | None = None


class Move(msgspec.Struct):
    """Addresses on their way from one member to another for one reason."""

    target: str
    home: bool  # they return to their home
    reason: MoveReason
    began: float  # monotonic
    cause: Reason  # that is told of each address
    ends: dict[str, str | int | float]  # source and target, to be told
    keys: set[str] = msgspec.field(default_factory=set)
    count: int = 0


class Books:
    """Places, moves under way and counters of one group."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.places: dict[str, Place] = {}
        self.left: set[tuple[str, str]] = set()  # (key, member): copies to be deleted there
        self.failovers = dict.fromkeys(MoveReason, 0)
        self.failbacks = dict.fromkeys(MoveReason, 0)
        self.drift = {"address": 0, "route": 0}  # foreign changes put right
        self._routes: dict[RouteIdentity, set[str]] = {}  # where we have led them
        self.last_failover = 0.0
        self.kernel_refusals = 0
        self.durations = Durations()  # of failovers, not of failbacks
        self._under_way: dict[tuple[str, str, bool, MoveReason], Move] = {}

    @property
    def under_way(self) -> int:
        """How many moves have not been announced completely yet."""
        return len(self._under_way)

    def seen(self, key: str, member: str) -> None:
        """An address was found on a member, or put there for the first time."""
        self.places.setdefault(key, Place(member)).member = member

    def intruder(self, key: str, member: str) -> Decision:
        """Another program has put a copy beside the one that is booked."""
        self.drift["address"] += 1
        target = self.places[key].member
        kind, reason = Kind.ADDRESS_REMOVED, Reason.FOREIGN_CHANGE
        return self._decision(kind, reason, member, key, target=target)

    def is_at(self, key: str, member: str) -> bool:
        """Whether the address is booked on this member."""
        place = self.places.get(key)
        return place is not None and place.member == member

    def restless(self, now: float) -> Iterator[str]:
        """The addresses that may not move without need now."""
        return (key for key in self.places if self.calm_at(key) > now)

    def calm_at(self, key: str) -> float:
        """When the address may move again without need; a time that has passed: it may now."""
        place = self.places.get(key)
        if place is None or len(place.times) < MOVE_LIMIT:
            return 0.0
        return place.times[0] + MOVE_WINDOW

    def restored(self, key: str, member: str) -> Decision | None:
        """Note that `member` has its address again, or has a new one; moves are booked later."""
        place = self.places.get(key)
        if place is None:
            self.seen(key, member)
        elif place.member == member:
            self.drift["address"] += 1
            return self._decision(Kind.ADDRESS_RESTORED, Reason.FOREIGN_CHANGE, member, key)
        return None

    def moved(
        self, arrivals: Iterable[tuple[DataAddress, str]], why: Why, began: float, wall: float
    ) -> list[Decision]:
        """Note that these members speak for these addresses from now on.

        Nothing is told of a first place, and of one where the address is booked already: it has had
        its copy there all along, after a move that was turned back or cut short by a kill.
        """
        decisions: list[Decision] = []
        moves: dict[tuple[str, str, bool], Move] = {}
        group, places, left = self.group, self.places, self.left
        for address, target in arrivals:
            key = address.spec.key
            place = places.get(key)
            if place is None:
                self.seen(key, target)
                continue
            source = place.member
            if source == target:
                continue
            way = source, target, address.home == target
            move = moves.get(way)
            if move is None:
                move = moves[way] = self._move(*way, why(source, target), began)
            left.add((key, source))
            left.discard((key, target))
            if len(self._under_way) > 1:
                for earlier in self._under_way.values():
                    earlier.keys.discard(key)
            move.keys.add(key)
            move.count += 1
            place.member, place.last_move = target, wall
            place.moves += 1
            place.times = (*place.times[1 - MOVE_LIMIT :], began)
            place.decision = Decision(
                Kind.ADDRESS_MOVED, move.cause, group, target, key, detail=move.ends
            )
            decisions.append(place.decision)
        return decisions

    def rerouted(self, route: Route, members: Sequence[str], snapshot: Snapshot) -> Decision | None:
        """Note that a route now leaves through these members; None for a new one of our making."""
        name, to, member = str(route.key), " and ".join(members), members[0]
        ways = _ways(route.identity, snapshot)
        before = self._routes.get(route.identity)
        self._routes[route.identity] = set(members)
        if route.protocol == MADE and (before is None or ways):
            return None
        if len(members) > 1 and set(members) in ways:
            return None  # it is led as before, with another source
        if not ways or set(members) in ways:
            self.drift["route"] += 1
            return self._decision(Kind.ROUTE_RESTORED, Reason.FOREIGN_CHANGE, member, value=name)
        source = " and ".join(sorted(ways[0]))
        if before == set(members):
            self.drift["route"] += 1
            return self._decision(
                Kind.ROUTE_RESTORED, Reason.REROUTED, member, value=name, source=source, target=to
            )
        why = Reason.FAILBACK if {route.member} == set(members) else Reason.USABLE_MEMBER
        return self._decision(Kind.ROUTE_MOVED, why, member, value=name, source=source, target=to)

    def settle(
        self, announced: Container[tuple[str, str]], now: float, wall: float
    ) -> list[Decision]:
        """Close the moves whose addresses have all been announced."""
        done = [
            (identity, move)
            for identity, move in self._under_way.items()
            if all((key, move.target) in announced for key in move.keys)
        ]
        decisions = []
        for identity, move in done:
            del self._under_way[identity]
            decisions.append(self._close(move, now - move.began, wall))
        return decisions

    def forget(self, key: str) -> None:
        """The address is not a data address any more."""
        self.places.pop(key, None)
        for move in self._under_way.values():
            move.keys.discard(key)

    def _move(self, source: str, target: str, home: bool, reason: MoveReason, began: float) -> Move:
        move = self._under_way.get((source, target, home, reason))
        if move is None:
            cause = Reason.FAILBACK if home else LEFT[reason]
            ends: dict[str, str | int | float] = {"source": source, "target": target}
            move = Move(target, home, reason, began, cause, ends)
            self._under_way[source, target, home, reason] = move
        return move

    def _close(self, move: Move, seconds: float, wall: float) -> Decision:
        if move.home:
            self.failbacks[move.reason] += 1
        else:
            self.failovers[move.reason] += 1
            self.last_failover = wall
            self.durations.note(seconds)
        return Decision(
            Kind.FAILBACK if move.home else Kind.FAILOVER,
            (RETURNED if move.home else LEFT)[move.reason],
            self.group,
            move.target,
            detail=move.ends | {"count": move.count, "seconds": round(seconds, 4)},
        )

    def _decision(
        self,
        kind: Kind,
        reason: Reason,
        member: str,
        key: str = "",
        **detail: str | int | float,
    ) -> Decision:
        return Decision(kind, reason, self.group, interface=member, address=key, detail=detail)


def _ways(identity: RouteIdentity, snapshot: Snapshot) -> list[set[str]]:
    """Through which members a route leaves, each time it is there."""
    single = snapshot.routes_by_identity.get(identity, {})
    spread = snapshot.spread_by_identity.get(identity, ())
    return [*({member} for member in single), *(set(route.members) for route in spread)]
