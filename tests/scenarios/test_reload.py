"""A reload is a difference: what did not change is not touched, what is wrong changes nothing."""

from __future__ import annotations

import signal

import pytest

from ipmp.client import ProblemError
from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.scenarios.conftest import StartHost
from tests.support.views import BOTH, IPV4, IPV6, PLAIN, held, on, routes
from tests.support.wait import eventually

DECLARED = PLAIN + 'addresses = ["192.168.1.8/24", "fd00:1::8/64"]\n'
MORE = PLAIN + 'addresses = ["192.168.1.8/24", "fd00:1::8/64", "192.168.1.9/24"]\n'


def test_40_reload_touches_only_what_changed(lab: Lab, start_host: StartHost) -> None:
    host = start_host(DECLARED)
    before = {*held(lab, "ni0"), *held(lab, "ni1")}
    assert {"192.168.1.8/24", "fd00:1::8/64"} < before
    monitor = lab.popen(HOST, ("ip", "monitor", "address"), stdout=-1, text=True)
    host.configure(MORE)
    assert host.client.reload() == 2
    eventually(lambda: {*held(lab, "ni0"), *held(lab, "ni1")} == before | {"192.168.1.9/24"})
    host.configure(DECLARED)
    assert host.client.reload() == 3
    eventually(lambda: {*held(lab, "ni0"), *held(lab, "ni1")} == before)
    monitor.terminate()
    seen, _ = monitor.communicate(timeout=5)
    touched = [line for line in seen.splitlines() if "inet" in line]
    assert len(touched) == 2
    assert all("192.168.1.9/24" in line for line in touched)


@pytest.mark.parametrize("mistake", ["interfaces = [", 'standbye = ["ni1"]\n'])
@pytest.mark.parametrize("by", ["signal", "api"])
def test_41_a_bad_reload_keeps_the_old_configuration(
    lab: Lab, start_host: StartHost, mistake: str, by: str
) -> None:
    host = start_host(PLAIN)
    before = (held(lab, "ni0"), held(lab, "ni1"), routes(lab))
    host.configure(PLAIN + mistake)
    if by == "signal":
        host.signal(signal.SIGHUP)
    else:
        with pytest.raises(ProblemError, match=r"ipmp\.toml"):
            host.client.reload()
    daemon = eventually(
        lambda: (d := host.status().daemon).config_last_reload_successful is False and d
    )
    assert "ipmp.toml" in daemon.config_error
    assert daemon.config_generation == 1
    assert (held(lab, "ni0"), held(lab, "ni1"), routes(lab)) == before
    assert host.if_mpadm("-d", "ni0").returncode == 0
    host.configure(PLAIN)
    assert host.client.reload() == 2
    assert host.status().daemon.config_last_reload_successful
    assert host.status().interface("ni0").state == "offline"


def test_41_a_member_that_does_not_exist_is_not_an_error(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    host.configure('[groups.ipmp0]\ninterfaces = ["ni0", "ni1", "ni7"]\n')
    assert host.client.reload() == 2
    assert host.status().interface("ni7").present is False
    on(lab, "ni0", *BOTH)


def test_a_dissolved_group_leaves_addresses_and_puts_sysctls_back(
    lab: Lab, start_host: StartHost
) -> None:
    path = "/proc/sys/net/ipv4/conf/ni1/arp_announce"
    before = lab.run(HOST, ("cat", path)).stdout
    host = start_host(PLAIN)
    assert lab.run(HOST, ("cat", path)).stdout.strip() == "2"
    assert host.if_mpadm("-d", "ni0").returncode == 0
    host.configure('[groups.other]\ninterfaces = ["ni8", "ni9"]\n')
    assert host.client.reload() == 2
    eventually(lambda: lab.run(HOST, ("cat", path)).stdout == before)
    assert {f"{IPV4}/24", f"{IPV6}/64"} == set(held(lab, "ni1"))
    assert [g.name for g in host.status().groups] == ["other"]


def test_the_last_ipv4_address_that_leaves_the_file_leaves_the_routes_alone(
    lab: Lab, start_host: StartHost
) -> None:
    """Without an anchor the kernel would flush every IPv4 route of the interface, silently."""
    lab.run(HOST, ("ip", "-4", "addr", "flush", "dev", "ni0"))
    host = start_host(PLAIN + 'addresses = [{ address = "192.168.1.8/24", home = "ni0" }]\n')
    eventually(lambda: "192.168.1.8/24" in held(lab, "ni0"))
    lab.run(HOST, ("ip", "route", "add", "10.3.0.0/16", "dev", "ni0", "scope", "link"))
    host.configure(PLAIN)
    assert host.client.reload() == 2
    assert held(lab, "ni0") == [f"{IPV6}/64"]
    assert any("10.3.0.0/16 dev ni0" in line for line in routes(lab))
    (event,) = host.client.history(kind="address-retired")
    assert event.sentence == "192.168.1.8/24 is no longer a data address of group ipmp0"
