"""Probing with real packets: what is answered, what is not, and what probes leave behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from ipmp.kernel import probe_frames
from ipmp.lab import Lab
from ipmp.lab.topology import HOST, PEER, ROUTER, SW1
from ipmp.model import ProbeState
from ipmp.probing import View, vouchers
from ipmp.probing.detection import LOSSES, SUCCESSES
from tests.support.frames import gratuitous_arp, send_frames
from tests.support.prober import ICMP, Prober, add_test_addresses, probing
from tests.support.wait import eventually

OK, FAILED, UNKNOWN = ProbeState.OK, ProbeState.FAILED, ProbeState.UNKNOWN
ROUTER_MAC, NI0_MAC = "02:00:00:00:00:01", "02:00:00:00:00:10"
ROUTER_BYTES, PEER_BYTES = bytes((192, 168, 1, 1)), bytes((192, 168, 1, 100))
LINK_LOCAL_PEER = "fe80::ff:fe00:64"

#: Sends ICMP echo replies that nobody has asked for, from the peer's own address.
FORGE = """
import socket, struct, sys, time
to, ident = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
for n in range(300):
    body = struct.pack("!BBHHH8s", 0, 0, 0, ident, n % 60, b"forged!!")
    s.sendto(body[:2] + struct.pack("!H", checksum(body)) + body[4:], (to, 0))
    time.sleep(0.005)  # so many a second that some come amid a probe
"""


def settings(method: str) -> str:
    return ICMP if method == "icmp" else f'method = "{method}"\n'


@pytest.fixture(params=["arp", "icmp"])
def method(request: pytest.FixtureRequest, lab: Lab) -> str:
    if request.param == "icmp":
        add_test_addresses(lab)
    return str(request.param)


def test_both_members_are_probed_in_both_families(lab: Lab, tmp_path: Path, method: str) -> None:
    """The next hops of the host's default routes are the targets, through either member."""
    with probing(lab, tmp_path, settings(method)) as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        for member in ("ni0", "ni1"):
            assert prober.targets(member, "ipv4") == ("routes", ("192.168.1.1",))
            assert prober.targets(member, "ipv6") == ("routes", ("fd00:1::1",))
            for family in ("ipv4", "ipv6"):
                eventually(lambda m=member, f=family: prober.counters(m, f)["acked"] >= SUCCESSES)
                assert prober.counters(member, family)["rejected"] == {}
            times = prober.outcomes(member, lost=False)
            assert all(0 <= o["net_rtt"] <= o["rtt"] for o in times)
        assert not prober.lines("refused")
        assert not prober.lines("unsent")


def test_arp_probes_leave_no_neighbour_entry_behind(lab: Lab, tmp_path: Path) -> None:
    with probing(lab, tmp_path, settings("arp")) as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        eventually(lambda: prober.counters("ni1", "ipv4")["acked"] >= SUCCESSES)
    for node in (ROUTER, PEER):
        assert lab.ip_json(node, "-4", "neigh", "show") == []
    solicited = lab.ip_json(ROUTER, "-6", "neigh", "show")
    assert {entry["dst"] for entry in solicited} <= {"fe80::ff:fe00:10", "fe80::ff:fe00:11"}, (
        "ND knows the members' own link-local addresses, nothing else"
    )


def test_11_a_silent_port_is_found_and_its_repair(lab: Lab, tmp_path: Path, method: str) -> None:
    with probing(lab, tmp_path, settings(method)) as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        lab.fault("silent", "ni0")
        broken = time.monotonic()
        prober.await_verdicts(ni0=FAILED, ni1=OK)
        standings = prober.standings()
        for family in ("ipv4", "ipv6"):
            lost = prober.outcomes("ni0", since=broken, family=family, lost=True)
            assert len(lost) >= LOSSES
        views = {name: View(True, True, standing) for name, standing in standings.items()}
        assert vouchers("ni0", views) == ("ni1",), "it is the interface, not the group"
        mended = time.monotonic()
        lab.repair("ni0")
        prober.await_verdicts(ni0=OK, ni1=OK)
        answered = [
            len(prober.outcomes("ni0", since=mended, family=family, lost=False))
            for family in ("ipv4", "ipv6")
        ]
        assert max(answered) >= SUCCESSES
        assert prober.history("ni0")[-3:] == [OK, FAILED, OK]
        assert FAILED not in prober.history("ni1")


