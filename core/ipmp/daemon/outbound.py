"""Through which members the routes of one group leave, and what is put back when it lets go."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping

from ipmp.config import GroupConfig
from ipmp.decision import Decision, Kind, Reason
from ipmp.group import Group
from ipmp.homes import Homes
from ipmp.placement import RoutePlacement
from ipmp.plan import MakeSpread, ReplaceRoute, identity
from ipmp.spread import Spread, place_egress
from ipmp.world import OWNER, DataRoute, RouteIdentity, Snapshot, address_of


class Outbound:
    """Keeps what one placement after another must know."""

    def __init__(self) -> None:
        self._parting: tuple[DataRoute, ...] = ()
        self._told: set[tuple[str, str]] = set()

    def part(self, routes: Iterable[DataRoute]) -> None:
        """The homes of these have left the group: where they are spread they go back there."""
        self._parting += tuple(routes)

    @property
    def leaving(self) -> set[RouteIdentity]:
        """What is on its way out of the group."""
        return {route.identity for route in self._parting}

    def give_up(self, refused: Container[tuple[str, str]]) -> None:
        """What the kernel would not let go home stays with the group."""
        steps = ((route, ReplaceRoute(route, route.home, OWNER)) for route in self._parting)
        self._parting = tuple(route for route, step in steps if identity(step) not in refused)

    def place(
        self,
        config: GroupConfig,
        group: Group,
        homes: Homes,
        targets: Mapping[str, str],
        snapshot: Snapshot,
    ) -> tuple[list[RoutePlacement], Spread]:
        """As `place_egress`, with the routes that are on their way out of the group."""
        routes, spread = place_egress(config, group, homes, targets, snapshot)
        self._parting = tuple(r for r in self._parting if r.identity in snapshot.spread_by_identity)
        return [*routes, *(RoutePlacement(route, route.home) for route in self._parting)], spread

    def left_out(self, group: str, spread: Spread) -> list[Decision]:
        """Say once of each member that IPv4 is not spread over it."""
        fresh = [found for found in spread.left_out if found not in self._told]
        self._told = set(spread.left_out)
        return [
            Decision(
                Kind.REFUSED,
                Reason.NO_ADDRESS,
                group,
                interface=member,
                detail={"value": network},
            )
            for member, network in fresh
        ]


def ahead(
    config: GroupConfig, group: Group, homes: Homes, gone: Collection[str], snapshot: Snapshot
) -> list[MakeSpread]:
    """Before these addresses go: let what is spread have a source that stays.

    The kernel drops an IPv4 route with its source. A source that an operator chose is not changed.
    """
    staying = {key: address for key, address in homes.addresses.items() if key not in gone}
    names = set(map(address_of, gone)) - set(map(address_of, staying))
    lost = {route.identity for route in snapshot.spread if route.source in names}
    if not lost:
        return []
    targets = {key: member for key in staying for member in snapshot.holders(key)[:1]}
    _, spread = place_egress(config, group, Homes(staying, homes.routes), targets, snapshot)
    return [
        MakeSpread(spreading)
        for spreading in spread.spreadings
        if spreading.identity in lost and spreading.source not in names
    ]
