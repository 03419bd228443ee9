"""What is probed, how, and whom: from configuration and kernel to paths and candidates."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ipmp.config import DeclaredAddress, GroupConfig, Probe
from ipmp.model import Family
from ipmp.probing import Method, Nearby, arrange, inquire
from ipmp.world import (
    AF_INET,
    AF_INET6,
    IFA_F_DADFAILED,
    IFA_F_DEPRECATED,
    IFA_F_PERMANENT,
    IFA_F_TENTATIVE,
    OWNER,
    SCOPE_LINK,
    SCOPE_UNIVERSE,
    Address,
    Link,
    Route,
    RouteKey,
    Snapshot,
    SpreadRoute,
    is_ipv4,
)

V4, V6 = Family.IPV4, Family.IPV6
NOBODY = Nearby()


def link(name: str, *, up: bool = True, carrier: bool | None = True) -> Link:
    return Link(name, 10 + int(name[-1]), up, carrier, f"02:00:00:00:00:1{name[-1]}", 1500)


def held(member: str, *keys: str, flags: int = IFA_F_PERMANENT) -> dict[str, Address]:
    return {
        key: Address(
            key,
            AF_INET if is_ipv4(key) else AF_INET6,
            member,
            flags,
            SCOPE_LINK if key.startswith(("fe80:", "169.254.")) else SCOPE_UNIVERSE,
            0,
            "",
            b"",
        )
        for key in keys
    }


def world(**addresses: dict[str, Address]) -> Snapshot:
    return Snapshot({name: link(name) for name in ("ni0", "ni1")}, addresses, {})


def route(member: str, gateway: str | None, destination: str = "default") -> Route:
    family = AF_INET if gateway is None or is_ipv4(gateway) else AF_INET6
    key = RouteKey(family, 254, destination, 0, 0)
    return Route(key, member, 4, gateway, None, False, b"")


BOTH = world(
    ni0=held("ni0", "192.0.2.5/24", "2001:db8::5/64", "fe80::10/64"),
    ni1=held("ni1", "169.254.1.1/32", "fe80::11/64"),
)
CONFIG = GroupConfig("ipmp0", ("ni0", "ni1"))


def probing(**settings: object) -> GroupConfig:
    return replace(CONFIG, probe=Probe(**settings))  # type: ignore[arg-type]


def paths(config: GroupConfig, snapshot: Snapshot = BOTH, offline: tuple[str, ...] = ()) -> dict:  # type: ignore[type-arg]
    found = arrange(config, snapshot, NOBODY, offline).paths
    return {(p.member, p.family): (p.method, p.source) for p in found}


def test_without_test_addresses_everything_is_asked_by_arp_and_solicitation() -> None:
    assert paths(CONFIG) == {
        ("ni0", V4): (Method.ARP, ""),
        ("ni0", V6): (Method.ARP, "fe80::10"),
        ("ni1", V4): (Method.ARP, ""),
        ("ni1", V6): (Method.ARP, "fe80::11"),
    }


TESTED = {"ni0": "192.0.2.21/32", "ni1": "2001:db8::22/128"}
WITH_TESTS = world(
    ni0=held("ni0", "192.0.2.21/32", "fe80::10/64"),
    ni1=held("ni1", "2001:db8::22/128", "fe80::11/64"),
)


def test_auto_uses_icmp_where_a_member_has_its_test_address() -> None:
    assert paths(probing(test_addresses=TESTED), WITH_TESTS) == {
        ("ni0", V4): (Method.ICMP, "192.0.2.21"),
        ("ni0", V6): (Method.ARP, "fe80::10"),
        ("ni1", V4): (Method.ARP, ""),
        ("ni1", V6): (Method.ICMP, "2001:db8::22"),
    }


def test_icmp_needs_a_test_address_or_a_link_local_one() -> None:
    assert paths(probing(method="icmp", test_addresses=TESTED), WITH_TESTS) == {
        ("ni0", V4): (Method.ICMP, "192.0.2.21"),
        ("ni0", V6): (Method.ICMP, "fe80::10"),
        ("ni1", V6): (Method.ICMP, "2001:db8::22"),
    }


def test_a_test_address_that_the_member_does_not_have_is_none() -> None:
    config = probing(test_addresses=TESTED)
    assert paths(config)["ni0", V4] == (Method.ARP, "")
    assert ("ni0", V4) not in paths(replace(config, probe=replace(config.probe, method="icmp")))


def test_arp_does_not_use_test_addresses_and_off_probes_nothing() -> None:
    arp = paths(probing(method="arp", test_addresses=TESTED), WITH_TESTS)
    assert {method for method, _ in arp.values()} == {Method.ARP}
    assert paths(probing(method="off", test_addresses=TESTED), WITH_TESTS) == {}


def test_a_family_without_data_test_address_or_target_is_not_probed() -> None:
    only_v4 = world(ni0=held("ni0", "192.0.2.5/24", "fe80::10/64"), ni1=held("ni1", "fe80::11/64"))
    assert {family for _, family in paths(CONFIG, only_v4)} == {V4}
    assert {f for _, f in paths(probing(targets=("fe80::1",)), only_v4)} == {V4, V6}
    declared = replace(CONFIG, addresses=(DeclaredAddress("2001:db8::5/64"),))
    assert {family for _, family in paths(declared, only_v4)} == {V4, V6}
    assert paths(CONFIG, world(ni0=held("ni0", "fe80::10/64"))) == {}


def test_offline_and_absent_members_are_not_probed() -> None:
    assert {member for member, _ in paths(CONFIG, offline=("ni1",))} == {"ni0"}
    absent = Snapshot({"ni0": link("ni0")}, BOTH.addresses, {})
    assert {member for member, _ in paths(CONFIG, absent)} == {"ni0"}


@pytest.mark.parametrize("flags", [IFA_F_TENTATIVE, IFA_F_TENTATIVE | IFA_F_DADFAILED])
def test_a_link_local_address_under_duplicate_detection_is_not_used(flags: int) -> None:
    snapshot = world(
        ni0=held("ni0", "2001:db8::5/64") | held("ni0", "fe80::10/64", flags=flags),
        ni1=held("ni1", "fe80::11/64"),
    )
    assert set(paths(CONFIG, snapshot)) == {("ni1", V6)}


def test_of_two_link_local_addresses_one_that_is_not_deprecated_is_used() -> None:
    old = held("ni0", "fe80::1/64", flags=IFA_F_PERMANENT | IFA_F_DEPRECATED)
    snapshot = world(ni0=old | held("ni0", "2001:db8::5/64", "fe80::10/64"))
    assert paths(CONFIG, snapshot)["ni0", V6] == (Method.ARP, "fe80::10")


@pytest.mark.parametrize(
    ("state", "up"),
    [
        ({"up": True, "carrier": True}, True),
        ({"up": True, "carrier": None}, True),
        ({"up": True, "carrier": False}, False),
        ({"up": False, "carrier": True}, False),
    ],
)
def test_a_path_is_up_unless_its_link_is_known_to_be_down(
    state: dict[str, bool | None], up: bool
) -> None:
    links = {"ni0": link("ni0", **state)}  # type: ignore[arg-type]
    (path, *_) = arrange(CONFIG, Snapshot(links, BOTH.addresses, {}), NOBODY, ()).paths
    assert (path.link, path.ifindex, path.hwaddr) == (up, 10, "02:00:00:00:00:10")


def test_candidates_of_each_family_come_from_their_sources() -> None:
    config = probing(targets=("192.0.2.9", "fe80::9"))
    snapshot = Snapshot(
        BOTH.links,
        BOTH.addresses,
        {
            "ni0": [route("ni0", "192.0.2.1"), route("ni0", "192.0.2.1", "198.51.100.0/24")],
            "ni1": [route("ni1", "fe80::1"), route("ni1", None, "203.0.113.0/24")],
        },
    )
    nearby = Nearby({V6: ("fe80::2",)}, {V4: ("192.0.2.77",)}, own=frozenset({"192.0.2.200"}))
    candidates = arrange(config, snapshot, nearby, ()).candidates
    assert candidates[V4].configured == ("192.0.2.9",)
    assert candidates[V4].routers == ("192.0.2.1",)
    assert candidates[V4].neighbours == ("192.0.2.77",)
    assert candidates[V6].configured == ("fe80::9",)
    assert candidates[V6].routers == ("fe80::1", "fe80::2")
    assert {"192.0.2.5", "fe80::10", "fe80::11", "192.0.2.200"} <= candidates[V4].own


def test_the_gateway_of_a_route_that_is_spread_is_a_router_too() -> None:
    default = route("ni0", "192.0.2.1")
    way = SpreadRoute(default.key, ("ni0", "ni1"), OWNER, default.gateway, None, b"")
    snapshot = replace(BOTH, spread=[way])
    assert arrange(CONFIG, snapshot, NOBODY, ()).candidates[V4].routers == ("192.0.2.1",)
    assert inquire(CONFIG, snapshot).neighbours == {V6}


def test_neighbours_are_asked_for_only_where_nothing_better_is_known() -> None:
    routes = {"ni0": [route("ni0", "192.0.2.1")], "ni1": []}
    snapshot = Snapshot(BOTH.links, BOTH.addresses, routes)
    assert inquire(CONFIG, snapshot).neighbours == {V6}
    assert inquire(CONFIG, BOTH).neighbours == {V4, V6}
    assert inquire(probing(targets=("192.0.2.9",)), BOTH).neighbours == {V6}
    assert inquire(probing(method="off"), BOTH).neighbours == frozenset()


def test_whether_a_target_is_this_host_is_asked_for_all_targets_and_routers() -> None:
    routes = {"ni0": [route("ni0", "192.0.2.1")]}
    snapshot = Snapshot(BOTH.links, BOTH.addresses, routes)
    config = probing(targets=("fe80::9",))
    assert inquire(config, snapshot).addresses == {"192.0.2.1", "fe80::9"}


def test_the_configured_detection_time_is_handed_on() -> None:
    assert (
        arrange(replace(CONFIG, failure_detection_time=0.1), BOTH, NOBODY, ()).detection_time == 0.1
    )
