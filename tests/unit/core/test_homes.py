"""What is learnt about homes, what is kept, and what is forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ipmp.config import DeclaredAddress, GroupConfig, Probe
from ipmp.decision import Decision, Kind, Reason
from ipmp.homes import Homes, dynamic_addresses, forget_missing, remember, retired, without
from ipmp.world import IFA_F_PERMANENT, OWNER, SCOPE_LINK, Address, DataAddress, Route, Snapshot
from tests.support.world import CODEC, MEMBERS, address, link, route, snapshot, spread

ONE, TWO, SIX = "192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64"
GATEWAY = "192.0.2.254"


def config(
    *declared: DeclaredAddress, adopt: bool = True, tests: dict[str, str] | None = None
) -> GroupConfig:
    probe = Probe(test_addresses=tests or {})
    return GroupConfig("g", ("a", "b"), ("c",), addresses=declared, adopt=adopt, probe=probe)


def learn(
    found: Snapshot, settings: GroupConfig | None = None, homes: Homes | None = None
) -> tuple[Homes, tuple[Decision, ...]]:
    return remember(homes or Homes(), settings or config(), found, CODEC)


def whereabouts(homes: Homes) -> dict[str, str | None]:
    return {key: one.home for key, one in homes.addresses.items()}


# Addresses --------------------------------------------------------------------------------------


def test_a_static_global_address_is_at_home_where_it_is_found() -> None:
    homes, decisions = learn(snapshot({"a": [ONE], "b": [SIX]}))
    assert whereabouts(homes) == {ONE: "a", SIX: "b"}
    assert all(one.adopted for one in homes.addresses.values())
    assert [(d.kind, d.reason, d.interface, d.address) for d in decisions] == [
        (Kind.ADDRESS_ADOPTED, Reason.FOUND, "a", ONE),
        (Kind.ADDRESS_ADOPTED, Reason.FOUND, "b", SIX),
    ]


@pytest.mark.parametrize(
    "left_alone",
    [
        address(ONE, "a", flags=0),
        address("fe80::1/64", "a", scope=SCOPE_LINK),
        address("192.0.2.21/32", "a"),
    ],
    ids=["leased", "link scope", "test address"],
)
def test_what_is_no_data_address_is_not_adopted(left_alone: Address) -> None:
    homes = Homes()
    settings = config(tests={"a": "192.0.2.21/32"})
    assert learn(snapshot({"a": [left_alone]}), settings, homes) == (homes, ())


def test_without_adopt_only_what_is_declared_is_taken() -> None:
    homes, decisions = learn(snapshot({"a": [ONE, TWO]}), config(DeclaredAddress(TWO), adopt=False))
    assert whereabouts(homes) == {TWO: "a"}
    assert [d.reason for d in decisions] == [Reason.DECLARED]
    assert not homes.addresses[TWO].adopted


def test_a_declared_home_outranks_where_it_is_found_and_may_change() -> None:
    found = snapshot({"a": [ONE]})
    homes, _ = learn(found, config(DeclaredAddress(ONE, home="b")))
    assert whereabouts(homes) == {ONE: "b"}
    homes, _ = learn(found, config(DeclaredAddress(ONE, home="a")), homes)
    assert whereabouts(homes) == {ONE: "a"}


def test_another_home_does_not_take_over_the_label() -> None:
    found = snapshot({"a": [address(ONE, "a", label="a:web")]})
    homes, _ = learn(found, config(DeclaredAddress(ONE, home="a")))
    homes, _ = learn(found, config(DeclaredAddress(ONE, home="b")), homes)
    assert homes.addresses[ONE].label == ""


def test_what_is_declared_and_nowhere_has_no_home_and_comes_last() -> None:
    homes, _ = learn(snapshot({"a": [TWO]}), config(DeclaredAddress(ONE)))
    assert whereabouts(homes) == {TWO: "a", ONE: None}
    assert [one.order for one in homes.addresses.values()] == [0, 1]
    assert homes.addresses[ONE].proto == OWNER


def test_the_order_is_the_kernels_so_that_the_primary_stays_primary() -> None:
    homes, _ = learn(snapshot({"a": [TWO, ONE]}))
    homes, _ = learn(snapshot({"a": ["192.0.2.9/24", TWO, ONE]}), homes=homes)
    assert sorted(homes.addresses, key=lambda key: homes.addresses[key].order) == [
        TWO,
        ONE,
        "192.0.2.9/24",
    ]


def test_a_copy_of_ours_is_found_away_from_home() -> None:
    homes, _ = learn(snapshot({"b": [address(ONE, "b", proto=OWNER, label="b:1")]}))
    assert whereabouts(homes) == {ONE: None}


def test_what_somebody_changes_at_home_is_kept() -> None:
    homes, _ = learn(snapshot({"a": [ONE]}))
    changed = address(ONE, "a", label="a:web", proto=3, more="metric 9")
    homes, _ = learn(snapshot({"a": [changed]}), homes=homes)
    one = homes.addresses[ONE]
    assert (one.label, one.proto, one.spec) == ("a:web", 3, CODEC.found(changed))


@pytest.mark.parametrize(
    "copy",
    [
        address(ONE, "b", proto=OWNER, label="b:1"),
        address(ONE, "b"),
        address(ONE, "a", proto=OWNER),
        replace(address(ONE, "a", more="metric 1768975728"), shifted=True),
    ],
    ids=["away", "foreign and away", "ours at home", "its route is away"],
)
def test_a_copy_teaches_nothing(copy: Address) -> None:
    homes, _ = learn(snapshot({"a": [ONE]}))
    assert learn(snapshot({copy.member: [copy]}), homes=homes) == (homes, ())


addresses_of = {
    member: st.lists(
        st.builds(
            address,
            st.sampled_from([ONE, TWO, SIX, "192.0.2.21/32"]),
            st.just(member),
            flags=st.sampled_from([0, IFA_F_PERMANENT]),
            scope=st.sampled_from([0, SCOPE_LINK]),
            proto=st.sampled_from([0, 3, OWNER]),
            more=st.sampled_from(["", "metric 9"]),
        ),
        max_size=4,
    )
    for member in MEMBERS
}
some_routes = st.lists(
    st.builds(
        route,
        st.sampled_from(["default", "10.0.0.0/8"]),
        st.sampled_from(MEMBERS),
        st.sampled_from([GATEWAY, "192.0.2.253"]),
        protocol=st.sampled_from([3, OWNER]),
        more=st.sampled_from(["", "mtu 1400"]),
    ),
    max_size=4,
)
snapshots = st.builds(snapshot, st.fixed_dictionaries(addresses_of), some_routes)


@given(found=snapshots, declared=st.sets(st.sampled_from([ONE, SIX, "192.0.2.7/24"])))
def test_a_second_look_teaches_nothing_new(found: Snapshot, declared: set[str]) -> None:
    settings = config(*map(DeclaredAddress, sorted(declared)), tests={"a": "192.0.2.21/32"})
    homes, decisions = remember(Homes(), settings, found, CODEC)
    again, more = remember(homes, settings, found, CODEC)
    assert again is homes
    assert more == ()
    adopted = {d.address for d in decisions}
    assert adopted <= {key for held in found.addresses.values() for key in held}
    assert adopted | declared == set(homes.addresses)


@given(before=snapshots, now=snapshots)
def test_nothing_learnt_is_lost_and_no_home_moves_by_itself(
    before: Snapshot, now: Snapshot
) -> None:
    homes, _ = learn(before)
    later, _ = learn(now, homes=homes)
    assert {key: later.addresses[key].home for key in homes.addresses} == whereabouts(homes)
    assert {key: later.addresses[key].order for key in homes.addresses} == {
        key: one.order for key, one in homes.addresses.items()
    }
    orders = [one.order for one in later.addresses.values()]
    assert len(set(orders)) == len(orders)


# Routes -----------------------------------------------------------------------------------------


def routes(homes: Homes) -> list[Route]:
    return [one.route for one in homes.routes]


def test_a_route_is_at_home_where_it_is_found_and_stays_so_when_we_have_moved_it() -> None:
    default = route("default", "a", GATEWAY)
    homes, _ = learn(snapshot({}, [default]))
    assert [(one.home, one.group) for one in homes.routes] == [("a", "g")]
    moved = route("default", "b", GATEWAY, protocol=OWNER)
    assert learn(snapshot({}, [moved]), homes=homes) == (homes, ())
    assert learn(snapshot({}), homes=homes) == (homes, ())


def test_a_route_that_somebody_changed_is_learnt_anew() -> None:
    homes, _ = learn(snapshot({}, [route("default", "a", GATEWAY)]))
    changed = route("default", "b", GATEWAY, more="mtu 1400")
    homes, _ = learn(snapshot({}, [changed]), homes=homes)
    assert routes(homes) == [changed]


def test_another_gateway_takes_the_place_of_the_old_one() -> None:
    old, new = route("default", "a", GATEWAY), route("default", "a", "192.0.2.253")
    homes, _ = learn(snapshot({}, [old]))
    homes, _ = learn(snapshot({}, [new]), homes=homes)
    assert routes(homes) == [new]


def test_two_gateways_that_are_both_there_are_two_routes() -> None:
    old, new = route("default", "a", GATEWAY), route("default", "a", "192.0.2.253")
    homes, _ = learn(snapshot({}, [old]))
    homes, _ = learn(snapshot({}, [old, new]), homes=homes)
    assert routes(homes) == [old, new]


def test_one_of_two_gateways_that_is_missing_has_not_been_replaced_by_the_other() -> None:
    """They are put back one after the other; the kernel may refuse the first."""
    old, new = route("default", "a", GATEWAY), route("default", "a", "192.0.2.253")
    homes, _ = learn(snapshot({}, [old, new]))
    homes, _ = learn(snapshot({}, [new]), homes=homes)
    assert routes(homes) == [old, new]


def test_a_route_removed_by_hand_is_forgotten_and_that_is_said() -> None:
    default = route("default", "a", GATEWAY)
    homes, _ = learn(snapshot({}, [default]))
    homes, decisions = remember(homes, config(), snapshot({}), CODEC, {default.key})
    assert homes.routes == ()
    assert [(d.kind, d.interface) for d in decisions] == [(Kind.ROUTE_FORGOTTEN, "a")]


def test_a_route_that_is_back_when_we_look_was_not_removed() -> None:
    default = route("default", "a", GATEWAY)
    homes, _ = learn(snapshot({}, [default]))
    again, decisions = remember(homes, config(), snapshot({}, [default]), CODEC, {default.key})
    assert again is homes
    assert decisions == ()


# Forgetting -------------------------------------------------------------------------------------


def test_after_a_clean_stop_what_is_nowhere_was_taken_away_on_purpose() -> None:
    default = route("default", "a", GATEWAY)
    homes, _ = learn(snapshot({"a": [ONE, TWO]}, [default]))
    assert forget_missing(homes, config(), snapshot({"b": [ONE]})) == Homes(
        {ONE: homes.addresses[ONE]}, ()
    )


def test_a_route_that_is_spread_is_still_there() -> None:
    default = route("default", "a", GATEWAY)
    homes, _ = learn(snapshot({"a": [ONE]}, [default]))
    found = snapshot({"a": [ONE]}, spread=[spread(default, "ab")])
    assert forget_missing(homes, config(), found) == homes
    for removed in ((), (default.key,)):
        assert remember(homes, config(), found, CODEC, removed) == (homes, ())


def test_a_spread_route_without_a_home_gets_one_unless_it_is_leaving() -> None:
    default = route("default", "a", GATEWAY)
    found = snapshot({"a": [ONE]}, spread=[spread(default, "zb")])
    homes, _ = learn(found)
    assert [(r.identity, r.home) for r in homes.routes] == [(default.identity, "b")]
    homes, _ = remember(Homes(), config(), found, CODEC, leaving={default.identity})
    assert homes.routes == ()


def test_a_route_that_is_removed_where_it_was_spread_is_forgotten() -> None:
    default = route("default", "a", GATEWAY)
    homes, _ = learn(snapshot({"a": [ONE]}, [default]))
    left, (decision,) = remember(homes, config(), snapshot({"a": [ONE]}), CODEC, {default.key})
    assert left.routes == ()
    assert decision.kind is Kind.ROUTE_FORGOTTEN


def test_after_a_clean_stop_what_is_declared_is_kept() -> None:
    homes, _ = learn(snapshot({"a": [ONE]}), config(DeclaredAddress(ONE)))
    assert forget_missing(homes, config(), snapshot({})) == homes


def test_after_a_clean_stop_what_may_have_gone_with_its_member_is_kept() -> None:
    homes, _ = learn(snapshot({"a": [ONE]}, [route("default", "a", GATEWAY)]))
    assert forget_missing(homes, config(), snapshot({}, links=["b", "c"])) == homes
    down = forget_missing(homes, config(), snapshot({}, links=[link("a", up=False), "b", "c"]))
    assert down.routes == homes.routes


def test_what_is_retired_goes_and_what_is_at_home_on_a_former_member_too() -> None:
    found = snapshot({"a": [ONE], "b": [TWO], "c": [SIX]}, [route("default", "c", GATEWAY)])
    homes, _ = learn(found, config(DeclaredAddress(ONE), DeclaredAddress("192.0.2.7/24")))
    gone = [homes.addresses[ONE]]
    left = without(homes, gone, members=("a", "b"))
    assert whereabouts(left) == {TWO: "b", "192.0.2.7/24": None}
    assert left.routes == ()


def test_only_what_was_declared_can_be_retired() -> None:
    homes, _ = learn(snapshot({"a": [ONE, TWO]}), config(DeclaredAddress(ONE)))
    still = config(DeclaredAddress(ONE))
    assert list(retired(homes, still)) == []
    gone: list[DataAddress] = list(retired(homes, config()))
    assert [one.key for one in gone] == [ONE]


def test_leased_addresses_are_named_unless_they_are_declared() -> None:
    leased = [address(key, "a", flags=0) for key in (ONE, TWO)]
    found = snapshot({"a": [*leased, SIX, address("fe80::1/64", "a", flags=0, scope=SCOPE_LINK)]})
    named = dynamic_addresses(config(DeclaredAddress(ONE)), found)
    assert [one.key for one in named] == [TWO]
