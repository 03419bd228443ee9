"""The lab itself: its network is whole, its faults do what they say, its instruments are exact."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest

from ipmp.lab import Fault, Lab, LabError
from ipmp.lab.arrivals import Arrivals
from ipmp.lab.loss import lost_of_hundred
from ipmp.lab.topology import FAR_IPV4, FAR_IPV6, PEER_IPV4, PEER_IPV6, ROUTER_IPV4, ROUTER_IPV6
from tests.support.frames import gratuitous_arp, send_frames, unsolicited_na
from tests.support.wait import eventually

HOST_IPV4, HOST_IPV6 = "192.168.1.5", "fd00:1::5"
EVERYBODY = (ROUTER_IPV4, ROUTER_IPV6, PEER_IPV4, PEER_IPV6, FAR_IPV4, FAR_IPV6)


def carrier(lab: Lab, nic: str) -> bool:
    return "LOWER_UP" in lab.ip_json("host", "link", "show", nic)[0]["flags"]


def only_ni0(lab: Lab) -> None:
    """Leave the host with one way in: with two, both answer ARP for the address (ARP flux)."""
    lab.run("host", ("ip", "link", "set", "ni1", "down"))


# ---------------------------------------------------------------------- the network


@pytest.mark.parametrize("address", EVERYBODY)
def test_the_host_reaches_everybody_from_the_first_packet_on(lab: Lab, address: str) -> None:
    result = lab.meter("host", address, count=50).result()
    assert (result.received, result.lost, result.duplicates) == (50, 0, 0)


@pytest.mark.parametrize("source", ["peer", "router", "far"])
@pytest.mark.parametrize("address", [HOST_IPV4, HOST_IPV6])
def test_everybody_reaches_the_host(lab: Lab, source: str, address: str) -> None:
    result = lab.meter(source, address, count=50).result()
    assert (result.received, result.lost) == (50, 0)


def test_nics_and_macs_are_those_of_every_lab(lab3: Lab) -> None:
    links = {link["ifname"]: link for link in lab3.ip_json("host", "link")}
    assert {"ni0", "ni1", "ni2"} <= set(links)
    for nic in ("ni0", "ni1", "ni2"):
        assert links[nic]["address"] == lab3.mac(nic)
        assert carrier(lab3, nic)
    assert lab3.cable("ni0").switch == "sw1"
    assert {lab3.cable(nic).switch for nic in ("ni1", "ni2")} == {"sw2"}


def test_the_host_starts_with_the_addresses_and_routes_of_the_story(lab: Lab) -> None:
    def addresses(nic: str) -> set[str]:
        found = lab.ip_json("host", "addr", "show", "dev", nic, "scope", "global")
        shown = (a for link in found for a in link["addr_info"] if a)
        return {f"{a['local']}/{a['prefixlen']}" for a in shown}

    assert addresses("ni0") == {"192.168.1.5/24", "fd00:1::5/64"}
    assert addresses("ni1") == set()
    for family, gateway in (("-4", ROUTER_IPV4), ("-6", ROUTER_IPV6)):
        (route,) = lab.ip_json("host", family, "route", "show", "default")
        assert (route["gateway"], route["dev"]) == (gateway, "ni0")


def test_two_labs_do_not_meet(tmp_path: Path, lab: Lab) -> None:
    with Lab(tmp_path / "other") as other:
        only_ni0(lab)
        lab.fault("cable-pull", "ni0")
        assert not carrier(lab, "ni0")
        assert carrier(other, "ni0")
        assert other.meter("peer", HOST_IPV4, count=50).result().lost == 0
    assert lab.run("host", ("true",)).returncode == 0  # the end of the other is not ours


def test_a_second_lab_in_the_same_directory_is_refused(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"a lab is up in .* already"):
        Lab(lab.directory).start()
    assert Lab.attach(lab.directory).keeper == lab.keeper


# ---------------------------------------------------------------------- programs in nodes


def test_run_passes_status_output_and_input(lab: Lab, tmp_path: Path) -> None:
    done = lab.run("peer", ("sh", "-c", "cat; echo err >&2; exit 7"), input="in", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "in", "err\n")
    with pytest.raises(subprocess.CalledProcessError):
        lab.run("peer", ("false",))
    assert lab.run("peer", ("pwd",), cwd=tmp_path).stdout.strip() == str(tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        lab.run("peer", ("sleep", "60"), timeout=0.05)


def test_an_unknown_node_or_nic_is_refused_with_the_known_ones(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"no node 'hots'; the nodes are host, sw1"):
        lab.run("hots", ("true",))
    with pytest.raises(LabError, match=r"no NIC 'ni2'; its NICs are ni0, ni1"):
        lab.fault("silent", "ni2")
    with pytest.raises(LabError, match="from 1 to 100, not 0"):
        lab.fault("loss", "ni0")


def test_signals_reach_the_program_itself(lab: Lab) -> None:
    process = lab.popen("host", ("sleep", "600"))
    program = process.inner_pid
    assert Path(f"/proc/{program}/comm").read_text() in ("sleep\n", "nsenter\n")
    process.send_signal(signal.SIGSTOP)
    eventually(lambda: process_state(program) == "T")
    process.send_signal(signal.SIGCONT)
    eventually(lambda: process_state(program) == "S")
    process.kill()
    assert process.wait(5) == -signal.SIGKILL
    assert not Path(f"/proc/{program}").exists()
    process.kill()  # of what has ended already: nothing happens


def process_state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def test_sysctls_are_those_of_the_node(lab: Lab) -> None:
    name = "/proc/sys/net/ipv4/conf/all/arp_ignore"
    outside = Path(name).read_text()
    lab.run("host", ("sh", "-c", f"echo 8 > {name}"))
    assert lab.run("host", ("cat", name)).stdout == "8\n"
    assert lab.run("peer", ("cat", name)).stdout == "0\n"
    assert Path(name).read_text() == outside


def test_named_namespaces_work_inside_and_only_there(lab: Lab) -> None:
    inside = lab.run("host", ("ip", "-j", "-n", "peer", "addr", "show", "eth0")).stdout
    assert PEER_IPV4 in inside
    assert not Path("/run/netns/sw1").exists()


def test_unix_sockets_in_ordinary_directories_are_shared(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        script = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
        lab.run("host", ("python3", "-c", script))


# ---------------------------------------------------------------------- faults


def test_cable_pull_takes_the_carrier_and_repair_returns_it(lab: Lab) -> None:
    only_ni0(lab)
    lab.fault("cable-pull", "ni0")
    assert not carrier(lab, "ni0")
    assert lab.faults("ni0") == [Fault.CABLE_PULL]
    assert lab.meter("host", PEER_IPV4, count=20).result().received == 0
    lab.repair("ni0")
    assert carrier(lab, "ni0")
    assert lab.faults("ni0") == []
    eventually(lambda: lab.meter("host", PEER_IPV4, count=20).result().lost == 0)


def test_silent_stops_frames_both_ways_and_keeps_the_carrier(lab: Lab) -> None:
    only_ni0(lab)
    with lab.sniff("sw2", "to-peer") as at_peer, lab.sniff("host", "ni0") as at_host:
        lab.fault("silent", "ni0")
        assert carrier(lab, "ni0")
        assert lab.faults("ni0") == [Fault.SILENT]
        send_frames(lab, "host", "ni0", gratuitous_arp(lab.mac("ni0"), bytes([10, 0, 0, 1])))
        send_frames(lab, "peer", "eth0", gratuitous_arp("02:00:00:00:00:64", bytes([10, 0, 0, 2])))
        lab.repair("ni0")
        send_frames(lab, "host", "ni0", gratuitous_arp(lab.mac("ni0"), bytes([10, 0, 0, 3])))
        send_frames(lab, "peer", "eth0", gratuitous_arp("02:00:00:00:00:64", bytes([10, 0, 0, 4])))
        eventually(lambda: at_peer.announcements("10.0.0.3"))
        eventually(lambda: at_host.announcements("10.0.0.4"))
        assert at_peer.announcements("10.0.0.1") == []
        assert at_host.announcements("10.0.0.2") == []


def test_silent_outlasts_a_carrier_change_on_the_same_switch(lab3: Lab) -> None:
    lab3.fault("silent", "ni1")
    lab3.fault("cable-pull", "ni2")
    lab3.repair("ni2")
    assert lab3.faults("ni1") == [Fault.SILENT]
    lab3.repair()
    assert lab3.faults("ni1") == []


@pytest.mark.parametrize("percent", [30, 33])
def test_loss_drops_that_share_evenly_in_each_direction(lab: Lab, percent: int) -> None:
    only_ni0(lab)
    stream = lab.meter("host", PEER_IPV4, count=1000)
    lab.fault("loss", "ni0", percent)
    assert lab.faults("ni0") == [Fault.LOSS]
    result = stream.result()
    way_there = result.outbound
    assert way_there is not None
    assert carrier(lab, "ni0")
    start = way_there.first_lost
    assert start is not None
    # ARP takes part in the counting, hence the margin of one in a hundred.
    assert way_there.lost / (1000 - start) == pytest.approx(percent / 100, abs=0.01)
    back = 1 - result.received / way_there.received
    assert back * way_there.received / (way_there.received - start) == pytest.approx(
        percent / 100, abs=0.02
    )
    lab.repair("ni0")
    assert lab.meter("host", PEER_IPV4, count=100).result().lost == 0


def test_a_nic_can_be_taken_out_and_put_back(lab: Lab) -> None:
    before = lab.ip_json("host", "link", "show", "ni0")[0]
    lab.remove_nic("ni0")
    assert "ni0" not in {link["ifname"] for link in lab.ip_json("host", "link")}
    lab.insert_nic("ni0")
    after = lab.ip_json("host", "link", "show", "ni0")[0]
    assert after["address"] == before["address"]
    assert after["ifindex"] != before["ifindex"]
    lab.run("host", ("ip", "link", "set", "ni0", "up"))
    lab.run("host", ("ip", "addr", "add", "192.168.1.5/24", "dev", "ni0"))
    assert lab.meter("host", PEER_IPV4, count=20).result().lost == 0


# ---------------------------------------------------------------------- instruments


def test_the_meter_loses_nothing_of_2000_on_an_idle_lab(lab: Lab) -> None:
    result = lab.meter("peer", HOST_IPV4, count=2000).result()
    assert (result.sent, result.received, result.lost, result.duplicates) == (2000, 2000, 0, 0)
    assert (result.first_lost, result.last_lost) == (None, None)
    assert result.outbound is not None
    assert result.outbound.received == 2000


@pytest.mark.parametrize(("source", "address"), [("peer", HOST_IPV4), ("host", PEER_IPV4)])
def test_the_meter_measures_the_length_of_an_outage(lab: Lab, source: str, address: str) -> None:
    only_ni0(lab)
    with lab.meter(source, address) as stream:
        lab.fault("silent", "ni0")
        lab.run("peer", ("sleep", "0.3"))
        lab.repair("ni0")
        lab.run("peer", ("sleep", "0.3"))
        result = stream.result()
    assert result.lost > 0
    lost_ms = result.lost  # at 1000 packets/s
    assert result.peer_gap_ms == pytest.approx(lost_ms, abs=30 + result.sender_stall_ms)
    assert 300 < result.peer_gap_ms < 3000


def test_the_shortest_stream_has_an_account(lab: Lab) -> None:
    for _ in range(5):
        assert lab.meter("peer", HOST_IPV4, count=1).result().received == 1
        assert lab.tcp_meter("peer", HOST_IPV4, count=1).result().survived


def test_a_stream_that_cannot_start_says_why(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"cannot start the stream: meter echo 192\.168\.1\.77: "):
        lab.meter("peer", "192.168.1.77")
    lab.run("peer", ("ip", "route", "del", "default"))
    with pytest.raises(LabError, match="Network is unreachable"):
        lab.tcp_meter("peer", FAR_IPV4)


def test_an_outage_without_end_counts_as_a_gap(lab: Lab) -> None:
    only_ni0(lab)
    with lab.meter("host", PEER_IPV4) as stream:
        lab.fault("silent", "ni0")
        lab.run("peer", ("sleep", "0.3"))
        result = stream.result()
    assert result.last_lost == result.sent - 1
    assert result.peer_gap_ms > 250


def test_a_tcp_stream_survives_an_outage_and_tells_its_stall(lab: Lab) -> None:
    only_ni0(lab)
    assert lab.tcp_meter("peer", HOST_IPV6, count=300).result().survived
    with lab.tcp_meter("peer", HOST_IPV4) as stream:
        lab.fault("silent", "ni0")
        lab.run("peer", ("sleep", "0.3"))
        lab.repair("ni0")
        result = stream.result()
    assert result.survived
    assert result.received == result.sent
    assert result.longest_stall_ms >= 300


def test_the_sniffer_counts_announcements_exactly(lab: Lab) -> None:
    mac = lab.mac("ni1")
    started = time.monotonic()
    with lab.sniff("peer", "eth0") as capture:
        arp = gratuitous_arp(mac, bytes([192, 168, 1, 77]))
        na = unsolicited_na(mac, socket.inet_pton(socket.AF_INET6, "fd00:1::77"))
        send_frames(lab, "host", "ni1", arp, count=500)
        send_frames(lab, "host", "ni1", na, count=300)
        eventually(lambda: len(capture.announcements("fd00:1::77")) == 300)
        capture.stop()
        requests = capture.announcements("192.168.1.77")
    assert len(requests) == 500
    assert {(f.kind, f.direction, f.src_mac, f.sender_mac) for f in requests} == {
        ("arp-request", "in", mac, mac)
    }
    advertisements = capture.announcements("fd00:1::77")
    assert {(f.kind, f.sender_mac, f.override, f.router) for f in advertisements} == {
        ("na", mac, True, False)
    }
    # Not their order: a frame of a sender that changed its core may pass one that it sent before.
    times = [frame.monotonic for frame in requests]
    assert started < min(times) < max(times) < min(frame.monotonic for frame in advertisements)


def test_the_sniffer_counts_unicast_ip_by_direction(lab: Lab) -> None:
    only_ni0(lab)
    with lab.sniff("sw1", "to-ni0", count=True) as capture:
        assert lab.meter("peer", HOST_IPV4, count=200).result().lost == 0
        capture.stop()
        seen = capture.unicast_ip()
    # Neighbour discovery is unicast IP too, sometimes; the stream is the rest.
    assert 200 <= seen.incoming <= 204
    assert 200 <= seen.outgoing <= 204


def test_the_sniffer_goes_on_when_its_interface_goes_down_and_up(lab: Lab) -> None:
    with lab.sniff("host", "ni0") as capture:
        lab.run("host", ("ip", "link", "set", "ni0", "down"))
        lab.run("host", ("ip", "link", "set", "ni0", "up"))
        frame = gratuitous_arp(lab.mac("ni0"), bytes([10, 0, 0, 1]))
        send_frames(lab, "host", "ni0", frame)
        eventually(lambda: capture.announcements("10.0.0.1"))
        assert [f.direction for f in capture.stop() if f.announces == "10.0.0.1"] == ["out"]


def test_a_sniffer_on_no_interface_is_refused(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"cannot sniff on ni9: .*No such device"):
        lab.sniff("host", "ni9")


def test_the_account_of_a_stream_knows_loss_duplicates_and_gaps() -> None:
    arrivals = Arrivals(interval=0.001)
    for number, arrived in ((1, 10.0), (2, 10.001), (2, 10.0011), (5, 10.024), (4, 10.0245)):
        arrivals.add(number, arrived)
    account = arrivals.result(sent=6)
    assert (account.received, account.lost, account.duplicates) == (4, 2, 1)
    assert (account.first_lost, account.last_lost) == (0, 3)
    assert account.longest_gap_ms == pytest.approx(22)
    assert arrivals.result(sent=106).longest_gap_ms == pytest.approx(100)  # the end is missing
    assert Arrivals(0.001).result(sent=40).longest_gap_ms == pytest.approx(40)


@pytest.mark.parametrize("percent", range(1, 101))
def test_so_many_of_each_hundred_frames_are_dropped(percent: int) -> None:
    lost = lost_of_hundred(percent)
    assert len(lost) == len(set(lost)) == percent
    gaps = [after - before for before, after in pairwise((*lost, 100 + lost[0]))]
    assert max(gaps) - min(gaps) <= 1  # as even as whole numbers allow


def test_running_something_costs_little(lab: Lab) -> None:
    before = os.times()
    for _ in range(20):
        lab.run("host", ("true",))
    after = os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    assert cpu / 20 < 0.02  # seconds of CPU each, ours and the children's
