"""Planned drains: nothing is lost, everything comes back as it was, the last member is refused."""

from __future__ import annotations

import time

import pytest

from ipmp.lab import Lab
from ipmp.lab.captures import Capture
from ipmp.lab.topology import HOST
from tests.scenarios.conftest import StartHost
from tests.support.lab import Host
from tests.support.views import BOTH, IPV4, IPV6, PLAIN, held, on, peer_knows, routes
from tests.support.wait import eventually

FLOWING = 0.3  # seconds of stream before something is done under it
SAFE = "ni0 is drained and quiet: it is safe to pull"
UNSAFE = (
    "ni0 is drained, but unicast traffic still arrives there after 2 s: "
    "a peer has not learned the new member"
)


def drained_under(lab: Lab, host: Host, address: str, source: str = "peer") -> None:
    """Drain ni0 while packets flow, and bring it back: none may be lost."""
    with lab.meter(source, address) as stream:
        time.sleep(FLOWING)
        done = host.if_mpadm("-d", "ni0")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        on(lab, "ni1", *BOTH)
        if source == "peer":
            assert peer_knows(lab, address, "ni1")
        time.sleep(FLOWING)
        done = host.if_mpadm("-r", "ni0")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        on(lab, "ni0", *BOTH)
        time.sleep(FLOWING)
        result = stream.result()
    assert result.sent > 900 * 3 * FLOWING
    assert (result.lost, result.duplicates) == (0, 0)


def test_01_planned_drain_ipv4(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    with lab.meter("far", IPV4) as behind_the_router:
        drained_under(lab, host, IPV4)
        assert behind_the_router.result().lost == 0
    assert host.status().interface("ni0").state == "ok"


def test_02_planned_drain_ipv6(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    monitor = lab.popen(HOST, ("ip", "-6", "monitor", "address"), stdout=-1, text=True)
    drained_under(lab, host, IPV6)
    monitor.terminate()
    seen, _ = monitor.communicate(timeout=5)
    assert IPV6 in seen
    assert not [line for line in seen.splitlines() if IPV6 in line and "tentative" in line]


def test_03_undo_restores_addresses_and_routes_as_they_were(
    lab: Lab, start_host: StartHost
) -> None:
    lab.run(HOST, ("ip", "addr", "add", "192.168.1.6/24", "dev", "ni0"))
    host = start_host(PLAIN)
    before = (held(lab, "ni0"), held(lab, "ni1"), routes(lab))
    assert host.if_mpadm("-d", "ni0").returncode == 0
    assert held(lab, "ni0") == []
    assert host.if_mpadm("-r", "ni0").returncode == 0
    on(lab, "ni0", *BOTH, "192.168.1.6")
    assert (held(lab, "ni0"), held(lab, "ni1"), routes(lab)) == before


def test_04_the_old_nic_is_idle_and_said_to_be_safe_to_pull(
    lab: Lab, start_host: StartHost
) -> None:
    host = start_host(PLAIN)
    with lab.meter("peer", IPV4) as stream, lab.sniff(HOST, "ni1", count=True) as new:
        assert host.if_mpadm("-d", "ni0").returncode == 0
        assert SAFE in host.sentences()
        with lab.sniff(HOST, "ni0", count=True) as old:
            carried = new.unicast_ip().incoming
            eventually(lambda: new.unicast_ip().incoming > carried + 5000, 15)
            assert carried_by(old) == 0
        assert stream.result().lost == 0
    assert SAFE in host.ipmp("explain", "ni0").stdout


def carried_by(port: Capture) -> int:
    """Unicast IP frames so far, without those by which neighbours ask each other if they live."""
    passed = port.unicast_ip()
    asked = [f for f in port.frames() if f.kind in ("ns", "na") and f.dst_mac[:5] != "33:33"]
    return passed.incoming + passed.outgoing - len(asked)


def test_04_traffic_that_does_not_leave_is_waited_for_and_then_warned_of(
    lab: Lab, start_host: StartHost
) -> None:
    host = start_host(PLAIN)
    deaf = f"neigh replace {IPV4} lladdr {lab.mac('ni0')} nud permanent dev eth0"
    lab.run("peer", ("ip", *deaf.split()))
    with lab.meter("peer", IPV4) as stream, lab.sniff(HOST, "ni0", count=True) as old:
        done = host.if_mpadm("-d", "ni0")
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == (
            "if_mpadm: warning: ni0 is offline, but traffic still arrives there or "
            "not everything has left it; do not pull it yet, see `ipmp history`\n"
        )
        assert old.unicast_ip().incoming > 500
        assert stream.result().lost == 0
    assert held(lab, "ni0") == []
    assert UNSAFE in host.sentences()
    assert SAFE not in host.sentences()


def test_a_guest_carries_the_label_of_a_logical_interface(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    host.if_mpadm("-d", "ni0")
    (link,) = lab.ip_json(HOST, "addr", "show", "dev", "ni1")
    labels = {a["local"]: a.get("label") for a in link["addr_info"]}
    assert labels[IPV4] == "ni1:1"


@pytest.mark.checklist("7.1", 21)
def test_19_minimum_redundancy(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    assert host.if_mpadm("-d", "ni1").returncode == 0
    before = (held(lab, "ni0"), routes(lab))
    refused = host.if_mpadm("-d", "ni0")
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr == (
        "if_mpadm: fatal: cannot offline ni0: "
        "no other functioning interfaces are in its IPMP group\n"
    )
    assert (held(lab, "ni0"), routes(lab)) == before
    assert host.status().interface("ni0").state == "ok"


def test_34_tcp_survives_a_drain(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    with lab.tcp_meter("peer", IPV4) as connection:
        time.sleep(FLOWING)
        assert host.if_mpadm("-d", "ni0").returncode == 0
        time.sleep(FLOWING)
        assert host.if_mpadm("-r", "ni0").returncode == 0
        time.sleep(FLOWING)
        result = connection.result()
    assert result.survived, result.error
    assert result.longest_stall_ms < 200


@pytest.mark.slow
def test_ten_drains_in_a_row_lose_0_of_4000(lab: Lab, start_host: StartHost) -> None:
    """IPv4 and IPv6 streams at the same time, a drain and its undo within each 4000 packets."""
    ten_drains(lab, start_host(PLAIN))


@pytest.mark.slow
def test_ten_drains_of_100_addresses_lose_0_of_4000(lab: Lab, start_host: StartHost) -> None:
    """Announced at 1000 a second; at the default pace each drain would take ten seconds."""
    for number in range(49):
        lab.run(HOST, ("ip", "addr", "add", f"192.168.1.{110 + number}/24", "dev", "ni0"))
        six = f"fd00:1::1:{number + 1:x}/64"
        lab.run(HOST, ("ip", "addr", "add", six, "dev", "ni0", "nodad"))
    ten_drains(lab, start_host(PLAIN + "announce = { rate = 1000 }\n"))
    assert len(held(lab, "ni0")) == 100


def ten_drains(lab: Lab, host: Host) -> None:
    for _ in range(10):
        with (
            lab.meter("peer", IPV4, count=4000) as four,
            lab.meter("peer", IPV6, count=4000) as six,
        ):
            time.sleep(FLOWING)
            assert host.if_mpadm("-d", "ni0").returncode == 0
            on(lab, "ni1", *BOTH)
            time.sleep(FLOWING)
            assert host.if_mpadm("-r", "ni0").returncode == 0
            on(lab, "ni0", *BOTH)
            results = (four.result(), six.result())
        assert [(r.sent, r.received, r.lost) for r in results] == [(4000, 4000, 0)] * 2
