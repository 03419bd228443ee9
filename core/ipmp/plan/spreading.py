"""Steps towards the routes that are spread over several members (`ipmp.spread`). Pure.

A member leaves a route, or joins it, by one replacement: at no moment is the route gone. It joins
when it has the address from which it asks for neighbours, and leaves at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ipmp.group import Group
from ipmp.homes import Homes
from ipmp.placement import Reach, place_routes
from ipmp.plan.steps import DeleteRoute, DeleteSpread, MakeSpread, ReplaceRoute, Step
from ipmp.spread import Spread, Spreading
from ipmp.world import MADE, OWNER, Snapshot


def due(
    spreadings: Iterable[Spreading], reach: Mapping[str, Reach]
) -> tuple[list[Spreading], list[Spreading]]:
    """Those whose members and source have what is needed for them already; and the others."""
    ready: list[Spreading] = []
    waiting: list[Spreading] = []
    for spreading in spreadings:
        fits = all(m in reach and key in reach[m].addresses for m, key in spreading.needs)
        source = spreading.source
        fits = fits and (not source or any(source in on.addresses for on in reach.values()))
        (ready if fits else waiting).append(spreading)
    return ready, waiting


def spread_steps(
    spreadings: Iterable[Spreading], snapshot: Snapshot
) -> Iterator[MakeSpread | DeleteRoute | DeleteSpread]:
    """What is to be done about them; what was not replaced in place is swept by the next plan."""
    for spreading in spreadings:
        spread = snapshot.spread_by_identity.get(spreading.identity, [])
        single = snapshot.routes_by_identity.get(spreading.identity, {})
        current = next(filter(spreading.is_so, spread), None)
        if current is None:
            yield MakeSpread(spreading, in_place=bool(spread or single))
            continue
        yield from (DeleteSpread(route) for route in spread if route is not current)
        if not spreading.made:
            yield from (DeleteRoute(route, member) for member, route in single.items())


def sweep(spread: Spread) -> Iterator[DeleteSpread]:
    """What was made for spreading and is wanted no more."""
    yield from map(DeleteSpread, spread.obsolete)


def gather(group: Group, homes: Homes, snapshot: Snapshot) -> Iterator[Step]:
    """Steps after which no route of a group is spread: each is on its home, where that works."""
    found = snapshot.spread_by_identity
    routes = [route for route in homes.routes if route.identity in found]
    for placement in place_routes(group, routes, {}, snapshot):
        route, target = placement.route, placement.target or placement.route.home
        yield ReplaceRoute(route, target, route.route.protocol if target == route.home else OWNER)
    yield from (DeleteSpread(route) for route in snapshot.spread if route.protocol == MADE)
