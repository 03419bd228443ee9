"""What is said on the link, when, by whom; judged at the peer's port."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from ipmp.lab import Lab
from ipmp.lab.captures import Capture, Frame
from ipmp.lab.topology import HOST
from tests.scenarios.conftest import StartHost
from tests.support.views import BOTH, IPV4, IPV6, PLAIN, mislead, on, peer_knows
from tests.support.wait import eventually

SCHEDULES = {IPV4: (0.0, 1.1, 3.1, 5.1), IPV6: (0.0, 1.0, 2.0)}
TOLERANCE = 0.1  # of each interval
NOBODY = "02:00:00:00:00:99"
RATE = 10  # announcements a second, the default
AFTER = 0.6  # seconds in which one announcement too many would come


@pytest.mark.slow
def test_20_exact_announcements(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    with lab.sniff("peer", "eth0") as port:
        assert host.if_mpadm("-d", "ni0").returncode == 0
        eventually(lambda: len(port.announcements(IPV4)) == 4, 8)
        time.sleep(AFTER)
        seen = {address: port.announcements(address) for address in BOTH}
    for address, schedule in SCHEDULES.items():
        frames = seen[address]
        assert len(frames) == len(schedule)
        offsets = [f.monotonic - frames[0].monotonic for f in frames]
        for offset, expected in zip(offsets[1:], schedule[1:], strict=True):
            assert abs(offset - expected) <= TOLERANCE * expected
        assert {(f.src_mac, f.sender_mac) for f in frames} == {(lab.mac("ni1"), lab.mac("ni1"))}
    assert {f.kind for f in seen[IPV4]} == {"arp-request"}
    assert {(f.override, f.router, f.solicited) for f in seen[IPV6]} == {(True, False, False)}


@pytest.mark.slow
def test_24_announcements_stop_when_ownership_is_lost(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    with lab.sniff("peer", "eth0") as port:
        assert host.if_mpadm("-d", "ni0").returncode == 0
        assert host.if_mpadm("-r", "ni0").returncode == 0
        on(lab, "ni0", *BOTH)
        eventually(lambda: len(_from(lab, port.announcements(IPV4), "ni0")) == 4, 8)
        frames = [f for address in BOTH for f in port.announcements(address)]
    back = min(f.monotonic for f in _from(lab, frames, "ni0"))
    late = [f for f in _from(lab, frames, "ni1") if f.monotonic > back]
    assert _from(lab, frames, "ni1"), "the first move was announced"
    assert late == []


@pytest.mark.slow
def test_21_a_planned_move_of_100_addresses_is_paced(lab: Lab, start_host: StartHost) -> None:
    addresses = many(lab, 100)
    host = start_host(PLAIN)
    with (
        lab.meter("peer", addresses[0]) as first,
        lab.meter("peer", addresses[-1]) as last,
        lab.sniff("peer", "eth0") as port,
    ):
        assert host.if_mpadm("-d", "ni0").returncode == 0
        eventually(lambda: repeated(port.frames()), 5)
        frames = announced(port)
        assert (first.result().lost, last.result().lost) == (0, 0)
    assert {f.sender_mac for f in frames} == {lab.mac("ni1")}
    assert firsts_come_first(frames) == set(addresses)
    assert most_in_a_second(frames) <= RATE


@pytest.mark.slow
@pytest.mark.parametrize(("burst", "count"), [(True, 100), (False, 20)])
def test_21_a_failure_of_many_addresses_is_told_at_once_unless_all_is_paced(
    lab: Lab, start_host: StartHost, burst: bool, count: int
) -> None:
    addresses = many(lab, count)
    start_host(PLAIN + ("" if burst else "announce = { burst = false }\n"))
    with lab.sniff("peer", "eth0") as port:
        lab.fault("cable-pull", "ni0")
        eventually(lambda: len(repeated(port.frames())) > RATE, 20)
        frames = announced(port)
    assert {f.sender_mac for f in frames} == {lab.mac("ni1")}
    assert firsts_come_first(frames) == set(addresses)
    if burst:
        firsts, repeats = frames[: len(addresses)], frames[len(addresses) :]
        assert firsts[-1].monotonic - firsts[0].monotonic < 0.2
        assert most_in_a_second(repeats) <= RATE
    else:
        assert most_in_a_second(frames) <= RATE


def test_22_na_flags_of_a_router(lab: Lab, start_host: StartHost) -> None:
    """Those of a host are scenario 20's."""
    lab.run(HOST, ("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/ni1/forwarding"))
    host = start_host(PLAIN)
    with lab.sniff("peer", "eth0") as port:
        assert host.if_mpadm("-d", "ni0").returncode == 0
        eventually(lambda: len(port.announcements(IPV6)) == 3)
        time.sleep(1 + AFTER)
        frames = port.announcements(IPV6)
    assert {(f.override, f.router, f.solicited) for f in frames} == {(True, True, False)}
    assert {(f.sender_ip, f.sender_mac) for f in frames} == {(IPV6, lab.mac("ni1"))}
    assert {f.dst_mac for f in frames} == {"33:33:00:00:00:01"}
    assert len(frames) == 3
    assert all(b.monotonic - a.monotonic >= 1 - TOLERANCE for a, b in pairwise(frames))


