"""ARP between two NICs of one link: who answers, and whom the peer believes."""

from __future__ import annotations

import sys
import time

import pytest

from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.scenarios.conftest import StartHost
from tests.support.views import BOTH, IPV4, PLAIN, held, on, peer_knows
from tests.support.wait import eventually

#: Sends to a neighbour out of one device whatever the routes say, from a given source.
THROUGH = """\
import socket, sys
member, source, target = sys.argv[1:]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, member.encode())
s.bind((source, 0))
for _ in range(3):
    s.sendto(b"x", (target, 9))
"""
QUIET = 1.5  # seconds: three ARP requests of one resolution are a second apart


def resolve(lab: Lab) -> None:
    """Make the peer ask for the address."""
    with lab.meter("peer", IPV4, count=5) as stream:
        assert stream.result().received == 5


def test_25_arp_flux_only_the_owner_answers(lab: Lab, start_host: StartHost) -> None:
    start_host(PLAIN)
    with lab.sniff("peer", "eth0") as port:
        for _ in range(3):
            lab.run("peer", ("ip", "neigh", "flush", "all"))
            resolve(lab)
        answers = [f for f in port.frames() if f.kind == "arp-reply" and f.sender_ip == IPV4]
    assert len(answers) >= 3
    assert {f.sender_mac for f in answers} == {lab.mac("ni0")}


@pytest.mark.parametrize("keeps_an_address", [True, False])
def test_26_no_poison_by_a_source_address(
    lab: Lab, start_host: StartHost, keeps_an_address: bool
) -> None:
    test_address = "192.168.1.21/32"
    config = PLAIN
    if keeps_an_address:
        lab.run(HOST, ("ip", "addr", "add", test_address, "dev", "ni0"))
        config += f'probe = {{ method = "off", test_addresses = {{ ni0 = "{test_address}" }} }}\n'
    host = start_host(config)
    resolve(lab)
    assert host.if_mpadm("-d", "ni0").returncode == 0
    on(lab, "ni1", *BOTH)
    assert held(lab, "ni0") == ([test_address] if keeps_an_address else [])
    eventually(lambda: peer_knows(lab, IPV4, "ni1"))
    lab.run(HOST, ("ip", "neigh", "flush", "all"))
    with lab.sniff("peer", "eth0") as port:
        lab.run(HOST, (sys.executable, "-c", THROUGH, "ni0", IPV4, "192.168.1.100"))
        asked = eventually(lambda: [f for f in port.frames() if f.src_mac == lab.mac("ni0")])
        time.sleep(QUIET)
        poison = [f for f in port.frames() if f.sender_mac == lab.mac("ni0")]
    assert asked, "the old NIC did resolve"
    assert IPV4 not in {f.sender_ip for f in poison}
    assert peer_knows(lab, IPV4, "ni1")
