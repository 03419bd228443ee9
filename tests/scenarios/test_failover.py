"""Failures that carrier shows: failover at once, failback as configured, hot removal."""

from __future__ import annotations

import time

import pytest

from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.scenarios.conftest import StartHost
from tests.support.views import BOTH, IPV4, IPV6, PLAIN, held, on, peer_knows
from tests.support.wait import eventually

FLOWING = 0.3  # seconds of stream before something is done under it
GAP_MS = 300  # of scenario 7; tests/bench measures how short it really is


def test_05_failback_yes(lab: Lab, start_host: StartHost) -> None:
    start_host(PLAIN)
    lab.fault("cable-pull", "ni0")
    on(lab, "ni1", *BOTH)
    lab.repair("ni0")
    on(lab, "ni0", *BOTH)


def test_06_failback_no(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN + "failback = false\n")
    lab.fault("cable-pull", "ni0")
    on(lab, "ni1", *BOTH)
    lab.repair("ni0")
    eventually(lambda: host.status().interface("ni0").state == "ok")
    ni0 = host.status().interface("ni0")
    assert (ni0.inactive, ni0.active) == (True, False)
    assert host.ipmpstat("-iP", "-o", "interface,flags").splitlines()[0] == "ni0:i------"
    on(lab, "ni1", *BOTH)
    lab.fault("cable-pull", "ni1")
    on(lab, "ni0", *BOTH)


def test_06_failback_no_undo_makes_active_and_leaves_the_addresses(
    lab: Lab, start_host: StartHost
) -> None:
    host = start_host(PLAIN + "failback = false\n")
    assert host.if_mpadm("-d", "ni0").returncode == 0
    on(lab, "ni1", *BOTH)
    assert host.if_mpadm("-r", "ni0").returncode == 0
    assert host.status().interface("ni0").active
    on(lab, "ni1", *BOTH)


@pytest.mark.parametrize("address", BOTH)
def test_07_carrier_loss(lab: Lab, start_host: StartHost, address: str) -> None:
    start_host(PLAIN)
    with lab.meter("peer", address) as stream:
        time.sleep(FLOWING)
        lab.fault("cable-pull", "ni0")
        eventually(lambda: peer_knows(lab, address, "ni1"))
        time.sleep(FLOWING)
        result = stream.result()
    assert result.peer_gap_ms < GAP_MS
    assert result.lost < GAP_MS
    on(lab, "ni1", *BOTH)


def test_08_both_carriers_lost_one_returns(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    lab.fault("cable-pull", "ni0")
    on(lab, "ni1", *BOTH)
    lab.fault("cable-pull", "ni1")
    eventually(lambda: host.status().group("ipmp0").state == "failed")
    assert {k.partition("/")[0] for k in held(lab, "ni1")} == set(BOTH), "nothing moves"
    lab.repair("ni0")
    on(lab, "ni0", *BOTH)
    with lab.meter("peer", IPV4, count=200) as stream:
        assert stream.result().lost == 0
    assert host.status().group("ipmp0").state == "degraded"


def test_18_standby_activates(lab3: Lab, start_host3: StartHost) -> None:
    second = "192.168.1.6"
    lab3.run(HOST, ("ip", "addr", "add", f"{second}/24", "dev", "ni1"))
    host = start_host3('[groups.ipmp0]\ninterfaces = ["ni0", "ni1"]\nstandby = ["ni2"]\n')
    assert host.ipmpstat("-iP", "-o", "interface,active,flags").splitlines()[2] == "ni2:no:is-----"
    carry(lab3, ni0={IPV4, IPV6}, ni1={second}, ni2=set())
    with lab3.meter("peer", second) as untouched:
        lab3.fault("cable-pull", "ni0")
        carry(lab3, ni0=set(), ni1={IPV6, second}, ni2={IPV4})
        eventually(lambda: peer_knows(lab3, IPV4, "ni2"))
        status = host.status()
        assert [i.active for i in status.interfaces] == [False, True, True]
        assert status.group("ipmp0").state == "degraded"
        with lab3.meter("peer", IPV4, count=200) as stream:
            assert stream.result().lost == 0
        lab3.repair("ni0")
        carry(lab3, ni0={IPV4, IPV6}, ni1={second}, ni2=set())
        eventually(lambda: host.status().interface("ni2").inactive)
        # It is reached without a gap; its answers left through ni0, whose connected route is the
        # older one, so that they share the failover.
        result = untouched.result()
        assert result.outbound is not None
        assert result.outbound.lost == 0
        assert result.lost <= 20
    assert host.status().group("ipmp0").state == "ok"
    eventually(lambda: peer_knows(lab3, IPV4, "ni0"))


def test_34_tcp_survives_a_failure(lab: Lab, start_host: StartHost) -> None:
    start_host(PLAIN)
    with lab.tcp_meter("peer", IPV4) as connection:
        time.sleep(FLOWING)
        lab.fault("cable-pull", "ni0")
        on(lab, "ni1", *BOTH)
        time.sleep(2 * FLOWING)
        result = connection.result()
    assert result.survived, result.error


def test_44_a_nic_is_removed_and_comes_back(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    lab.remove_nic("ni0")
    eventually(lambda: f"{IPV4}/24" in held(lab, "ni1") and f"{IPV6}/64" in held(lab, "ni1"))
    ni0 = host.status().interface("ni0")
    assert (ni0.state, ni0.present) == ("failed", False)
    with lab.meter("peer", IPV4, count=200) as stream:
        assert stream.result().lost == 0
    insert(lab, "ni0")
    on(lab, "ni0", *BOTH)
    path = "/proc/sys/net/ipv4/conf/ni0/arp_announce"
    eventually(lambda: lab.run(HOST, ("cat", path)).stdout.strip() == "2")


def test_a_member_that_is_absent_at_the_start_is_used_when_it_appears(
    lab: Lab, start_host: StartHost
) -> None:
    lab.remove_nic("ni1")
    host = start_host(PLAIN)
    refused = host.if_mpadm("-d", "ni0")
    assert refused.returncode == 1
    insert(lab, "ni1")
    eventually(lambda: host.status().interface("ni1").state == "ok")
    assert host.if_mpadm("-d", "ni0").returncode == 0
    on(lab, "ni1", *BOTH)


def carry(lab: Lab, **where: set[str]) -> None:
    """Insist that each member has exactly these addresses."""
    eventually(lambda: {m: {k.partition("/")[0] for k in held(lab, m)} for m in where} == where)


def insert(lab: Lab, nic: str) -> None:
    """A new card comes without configuration: somebody has to set it up."""
    lab.insert_nic(nic)
    lab.run(HOST, ("ip", "link", "set", nic, "up"))


def test_a_failover_and_its_undo_write_no_homes(lab: Lab, start_host: StartHost) -> None:
    """A disk that is slow would keep addresses dark; nothing new is known of where they belong."""
    host = start_host(PLAIN)
    homes = host.run_dir / "homes.json"
    before = homes.stat().st_ino, homes.read_bytes()
    lab.fault("cable-pull", "ni0")
    on(lab, "ni1", *BOTH)
    lab.repair("ni0")
    on(lab, "ni0", *BOTH)
    eventually(lambda: host.status().group("ipmp0").state == "ok")
    assert (homes.stat().st_ino, homes.read_bytes()) == before