def test_23_a_failback_is_announced(lab: Lab, start_host: StartHost) -> None:
    start_host(PLAIN + 'up_delay = "100ms"\n')
    lab.fault("cable-pull", "ni0")
    on(lab, "ni1", *BOTH)
    mislead(lab, NOBODY)
    with lab.sniff("peer", "eth0") as port:
        lab.repair("ni0")
        on(lab, "ni0", *BOTH)
        eventually(lambda: all(_from(lab, port.announcements(a), "ni0") for a in BOTH))
    eventually(lambda: believes(lab, "ni0"))


def test_23_a_group_repair_is_announced_though_nothing_moved(
    lab: Lab, start_host: StartHost
) -> None:
    host = start_host(PLAIN + "failback = false\n")
    lab.fault("cable-pull", "ni1")
    eventually(lambda: host.status().interface("ni1").state == "failed")
    lab.fault("cable-pull", "ni0")
    eventually(lambda: host.status().group("ipmp0").state == "failed")
    mislead(lab, NOBODY)
    with lab.sniff("peer", "eth0") as port:
        lab.repair("ni0")
        eventually(lambda: all(_from(lab, port.announcements(a), "ni0") for a in BOTH))
    on(lab, "ni0", *BOTH)
    eventually(lambda: believes(lab, "ni0"))


def test_23_a_restart_after_a_kill_is_announced_to_a_peer_that_is_wrong(
    lab: Lab, start_host: StartHost
) -> None:
    host = start_host(PLAIN)
    assert host.if_mpadm("-d", "ni0").returncode == 0
    on(lab, "ni1", *BOTH)
    host.kill9()
    mislead(lab, NOBODY)
    host.start()
    eventually(lambda: believes(lab, "ni1"))
    with lab.meter("peer", IPV4, count=200) as stream:
        assert stream.result().lost == 0


def many(lab: Lab, count: int) -> list[str]:
    """Put so many IPv4 addresses on ni0, the one that is there included."""
    more = [f"192.168.1.{110 + number}" for number in range(count - 1)]
    lines = "".join(f"addr add {address}/24 dev ni0\n" for address in more)
    lab.run(HOST, ("ip", "-batch", "-"), input=lines)
    return [IPV4, *more]


def announced(port: Capture) -> list[Frame]:
    """The gratuitous ARPs so far, in the order of their times."""
    frames = [f for f in port.frames() if f.announces and f.kind == "arp-request"]
    return sorted(frames, key=lambda f: f.monotonic)


def repeated(frames: list[Frame]) -> list[Frame]:
    """Announcements of IPv4 addresses that had been announced before."""
    seen: set[str] = set()
    again = [f for f in frames if f.announces in seen or seen.add(f.announces or "")]
    return [f for f in again if f.kind == "arp-request" and f.announces]


def firsts_come_first(frames: list[Frame]) -> set[str]:
    """Every address is announced once before any is announced again; returns them."""
    addresses = {f.announces or "" for f in frames}
    assert len({f.announces for f in frames[: len(addresses)]}) == len(addresses)
    return addresses


def most_in_a_second(frames: list[Frame]) -> int:
    """The most announcements in any second; the machine may be late by `TOLERANCE`."""
    times = [f.monotonic for f in frames]
    return max(sum(t <= u < t + 1 - TOLERANCE for u in times) for t in times)


def believes(lab: Lab, member: str) -> bool:
    """Whether the peer has the member's MAC for the data addresses."""
    return all(peer_knows(lab, address, member) for address in BOTH)


def _from(lab: Lab, frames: list[Frame], member: str) -> list[Frame]:
    return [f for f in frames if f.sender_mac == lab.mac(member)]