def test_a_detection_time_of_100_ms_works(lab: Lab, tmp_path: Path, method: str) -> None:
    with probing(lab, tmp_path, settings(method), "100ms") as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        for _ in range(3):
            lab.fault("silent", "ni0")
            prober.await_verdicts(ni0=FAILED, ni1=OK)
            lab.repair("ni0")
            prober.await_verdicts(ni0=OK, ni1=OK)
        assert FAILED not in prober.history("ni1")


def test_12_a_path_that_is_dead_in_one_direction_is_dead(lab: Lab, tmp_path: Path) -> None:
    with probing(lab, tmp_path, settings("arp")) as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        astray = ("fdb", "replace", NI0_MAC, "dev", "to-router", "master", "static", "sticky")
        lab.run(SW1, ("bridge", *astray))  # questions pass, answers end at the wrong port
        prober.await_verdicts(ni0=FAILED, ni1=OK)


def test_13_thirty_percent_of_loss_is_no_failure(lab: Lab, tmp_path: Path) -> None:
    with probing(lab, tmp_path, settings("arp"), "100ms") as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        lab.fault("loss", "ni0", 30)
        eventually(lambda: prober.counters("ni0", "ipv4")["lost"] >= 100, 30)
        assert prober.history("ni0")[-1] == OK
        assert FAILED not in prober.history("ni0")


def test_15_all_targets_dead_is_the_failure_of_the_group(
    lab: Lab, tmp_path: Path, method: str
) -> None:
    with probing(lab, tmp_path, settings(method)) as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        lab.run(ROUTER, ("ip", "link", "set", "eth0", "down"))
        eventually(lambda: FAILED in prober.verdicts().values())
        views = {name: View(True, True, s) for name, s in prober.standings().items()}
        first = next(name for name, view in views.items() if view.standing.verdict is FAILED)
        assert vouchers(first, views) == ()
        prober.await_verdicts(ni0=FAILED, ni1=FAILED)
        lab.run(ROUTER, ("ip", "link", "set", "eth0", "up"))
        prober.await_verdicts(ni0=OK, ni1=OK, timeout=30)


# Answers of others ------------------------------------------------------------------------------


def test_17_a_flood_of_arp_for_the_target_is_no_life(lab: Lab, tmp_path: Path) -> None:
    with probing(lab, tmp_path, 'method = "arp"\ntargets = ["192.168.1.1"]\n') as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        lab.run(ROUTER, ("ip", "link", "set", "eth0", "down"))
        for _ in range(40):
            send_frames(lab, PEER, "eth0", gratuitous_arp(ROUTER_MAC, ROUTER_BYTES), 50)
            if set(prober.verdicts().values()) == {FAILED}:
                break
        prober.await_verdicts(ni0=FAILED, ni1=FAILED)
        assert prober.history("ni0") == prober.history("ni1")


def test_arp_replies_of_another_host_are_rejected(lab: Lab, tmp_path: Path) -> None:
    forged = _arp_reply(NI0_MAC, PEER_BYTES)
    with probing(lab, tmp_path, 'method = "arp"\ntargets = ["192.168.1.1"]\n') as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        send_frames(lab, PEER, "eth0", forged, 20)
        eventually(lambda: prober.counters("ni0", "ipv4")["rejected"].get("sender") == 20)
        assert prober.counters("ni1", "ipv4")["rejected"] == {}
        unasked = _arp_reply(NI0_MAC, ROUTER_BYTES)
        send_frames(lab, PEER, "eth0", unasked, 20)
        eventually(lambda: prober.counters("ni0", "ipv4")["rejected"].get("duplicate", 0) >= 18)


def test_echo_replies_that_were_not_asked_for_are_rejected(lab: Lab, tmp_path: Path) -> None:
    add_test_addresses(lab)
    with probing(lab, tmp_path, ICMP) as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        acked = prober.counters("ni0", "ipv4")["acked"]
        lab.run(ROUTER, ("ip", "link", "set", "eth0", "down"))
        lab.run(PEER, (sys.executable, "-c", FORGE, "192.168.1.21", "4660"))
        eventually(lambda: prober.counters("ni0", "ipv4")["rejected"].get("ident", 0) >= 300)
        prober.await_verdicts(ni0=FAILED, ni1=FAILED)
        assert prober.counters("ni0", "ipv4")["acked"] <= acked + 2


