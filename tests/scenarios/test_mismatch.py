"""Members that differ from each other: said at the start, and what cannot be done is not tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipmp.client import ProblemError
from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.scenarios.conftest import StartHost
from tests.support.lab import Host
from tests.support.netlink import Taps
from tests.support.views import BOTH, IPV4, IPV6, PLAIN, held, on
from tests.support.wait import eventually

MTU = (
    "the MTU of ni1 is 1400, and 1500 on ni0: large packets may be lost when addresses of group "
    "ipmp0 move; give all members one MTU"
)
SPEED = (
    "the speed of tap0 is 1000 Mb/s, and 10000 on ni0: how fast group ipmp0 is depends on where "
    "its addresses are"
)
NO_IPV6 = (
    "IPv6 is disabled on ni1: no IPv6 address of group ipmp0 can move there; allow it with "
    "`sysctl -w net.ipv6.conf.ni1.disable_ipv6=0`"
)
DECLARED = PLAIN + 'addresses = ["192.168.1.8/24", "fd00:1::8/64"]\n'


def test_57_another_mtu_is_warned_of(lab: Lab, start_host: StartHost) -> None:
    lab.run(HOST, ("ip", "link", "set", "ni1", "mtu", "1400"))
    host = start_host(PLAIN)
    assert warnings(host) == [MTU]
    assert f"note   {MTU}" in host.ipmp("check", "--config", str(host.config)).stdout
    assert host.if_mpadm("-d", "ni0").returncode == 0
    on(lab, "ni1", *BOTH)
    for mtu, said in (("1500", 1), ("1400", 2)):
        lab.run(HOST, ("ip", "link", "set", "ni1", "mtu", mtu))
        eventually(lambda m=mtu: host.status().interface("ni1").mtu == int(m))
        assert warnings(host) == [MTU] * said


def test_57_another_speed_is_warned_of(lab: Lab, start_host: StartHost) -> None:
    with Taps(lab, "tap0"):
        host = start_host('[groups.ipmp0]\ninterfaces = ["ni0", "tap0"]\n')
        assert warnings(host) == [SPEED]
        assert f"note   {SPEED}" in host.ipmp("check", "--config", str(host.config)).stdout


def test_58_a_member_without_ipv6_refuses_the_start(lab: Lab, tmp_path: Path) -> None:
    disable_ipv6(lab, "ni1")
    host = Host(lab, tmp_path, DECLARED + 'sysctls = "check"\n')
    refused = lab.run(HOST, host.command(), check=False)
    assert refused.returncode == 1
    assert (
        "net.ipv6.conf.ni1.disable_ipv6 is 1 and must be 0: the group has IPv6 addresses, which "
        "cannot be put on this interface"
    ) in refused.stderr
    assert "Traceback" not in refused.stderr
    assert held(lab, "ni1") == []


def test_58_what_can_be_moved_without_ipv6_is_moved(lab: Lab, start_host: StartHost) -> None:
    disable_ipv6(lab, "ni1")
    host = start_host(DECLARED)
    assert warnings(host) == [NO_IPV6]
    assert (
        "wrong  net.ipv6.conf.ni1.disable_ipv6 is 1"
        in host.ipmp("check", "--config", str(host.config)).stdout
    )
    eventually(lambda: {f"{IPV6}/64", "fd00:1::8/64"} < set(held(lab, "ni0")))
    with lab.meter("peer", IPV6) as six:
        done = host.if_mpadm("-d", "ni0")
        assert done.returncode == 0
        assert "do not pull it yet" in done.stderr
        assert set(held(lab, "ni1")) == {f"{IPV4}/24", "192.168.1.8/24"}
        assert set(held(lab, "ni0")) == {f"{IPV6}/64", "fd00:1::8/64"}
        assert six.result().lost == 0
    assert not [said for said in host.sentences() if "kernel refused" in said]
    lab.run(HOST, ("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/ni1/disable_ipv6"))
    on(lab, "ni1", *BOTH, "fd00:1::8")


def test_58_ipv6_that_is_disabled_later_leaves_the_member(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    disable_ipv6(lab, "ni0")
    on(lab, "ni1", IPV6)
    on(lab, "ni0", IPV4)
    with lab.meter("peer", IPV6, count=200) as stream:
        assert stream.result().lost == 0
    host.configure(PLAIN + 'sysctls = "check"\naddresses = ["fd00:1::8/64"]\n')
    with pytest.raises(ProblemError, match=r"ni0\.disable_ipv6 is 1 and must be 0"):
        host.client.reload()


def test_58_a_member_without_link_local_address_carries_ipv6(
    lab: Lab, start_host: StartHost
) -> None:
    lab.run(HOST, ("ip", "-6", "addr", "flush", "dev", "ni1", "scope", "link"))
    host = start_host(PLAIN)
    assert host.if_mpadm("-d", "ni0").returncode == 0
    on(lab, "ni1", *BOTH)
    lab.run("peer", ("ip", "-6", "neigh", "flush", "all"))
    for source in ("peer", "far"):
        with lab.meter(source, IPV6, count=200) as stream:
            assert stream.result().lost == 0


def disable_ipv6(lab: Lab, nic: str) -> None:
    lab.run(HOST, ("sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{nic}/disable_ipv6"))


def warnings(host: Host) -> list[str]:
    """What the history tells of members that differ; each must be a warning in the log, too."""
    said = [event.sentence for event in host.client.history(kind="mismatch")]
    logged = [line for line in host.log().splitlines() if "level=warn" in line]
    assert all(any(sentence in line for line in logged) for sentence in said)
    return said
