"""Restart, stop, a second daemon, and changes by others while it runs."""

from __future__ import annotations

import time

import pytest

from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.scenarios.conftest import StartHost
from tests.support.views import BOTH, IPV4, IPV6, PLAIN, held, mislead, on, peer_knows, routes
from tests.support.wait import eventually


def test_38_restart_without_change_writes_and_says_nothing(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    assert host.if_mpadm("-d", "ni0").returncode == 0
    on(lab, "ni1", *BOTH)
    eventually(lambda: len(host.status().addresses) == 2)
    time.sleep(5.5)  # until the announcements of the drain are over
    before = (held(lab, "ni0"), held(lab, "ni1"), routes(lab))
    monitor = lab.popen(HOST, ("ip", "monitor", "address", "route", "link"), stdout=-1, text=True)
    with lab.sniff("peer", "eth0") as port, lab.meter("peer", IPV4) as stream:
        host.restart()
        host.restart()
        assert stream.result().lost == 0
        announced = [f for address in BOTH for f in port.announcements(address)]
    monitor.terminate()
    seen, _ = monitor.communicate(timeout=5)
    assert announced == []
    assert seen == ""
    assert (held(lab, "ni0"), held(lab, "ni1"), routes(lab)) == before
    assert host.status().interface("ni0").state == "offline"


def test_39_stopped_for_good_the_addresses_stay(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    assert host.if_mpadm("-d", "ni0").returncode == 0
    on(lab, "ni1", *BOTH)
    with lab.meter("peer", IPV4) as stream:
        assert host.stop() == 0
        on(lab, "ni1", *BOTH)
        assert stream.result().lost == 0
    assert "Traceback" not in host.log()


def test_42_a_foreign_delete_is_repaired_and_announced(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    before = routes(lab)
    with lab.sniff("peer", "eth0") as port:
        for address in (f"{IPV4}/24", f"{IPV6}/64"):
            lab.run(HOST, ("ip", "addr", "del", address, "dev", "ni0"))
        eventually(lambda: set(held(lab, "ni0")) == {f"{IPV4}/24", f"{IPV6}/64"}, 1)
        eventually(lambda: all(port.announcements(address) for address in BOTH), 1)
    eventually(lambda: routes(lab) == before, 1)
    eventually(lambda: host.status().daemon.drift["address"] == 2)


@pytest.mark.parametrize("away", [False, True])
def test_43_a_foreign_duplicate_is_removed_and_reported(
    lab: Lab, start_host: StartHost, away: bool
) -> None:
    host = start_host(PLAIN + "failback = false\n")
    if away:  # then the copy at home is the foreign one
        lab.fault("cable-pull", "ni0")
        on(lab, "ni1", *BOTH)
        lab.repair("ni0")
        eventually(lambda: host.status().interface("ni0").state == "ok")
    holder, other = ("ni1", "ni0") if away else ("ni0", "ni1")
    with lab.meter("peer", IPV4) as stream, lab.sniff("peer", "eth0") as port:
        for address in (f"{IPV4}/24", f"{IPV6}/64"):
            lab.run(HOST, ("ip", "addr", "add", address, "dev", other, "nodad"))
        mislead(lab, lab.mac(other))
        on(lab, holder, *BOTH)
        eventually(lambda: all(peer_knows(lab, address, holder) for address in BOTH))
        assert stream.result().lost == 0
        assert {f.sender_mac for a in BOTH for f in port.announcements(a)} == {lab.mac(holder)}
    for address in (f"{IPV4}/24", f"{IPV6}/64"):
        said = (
            f"{address} was put on {other} by another program, but is on {holder}; "
            f"it is removed from {other}"
        )
        assert host.sentences().count(said) == 1
    assert sum(host.status().group("ipmp0").failovers.values()) == int(away)


def test_49_a_second_daemon_is_refused(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    second = lab.run(HOST, host.command(), check=False)
    pid = host.status().daemon.pid
    assert second.returncode == 1
    assert f"another mpathd (pid {pid}) is already active" in second.stderr
    assert "Traceback" not in second.stderr
    assert host.status().interface("ni0").state == "ok"