def _arp_reply(to: str, sender: bytes) -> bytes:
    mac, own = bytes.fromhex(to.replace(":", "")), bytes.fromhex("020000000064")
    body = probe_frames.ARP.pack(1, 0x0800, 6, 4, 2, own, sender, mac, b"\0" * 4)
    return mac + own + b"\x08\x06" + body


# A host that does not run -----------------------------------------------------------------------


@pytest.mark.parametrize("detection", ["100ms", "1s"])
def test_37_a_stopped_process_fails_nothing_over(
    lab: Lab, tmp_path: Path, method: str, detection: str
) -> None:
    with probing(lab, tmp_path, settings(method), detection) as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        for pause in (0.02, 0.1, 0.5, 2.0, 0.02, 0.1):
            os.kill(prober.pid, signal.SIGSTOP)
            time.sleep(pause)  # it stands still so long
            os.kill(prober.pid, signal.SIGCONT)
            resumed = time.monotonic()
            eventually(lambda: prober.outcomes("ni0", since=resumed, lost=False))  # noqa: B023
        assert prober.history("ni0")[-1] == OK
        assert FAILED not in prober.history("ni0") + prober.history("ni1")
        missed = prober.counters("ni0", "ipv4")["missed"]
        assert missed > 0, "it was really stopped"


def test_a_busy_host_fails_nothing_over(lab: Lab, tmp_path: Path) -> None:
    """All processors are taken by others that rank above us, at the shortest detection time."""
    hogs = [
        lab.popen(HOST, (sys.executable, "-c", "while True: pass"))
        for _ in range(4 * (os.cpu_count() or 1))
    ]
    try:
        with probing(lab, tmp_path, settings("arp"), "100ms") as prober:
            os.setpriority(os.PRIO_PROCESS, prober.pid, 10)
            prober.await_verdicts(ni0=OK, ni1=OK)
            eventually(lambda: prober.counters("ni1", "ipv4")["acked"] >= 150, 60)
            assert FAILED not in prober.history("ni0") + prober.history("ni1")
            assert prober.counters("ni0", "ipv4")["missed"] > 0, "it was really busy"
            lab.fault("silent", "ni0")
            prober.await_verdicts(ni0=FAILED, ni1=OK, timeout=30)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


# Where targets come from ------------------------------------------------------------------------


def without_routes(lab: Lab) -> None:
    for family in ("-4", "-6"):
        lab.run(HOST, ("ip", family, "route", "del", "default"))


def test_without_routes_the_neighbours_are_asked(lab: Lab, tmp_path: Path) -> None:
    without_routes(lab)
    with lab.meter(HOST, "192.168.1.100", count=1) as stream:
        assert stream.result().received == 1
    with probing(lab, tmp_path, settings("arp")) as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        assert prober.targets("ni1", "ipv4") == ("neighbour", ("192.168.1.100",))


def test_without_routes_icmp_asks_who_is_there(lab: Lab, tmp_path: Path) -> None:
    add_test_addresses(lab)
    without_routes(lab)
    lab.run(PEER, ("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_broadcasts=0"))
    with probing(lab, tmp_path, ICMP) as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        eventually(
            lambda: (
                prober.targets("ni0", "ipv4") == ("multicast", ("192.168.1.100",))
                and LINK_LOCAL_PEER in prober.targets("ni1", "ipv6")[1]
            )
        )
        own = {"fe80::ff:fe00:10", "fe80::ff:fe00:11"}
        assert own.isdisjoint(prober.targets("ni0", "ipv6")[1])


@pytest.mark.parametrize("protocol", ["ra", "dhcp"])
def test_next_hops_that_others_have_learnt_are_asked_too(
    lab: Lab, tmp_path: Path, protocol: str
) -> None:
    without_routes(lab)
    lab.run(HOST, ("ip", "-4", "route", "add", "default", "via", "192.168.1.1", "proto", protocol))
    with probing(lab, tmp_path, settings("arp")) as prober:
        assert prober.targets("ni1", "ipv4") == ("routes", ("192.168.1.1",))
        prober.await_verdicts(ni0=OK, ni1=OK)


def test_an_own_address_is_no_target_on_whichever_interface_it_is(lab: Lab, tmp_path: Path) -> None:
    lab.run(HOST, ("ip", "addr", "add", "192.168.1.200/32", "dev", "lo"))
    targets = 'targets = ["192.168.1.200", "192.168.1.100"]\n'
    with probing(lab, tmp_path, settings("arp") + targets) as prober:
        assert prober.targets("ni0", "ipv4") == ("config", ("192.168.1.100",))


