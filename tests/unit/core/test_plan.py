"""The planner's invariants, with an interruption after any step."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ipmp.decision import Reason
from ipmp.kernel.codec import declared_spec
from ipmp.placement import Placement, RoutePlacement
from ipmp.plan import (
    AddAddress,
    AddAnchor,
    Announce,
    DeleteAddress,
    DeleteRoute,
    Progress,
    ReplaceRoute,
    Step,
    plan,
)
from ipmp.world import (
    AF_INET,
    AF_INET6,
    IFA_F_PERMANENT,
    IFA_F_SECONDARY,
    OWNER,
    SCOPE_LINK,
    Address,
    DataAddress,
    DataRoute,
    Link,
    Route,
    RouteKey,
    Snapshot,
    is_ipv4,
)
from tests.support.world import route

MEMBERS = ("a", "b", "c")
KEYS = (*(f"192.0.2.{n}/24" for n in range(1, 6)), "2001:db8::1/64", "2001:db8::2/64")
ANCHOR = "169.254.1.{}/32"


class World:
    """A kernel in memory: addresses only, which is what these invariants are about."""

    def __init__(self, places: dict[str, str]) -> None:
        self.held: dict[str, list[str]] = {m: [] for m in MEMBERS}
        self.announced: set[tuple[str, str]] = set()
        for key, member in places.items():
            self.held[member].append(key)

    def snapshot(self) -> Snapshot:
        links = {
            m: Link(m, i, True, True, "02:00:00:00:00:01", 1500) for i, m in enumerate(MEMBERS)
        }
        addresses = {
            m: {key: self._address(m, key, number) for number, key in enumerate(keys)}
            for m, keys in self.held.items()
        }
        return Snapshot(links, addresses, {m: [] for m in MEMBERS})

    def do(self, step: Step) -> None:
        match step:
            case AddAddress(address=address, member=member):
                assert address.key not in self.held[member]
                self.held[member].append(address.key)
            case AddAnchor(member=member):
                self.held[member].append(ANCHOR.format(MEMBERS.index(member)))
            case DeleteAddress(key=key, member=member):
                self.held[member].remove(key)
                self.announced.discard((key, member))
            case Announce(address=address, member=member):
                assert address.key in self.held[member], "announced by a member without it"
                self.announced.add((address.key, member))

    def _address(self, member: str, key: str, number: int) -> Address:
        anchor = key.startswith("169.254.")
        flags = IFA_F_PERMANENT | (IFA_F_SECONDARY if number and not anchor else 0)
        return Address(
            key,
            2 if is_ipv4(key) else 10,
            member,
            flags,
            SCOPE_LINK if anchor else 0,
            OWNER if anchor else 0,
            "",
            b"",
        )


places = st.fixed_dictionaries({key: st.sampled_from(MEMBERS) for key in KEYS})


@settings(max_examples=200, deadline=None)
@given(start=places, targets=places, interruptions=st.lists(st.integers(0, 12), max_size=12))
def test_any_interruption_converges_and_never_breaks_before_it_makes(
    start: dict[str, str], targets: dict[str, str], interruptions: list[int]
) -> None:
    world = World(start)
    had_ipv4 = {m for m, keys in world.held.items() if any(map(is_ipv4, keys))}
    for steps in [*interruptions, 10**6, 10**6, 10**6]:
        carry_out(world, targets, steps)
        for member in had_ipv4:
            assert any(map(is_ipv4, world.held[member])), "its last IPv4 address is gone"
    data = {m: [k for k in keys if not k.startswith("169.254.")] for m, keys in world.held.items()}
    assert {k: m for m, keys in data.items() for k in keys} == targets
    assert sum(map(len, data.values())) == len(KEYS)
    for member, keys in world.held.items():
        anchored = any(k.startswith("169.254.") for k in keys)
        assert not (anchored and any(map(is_ipv4, data[member]))), "a needless anchor"
    assert carry_out(world, targets, 10**6) == 0


def carry_out(world: World, targets: dict[str, str], limit: int) -> int:
    """Carry out at most `limit` steps of a fresh plan and check each; the number carried out."""
    placements = [
        Placement(DataAddress(declared_spec(key), "g", order), targets[key], Reason.FAILBACK)
        for order, key in enumerate(KEYS)
    ]
    progress = Progress(announced=world.announced, quiet=frozenset(MEMBERS))
    done = 0
    for batch in plan(placements, (), world.snapshot(), progress):
        for step in batch:
            if done >= limit:
                return done
            if isinstance(step, DeleteAddress) and step.key in targets:
                target = targets[step.key]
                assert step.key in world.held[target], "break before make"
                assert (step.key, target) in world.announced, "deleted before it was announced"
            world.do(step)
            done += 1
            for key in KEYS:
                assert any(key in keys for keys in world.held.values()), f"{key} is nowhere"
    return done


def test_a_member_that_is_not_quiet_keeps_its_copies() -> None:
    world = World(dict.fromkeys(KEYS, "a"))
    placements = [
        Placement(DataAddress(declared_spec(key), "g", n), "b", Reason.FAILBACK)
        for n, key in enumerate(KEYS)
    ]
    world.held["b"] = list(KEYS)
    announced = {(key, "b") for key in KEYS}
    noisy = Progress(announced=announced)
    assert [s for batch in plan(placements, (), world.snapshot(), noisy) for s in batch] == []
    dead = Progress(announced=announced, dead={"a"})
    steps = [s for batch in plan(placements, (), world.snapshot(), dead) for s in batch]
    deleted = [s.key for s in steps if isinstance(s, DeleteAddress)]
    assert deleted[-1] == KEYS[0], "the primary goes last"
    assert set(deleted) == set(KEYS)


def test_ipv4_addresses_come_at_once_and_do_not_wait_for_ipv6_ones() -> None:
    mixed = KEYS[5:] + KEYS[:5]
    placements = [
        Placement(DataAddress(declared_spec(key), "g", n), "b", Reason.USABLE_MEMBER)
        for n, key in enumerate(mixed)
    ]
    world = World(dict.fromkeys(mixed, "a"))
    batches = plan(placements, (), world.snapshot(), Progress(dead={"a"}))
    for expected in (KEYS[:5], KEYS[5:]):
        steps = next(batches)
        assert [s.address.key for s in steps if isinstance(s, AddAddress)] == list(expected)
        assert [s.address.key for s in steps if isinstance(s, Announce)] == list(expected)


def test_a_refused_addition_is_not_planned_and_the_old_copy_stays() -> None:
    world = World({KEYS[0]: "a"})
    placement = Placement(DataAddress(declared_spec(KEYS[0]), "g", 0), "b", Reason.FAILBACK)
    progress = Progress(refused={(f"add {KEYS[0]}", "b")}, dead={"a"})
    assert [s for b in plan([placement], (), world.snapshot(), progress) for s in b] == []


def test_a_route_is_replaced_in_place_only_where_that_hits_no_other() -> None:
    """The kernel replaces the first route with the same key, whoever's that is."""
    lone, first, second, lost = (
        DataRoute(route_on("a", *about), "g")
        for about in (
            ("10.1.0.0/16", 1),
            ("10.2.0.0/16", 1),
            ("10.2.0.0/16", 2),
            ("10.3.0.0/16", 1),
        )
    )
    world = World(dict.fromkeys(KEYS, "b"))
    world.announced = {(key, "b") for key in KEYS}
    snapshot = world.snapshot()
    snapshot.routes["a"] = [lone.route, first.route, second.route]
    placements = [RoutePlacement(route, "b") for route in (lone, first, second, lost)]
    steps = [s for batch in plan([], placements, snapshot, Progress()) for s in batch]
    assert [s.in_place for s in steps if isinstance(s, ReplaceRoute)] == [True, False, False, False]


