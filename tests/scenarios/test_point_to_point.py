"""Addresses with a peer, and members that are no Ethernet."""

from __future__ import annotations

import pytest

from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.scenarios.conftest import StartHost
from tests.support.views import BOTH, PLAIN, held, on, routes
from tests.support.wait import eventually

PEERS = (
    "addr add 10.7.0.1 peer 10.7.0.2/32 dev ni0",
    "-6 addr add fd00:7::1 peer fd00:7::2/128 dev ni0 nodad",
    "route add 10.8.0.0/16 via 10.7.0.2 dev ni0",
    "-6 route add fd00:8::/64 via fd00:7::2 dev ni0",
)
MIXED = '[groups.ipmp0]\ninterfaces = ["ni0", "tun0"]\n'


def ip(lab: Lab, *commands: str) -> None:
    for command in commands:
        lab.run(HOST, ("ip", *command.split()))


def with_peers(lab: Lab, member: str) -> list[tuple[str, str]]:
    """(own, peer) of the addresses of a member that have one, in the kernel's order."""
    (link,) = lab.ip_json(HOST, "addr", "show", "dev", member)
    return [(a["local"], a["address"]) for a in link["addr_info"] if "address" in a]


@pytest.mark.parametrize("away", ["drain", "cable"])
def test_peers_move_with_their_addresses_and_routes(
    lab: Lab, start_host: StartHost, away: str
) -> None:
    ip(lab, *PEERS)
    before = (with_peers(lab, "ni0"), routes(lab))
    assert before[0] == [("10.7.0.1", "10.7.0.2"), ("fd00:7::1", "fd00:7::2")]
    host = start_host(PLAIN)
    if away == "drain":
        assert host.if_mpadm("-d", "ni0").returncode == 0
    else:
        lab.fault("cable-pull", "ni0")
    eventually(lambda: (with_peers(lab, "ni0"), with_peers(lab, "ni1")) == ([], before[0]))
    assert [line for line in routes(lab) if "dev ni0" in line] == []
    assert len(routes(lab)) == len(before[1])
    if away == "drain":
        assert host.if_mpadm("-r", "ni0").returncode == 0
    else:
        lab.repair("ni0")
    eventually(lambda: with_peers(lab, "ni1") == [])
    eventually(lambda: (with_peers(lab, "ni0"), routes(lab)) == before)


@pytest.mark.parametrize("second", ["ni0", "ni1"])
def test_two_peers_of_one_local_address_are_two_addresses(
    lab: Lab, start_host: StartHost, second: str
) -> None:
    """Unnumbered links: the local address says nothing about which one is meant."""
    one, two = ("10.7.0.1", "10.7.0.2"), ("10.7.0.1", "10.7.0.3")
    for (own, peer), nic in ((one, "ni0"), (two, second)):
        ip(lab, f"addr add {own} peer {peer}/32 dev {nic}")

    def where() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        return with_peers(lab, "ni0"), with_peers(lab, "ni1")

    before = where()
    host = start_host(PLAIN)
    assert where() == before, "nothing of it is a stray copy"
    for _ in range(2):
        assert host.if_mpadm("-d", "ni0").returncode == 0
        eventually(lambda: (where()[0], set(where()[1])) == ([], {one, two}))
        host.kill9()
        host.start()
        assert host.if_mpadm("-r", "ni0").returncode == 0
        eventually(lambda: where() == before)
    known = {a.address for a in host.status().addresses}
    assert known >= {"10.7.0.1/32", "10.7.0.1/32 peer 10.7.0.3"}
    forgotten = host.ipmp("forget", "10.7.0.1/32 peer 10.7.0.3")
    assert forgotten.returncode == 0, forgotten.stderr
    eventually(lambda: where() == ([one], []))


def test_an_address_with_a_peer_goes_when_it_leaves_the_configuration(
    lab: Lab, start_host: StartHost
) -> None:
    ip(lab, *PEERS)
    host = start_host(PLAIN + 'addresses = ["10.7.0.1/32", "fd00:7::1/128"]\n')
    assert len(with_peers(lab, "ni0")) == 2
    host.configure(PLAIN)
    host.client.reload()
    eventually(lambda: with_peers(lab, "ni0") == [])


@pytest.mark.parametrize("away", ["drain", "cable"])
def test_a_member_that_cannot_announce_lets_moves_finish(
    lab: Lab, start_host: StartHost, away: str
) -> None:
    ip(lab, "link add tun0 type vxlan dstport 4790 external gpe", "link set tun0 up")
    before = held(lab, "ni0")
    host = start_host(MIXED)
    checked = host.ipmp("check", "--config", str(host.config)).stdout
    assert "tun0 is no Ethernet: addresses cannot be announced there" in checked
    assert "ni0 is no Ethernet" not in checked
    if away == "drain":
        assert host.if_mpadm("-d", "ni0").returncode == 0
    else:
        lab.fault("cable-pull", "ni0")
    eventually(lambda: (held(lab, "ni0"), held(lab, "tun0")) == ([], before))
    eventually(lambda: sum(host.status().group("ipmp0").failovers.values()) == 1)
    assert min(host.status().daemon.announcement_failures.values()) > 0
    if away == "drain":
        assert host.if_mpadm("-r", "ni0").returncode == 0
    else:
        lab.repair("ni0")
    on(lab, "ni0", *BOTH)
    eventually(lambda: (held(lab, "ni0"), held(lab, "tun0")) == (before, []))
    assert "tun0 has no Ethernet address" in host.log()