def test_icmp_to_a_target_on_the_link_never_takes_the_way_over_a_router(
    lab: Lab, tmp_path: Path
) -> None:
    """With TTL 1 it would die there. ni1 has no route to the link, but a default one."""
    add_test_addresses(lab)
    lab.run(HOST, ("ip", "route", "del", "default"))
    route = ("default", "via", "192.168.1.1", "dev", "ni1", "onlink")
    lab.run(HOST, ("ip", "route", "add", *route))
    with probing(lab, tmp_path, ICMP + 'targets = ["192.168.1.100"]\n') as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        assert not prober.outcomes("ni1", lost=True, family="ipv4")


def test_a_silent_target_is_asked_as_soon_as_it_announces_itself(lab: Lab, tmp_path: Path) -> None:
    """Until then an ARP probe could be taken for a rival of its address (RFC 5227 2.1.1)."""
    with (
        lab.sniff(PEER, "eth0") as wire,
        probing(lab, tmp_path, settings("arp") + 'targets = ["192.168.1.77"]\n') as prober,
    ):
        eventually(lambda: prober.last("silent") == ["192.168.1.77"])
        asked = [f for f in wire.frames() if f.target_ip == "192.168.1.77"]
        assert {f.sender_ip for f in asked} == {"0.0.0.0"}
        assert len(asked) <= 4, "once by each member, not in every interval"
        lab.run(PEER, ("ip", "addr", "add", "192.168.1.77/24", "dev", "eth0"))
        announced = gratuitous_arp("02:00:00:00:00:64", bytes((192, 168, 1, 77)))
        send_frames(lab, PEER, "eth0", announced)
        prober.await_verdicts(ni0=OK, ni1=OK)
        eventually(lambda: prober.last("silent") == [])


def test_44_a_member_that_is_replaced_is_probed_again(lab: Lab, tmp_path: Path) -> None:
    with probing(lab, tmp_path, settings("arp")) as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        lab.remove_nic("ni1")
        eventually(lambda: set(prober.verdicts()) == {"ni0"})
        lab.insert_nic("ni1")
        eventually(lambda: "ni1" in prober.verdicts())
        lab.run(HOST, ("ip", "link", "set", "ni1", "up"))
        prober.await_verdicts(ni0=OK, ni1=OK)


def test_a_pulled_cable_stops_the_probes_and_ten_answers_repair(
    lab: Lab, tmp_path: Path, method: str
) -> None:
    with probing(lab, tmp_path, settings(method)) as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        lab.fault("cable-pull", "ni0")
        prober.await_verdicts(ni0=FAILED, ni1=OK)
        lab.repair("ni0")
        prober.await_verdicts(ni0=OK, ni1=OK)
        assert FAILED not in prober.history("ni1")


def test_configured_link_local_targets_are_asked_by_icmpv6(lab: Lab, tmp_path: Path) -> None:
    add_test_addresses(lab)
    targets = f'targets = ["192.168.1.100", "{LINK_LOCAL_PEER}"]\n'
    with probing(lab, tmp_path, ICMP + targets) as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        _answered_by(prober, "ipv6", LINK_LOCAL_PEER)
        _answered_by(prober, "ipv4", "192.168.1.100")


def _answered_by(prober: Prober, family: str, target: str) -> None:
    for member in ("ni0", "ni1"):
        eventually(lambda m=member: prober.outcomes(m, family=family, target=target, lost=False))


def test_when_its_test_address_is_taken_away_a_member_is_probed_by_arp(
    lab: Lab, tmp_path: Path
) -> None:
    add_test_addresses(lab)
    with probing(lab, tmp_path, ICMP.replace('"icmp"', '"auto"')) as prober:
        prober.await_verdicts(ni0=OK, ni1=OK)
        assert _source(prober, "ni1") == "192.168.1.22"
        lab.run(HOST, ("ip", "addr", "del", "192.168.1.22/32", "dev", "ni1"))
        eventually(lambda: _source(prober, "ni1") == "")
        since = time.monotonic()
        eventually(lambda: prober.outcomes("ni1", since=since, family="ipv4", lost=False))
        prober.await_verdicts(ni0=OK, ni1=OK)
        assert not prober.lines("refused")


def _source(prober: Prober, member: str) -> str:
    rows = prober.last("targets")
    source: str = next(r["source"] for r in rows if (r["member"], r["family"]) == (member, "ipv4"))
    return source
