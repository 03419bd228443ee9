"""Failures that the carrier does not show: probes find them, and tell them from dead targets."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence

import pytest

from ipmp.lab import Lab
from ipmp.lab.topology import HOST, PEER, ROUTER
from tests.scenarios.conftest import StartHost
from tests.support.lab import Host
from tests.support.views import BOTH, PLAIN, held, on
from tests.support.wait import eventually

FAST = PLAIN + 'failure_detection_time = "500ms"\n'
TWO_TARGETS = (
    FAST + "[groups.ipmp0.probe]\n"
    'targets = ["192.168.1.1", "192.168.1.100", "fd00:1::1", "fd00:1::100"]\n'
)
TEST_ADDRESSES = (
    FAST + "[groups.ipmp0.probe]\n"
    'test_addresses = { ni0 = "192.168.1.21/32", ni1 = "192.168.1.22/32" }\n'
)
EXIT_ROUNDS = 40  # answered probes by which a wrong verdict would have shown


def probing(host: Host, *members: str) -> Host:
    """Wait until these members (default: all) have heard their targets in both families."""
    members = members or ("ni0", "ni1")
    eventually(lambda: all(host.status().interface(m).probe == "ok" for m in members))
    eventually(lambda: all(acked(host, m) >= 5 for m in members))
    return host


def acked(host: Host, member: str) -> int:
    """Answered probes of the family that has fewest."""
    return min((p.acked for p in host.status().interface(member).probes), default=0)


def state(host: Host, member: str) -> str:
    return host.status().interface(member).state


def moves(host: Host) -> list[int]:
    return [a.moves for a in host.status().addresses]


def events(host: Host, kind: str) -> list[str]:
    return [str(e.decision.reason) for e in host.client.history() if e.decision.kind == kind]


def loss(lab: Lab, nic: str, percent: int, *only: str) -> None:
    """Drop frames at the switch port of a NIC, maybe in one direction only."""
    cable = lab.cable(nic)
    tool: Sequence[str] = (sys.executable, "-P", "-m", "ipmp.lab.loss")
    lab.run(cable.switch, (*tool, "set", cable.port, str(percent), *only))


@pytest.mark.parametrize("config", [FAST, TEST_ADDRESSES], ids=["arp", "icmp"])
def test_11_silent_port_failure(lab: Lab, start_host: StartHost, config: str) -> None:
    host = probing(start_host(config))
    lab.fault("silent", "ni0")
    on(lab, "ni1", *BOTH)
    assert state(host, "ni0") == "failed"
    assert host.status().interface("ni0").link == "up"
    route = lab.ip_json(HOST, "route", "show", "default")
    assert [r["dev"] for r in route] == ["ni1"]
    assert host.status().group("ipmp0").failovers["probe"] == 1
    lab.repair("ni0")
    on(lab, "ni0", *BOTH)
    assert state(host, "ni0") == "ok"


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_12_one_way_loss(lab: Lab, start_host: StartHost, direction: str) -> None:
    host = probing(start_host(FAST))
    loss(lab, "ni0", 100, "--only", direction)
    on(lab, "ni1", *BOTH)
    assert state(host, "ni0") == "failed"


def test_13_thirty_percent_loss(lab: Lab, start_host: StartHost) -> None:
    host = probing(start_host(FAST))
    loss(lab, "ni0", 30)
    before = acked(host, "ni0")
    eventually(lambda: acked(host, "ni0") > before + EXIT_ROUNDS, 20)
    assert events(host, "failover") == []
    assert sum(p.lost for p in host.status().interface("ni0").probes) > 0


def test_14_one_target_dies(lab: Lab, start_host: StartHost) -> None:
    host = probing(start_host(TWO_TARGETS))
    lab.run(ROUTER, ("ip", "link", "set", "eth0", "down"))
    eventually(lambda: "target-dead" in events(host, "target"))
    before = acked(host, "ni0")
    eventually(lambda: acked(host, "ni0") > before + EXIT_ROUNDS, 20)
    assert (state(host, "ni0"), state(host, "ni1")) == ("ok", "ok")
    targets = {t.address for p in host.status().interface("ni0").probes for t in p.targets}
    assert targets == {"192.168.1.100", "fd00:1::100"}
    assert moves(host) == [0, 0]


def test_15_16_all_targets_die_and_return(lab: Lab, start_host: StartHost) -> None:
    host = probing(start_host(FAST))
    before = {m: held(lab, m) for m in ("ni0", "ni1")}
    lab.run(ROUTER, ("ip", "link", "set", "eth0", "down"))
    eventually(lambda: host.status().group("ipmp0").state == "failed")
    lost = sum(p.lost for p in host.status().interface("ni0").probes)
    eventually(
        lambda: sum(p.lost for p in host.status().interface("ni0").probes) > lost + EXIT_ROUNDS, 20
    )
    assert events(host, "group-state")[-1:] == ["no-usable-member"]
    assert {m: held(lab, m) for m in ("ni0", "ni1")} == before
    assert "targets-dead" in events(host, "interface-state")
    lab.run(ROUTER, ("ip", "link", "set", "eth0", "up"))
    eventually(lambda: host.status().group("ipmp0").state == "ok", 20)
    assert {m: held(lab, m) for m in ("ni0", "ni1")} == before
    assert moves(host) == [0, 0]
    assert events(host, "failover") == []


def test_17_false_life_by_a_third_party(lab: Lab, start_host: StartHost) -> None:
    """The peer floods the link with ARP of its own, and asks for the target all the time."""
    host = probing(start_host(FAST))
    flood = (
        "import socket, time\n"
        "s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n"
        "s.bind(('eth0', 0))\n"
        "mac = s.getsockname()[4]\n"
        "ask = b'\\xff' * 6 + mac + bytes.fromhex('08060001080006040001') + mac\n"
        "ask += socket.inet_aton('192.168.1.100') + bytes(6) + socket.inet_aton('192.168.1.1')\n"
        "claim = ask[:21] + b'\\2' + mac + socket.inet_aton('192.168.1.1') + bytes(6)\n"
        "claim += socket.inet_aton('192.168.1.100')\n"
        "print('flooding', flush=True)\n"
        "while True:\n"
        "    s.send(ask.ljust(60, b'\\0'))\n"
        "    s.send(claim.ljust(60, b'\\0'))\n"
        "    time.sleep(0.002)  # a flood, but one that leaves the machine its CPU\n"
    )
    with lab.popen(PEER, (sys.executable, "-c", flood), stdout=-1, text=True) as flooding:
        assert flooding.stdout is not None
        assert flooding.stdout.readline() == "flooding\n"
        lab.fault("silent", "ni1")
        eventually(lambda: state(host, "ni1") == "failed")
        lab.fault("silent", "ni0")
        eventually(lambda: state(host, "ni0") == "failed")
        flooding.kill()


def test_probes_leave_no_neighbour_entry_behind(lab: Lab, start_host: StartHost) -> None:
    host = probing(start_host(FAST))
    before = lab.run(ROUTER, ("ip", "neigh", "show", "dev", "eth0")).stdout
    count = acked(host, "ni1")
    eventually(lambda: acked(host, "ni1") > count + EXIT_ROUNDS, 20)
    after = lab.run(ROUTER, ("ip", "neigh", "show", "dev", "eth0")).stdout
    macs = {line.split()[2] for line in after.splitlines()} - {
        line.split()[2] for line in before.splitlines()
    }
    assert lab.mac("ni1") not in macs


def test_a_test_address_stays_on_its_member(lab: Lab, start_host: StartHost) -> None:
    host = probing(start_host(TEST_ADDRESSES))
    assert "192.168.1.21/32" in held(lab, "ni0")
    assert host.if_mpadm("-d", "ni0").returncode == 0
    assert held(lab, "ni0") == ["192.168.1.21/32"]
    on(lab, "ni1", *BOTH)
    shown = host.ipmpstat("-tnP", "-o", "interface,mode,testaddr").splitlines()
    assert "ni1:routes:192.168.1.22" in shown
    assert "ni0:disabled:" in shown


def test_a_member_that_lost_its_probes_stays_failed_over_a_restart(
    lab: Lab, start_host: StartHost
) -> None:
    host = probing(start_host(FAST))
    lab.fault("silent", "ni0")
    on(lab, "ni1", *BOTH)
    host.restart()
    eventually(lambda: host.status().interface("ni1").probe == "ok")
    assert state(host, "ni0") == "failed"
    assert set(held(lab, "ni1")) == {"192.168.1.5/24", "fd00:1::5/64"}


def test_a_stopped_daemon_that_goes_on_has_lost_no_probe(lab: Lab, start_host: StartHost) -> None:
    """SIGSTOP for longer than the detection time is no failure of anybody's."""
    host = probing(start_host(FAST))
    host.signal(signal.SIGSTOP)
    time.sleep(2.0)  # four detection times; the kernel goes on answering nothing of ours
    host.signal(signal.SIGCONT)
    before = acked(host, "ni0")
    eventually(lambda: acked(host, "ni0") > before + EXIT_ROUNDS, 20)
    assert events(host, "failover") == []
    assert [r for r in events(host, "interface-state") if r not in ("link-up", "no-targets")] == []
