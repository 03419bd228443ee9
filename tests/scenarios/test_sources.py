"""Order of addresses, source selection, and duplicate address detection."""

from __future__ import annotations

import sys

import pytest

from ipmp.lab import Lab
from ipmp.lab.topology import FAR_IPV4, FAR_IPV6, HOST, PEER_IPV4, PEER_IPV6
from tests.scenarios.conftest import StartHost
from tests.support.views import BOTH, IPV4, IPV6, PLAIN, held, on

#: Prints the source address that a new connection to each target would have.
SOURCES = """\
import socket, sys
for target in sys.argv[1:]:
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.connect((target, 9))
        print(s.getsockname()[0])
"""


def sources(lab: Lab) -> list[str]:
    targets = (PEER_IPV4, FAR_IPV4, PEER_IPV6, FAR_IPV6)
    return lab.run(HOST, (sys.executable, "-c", SOURCES, *targets)).stdout.split()


def test_31_primary_order_is_kept(lab: Lab, start_host: StartHost) -> None:
    for address in ("192.168.1.7/24", "192.168.1.6/24"):
        lab.run(HOST, ("ip", "addr", "add", address, "dev", "ni0"))
    host = start_host(PLAIN)
    before = (held(lab, "ni0"), sources(lab))
    assert before[0][:3] == ["192.168.1.5/24", "192.168.1.7/24", "192.168.1.6/24"]
    assert host.if_mpadm("-d", "ni0").returncode == 0
    assert (held(lab, "ni1"), sources(lab)) == before
    assert host.if_mpadm("-r", "ni0").returncode == 0
    assert (held(lab, "ni0"), sources(lab)) == before


def test_32_source_address_is_always_the_data_address(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    expected = [IPV4, IPV4, IPV6, IPV6]
    assert sources(lab) == expected
    process = host.process
    for step in ("-d", "-r"):
        tool = lab.popen(
            HOST, ("env", f"IPMP_RUN_DIR={host.run_dir}", f"{sys.prefix}/bin/if_mpadm", step, "ni0")
        )
        while tool.poll() is None:
            assert sources(lab) == expected
        assert tool.returncode == 0
        assert sources(lab) == expected
    assert process.poll() is None


def test_a_deprecated_address_is_so_wherever_it_goes(lab: Lab, start_host: StartHost) -> None:
    for address, *options in (("192.168.1.7/24",), ("fd00:1::7/64", "nodad")):
        deprecated = ("preferred_lft", "0", *options)
        lab.run(HOST, ("ip", "addr", "add", address, "dev", "ni0", *deprecated))
    host = start_host(PLAIN)
    for step, member in (("-d", "ni1"), ("-r", "ni0")):
        assert host.if_mpadm(step, "ni0").returncode == 0
        (link,) = lab.ip_json(HOST, "addr", "show", "dev", member)
        states = {a["local"]: a.get("deprecated", False) for a in link["addr_info"]}
        assert (states["192.168.1.7"], states["fd00:1::7"], states[IPV4]) == (True, True, False)


@pytest.mark.parametrize("enhanced", [0, 1])
def test_33_no_dad_failure(lab: Lab, start_host: StartHost, enhanced: int) -> None:
    for nic in ("ni0", "ni1"):
        for name, value in (("accept_dad", 1), ("dad_transmits", 1), ("enhanced_dad", enhanced)):
            path = f"/proc/sys/net/ipv6/conf/{nic}/{name}"
            lab.run(HOST, ("sh", "-c", f"echo {value} > {path}"))
    host = start_host(PLAIN)
    monitor = lab.popen(HOST, ("ip", "-6", "monitor", "address"), stdout=-1, text=True)
    for _ in range(3):
        assert host.if_mpadm("-d", "ni0").returncode == 0
        on(lab, "ni1", *BOTH)
        assert host.if_mpadm("-r", "ni0").returncode == 0
        on(lab, "ni0", *BOTH)
    monitor.terminate()
    seen, _ = monitor.communicate(timeout=5)
    mine = [line for line in seen.splitlines() if IPV6 in line]
    assert len(mine) >= 12
    assert not [line for line in mine if "tentative" in line or "dadfailed" in line]