def test_a_lost_route_is_put_beside_the_one_of_the_other_kind() -> None:
    """IPv6 keeps one with and one without a gateway; a replacement would hit whichever is there."""
    for gateways in (("fe80::1", None), (None, "fe80::1")):
        first, second = (
            DataRoute(route("default", "a", gateway, family=AF_INET6), "g") for gateway in gateways
        )
        placements = [RoutePlacement(lost, "b") for lost in (first, second)]
        steps = [s for b in plan([], placements, World({}).snapshot(), Progress()) for s in b]
        assert steps == [
            ReplaceRoute(first, "b", OWNER, in_place=False),
            ReplaceRoute(second, "b", OWNER, in_place=False, beside=True),
        ]


def test_what_was_added_beside_is_deleted_on_the_old_member() -> None:
    home = DataRoute(route_on("a", "10.2.0.0/16", 1), "g")
    moved = replace(home.route, member="b", protocol=OWNER)
    world = World(dict.fromkeys(KEYS, "b"))
    snapshot = world.snapshot()
    snapshot.routes |= {"a": [home.route], "b": [moved]}
    steps = [
        s for batch in plan([], [RoutePlacement(home, "b")], snapshot, Progress()) for s in batch
    ]
    assert steps == [DeleteRoute(home.route, "a")]


def route_on(member: str, destination: str, gateway: int) -> Route:
    key = RouteKey(AF_INET, 254, destination, 0, 0)
    return Route(key, member, 3, f"192.0.2.{gateway}", None, False, b"")
