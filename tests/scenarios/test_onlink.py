"""On-link egress and source addresses when several members have an address of one network."""

from __future__ import annotations

import re

import pytest

from ipmp.lab import Lab
from ipmp.lab.topology import HOST, PEER_IPV4, PEER_IPV6
from tests.scenarios.conftest import StartHost
from tests.support.lab import Host
from tests.support.views import BOTH, IPV4, IPV6, PLAIN, held, on
from tests.support.wait import eventually

OWN = ("192.168.1.6", "fd00:1::6")  # of ni1
THIRD = ("192.168.1.7", "fd00:1::7")  # of ni2


def configure(lab: Lab, nic: str, *addresses: str) -> None:
    for address in addresses:
        length = "64 nodad" if ":" in address else "24"
        lab.run(HOST, ("ip", "addr", "add", *f"{address}/{length} dev {nic}".split()))


def connected(lab: Lab) -> list[str]:
    """The kernel's connected routes, each as a line, in the order in which it uses them."""
    lines: list[str] = []
    for family in ("-4", "-6"):
        shown = lab.run(HOST, ("ip", family, "route", "show", "table", "all", "proto", "kernel"))
        lines += [" ".join(x.split()) for x in shown.stdout.splitlines() if x[:4] in _NETWORKS]
    return lines


def egress(lab: Lab, *sources: str) -> list[tuple[str, str]]:
    """Device and source with which the host reaches the peer, from each source and from any."""
    found = []
    for peer, source in ((PEER_IPV4, ""), (PEER_IPV6, ""), *((_peer(s), s) for s in sources)):
        command = ("ip", "route", "get", peer, *(("from", source) if source else ()))
        line = lab.run(HOST, command).stdout
        device, own = re.search(r"dev (\S+)", line), re.search(r"src (\S+)", line)
        assert device
        found.append((device[1], source or (own[1] if own else "")))
    return found


def _peer(source: str) -> str:
    return PEER_IPV6 if ":" in source else PEER_IPV4


_NETWORKS = ("192.", "fd00")


def away(lab: Lab, host: Host, nic: str, how: str) -> None:
    if how == "cable":
        lab.fault("cable-pull", nic)
    else:
        assert host.if_mpadm("-d", nic).returncode == 0


def back(lab: Lab, host: Host, nic: str, how: str) -> None:
    if how == "cable":
        lab.repair(nic)
    else:
        assert host.if_mpadm("-r", nic).returncode == 0


@pytest.mark.parametrize("how", ["cable", "drain"])
@pytest.mark.parametrize("nic", ["ni0", "ni1"])
def test_on_link_egress_is_after_a_failback_as_it_was_before(
    lab: Lab, start_host: StartHost, nic: str, how: str
) -> None:
    configure(lab, "ni1", *OWN)
    before = (connected(lab), egress(lab, *BOTH, *OWN))
    assert egress(lab, *BOTH)[0] == ("ni0", IPV4)
    host = start_host(PLAIN)
    away(lab, host, nic, how)
    on(lab, "ni1" if nic == "ni0" else "ni0", *BOTH, *OWN)
    back(lab, host, nic, how)
    on(lab, "ni0", *BOTH)
    on(lab, "ni1", *OWN)
    eventually(lambda: (connected(lab), egress(lab, *BOTH, *OWN)) == before)
    assert held(lab, "ni1") == [f"{OWN[0]}/24", f"{OWN[1]}/64"]


@pytest.mark.parametrize("nic", ["ni0", "ni1", "ni2"])
def test_with_three_members_the_order_of_all_three_is_kept(
    lab3: Lab, start_host3: StartHost, nic: str
) -> None:
    configure(lab3, "ni1", *OWN)
    configure(lab3, "ni2", *THIRD)
    before = connected(lab3)
    assert len(before) == 6
    start_host3('[groups.ipmp0]\ninterfaces = ["ni0", "ni1", "ni2"]\n')
    lab3.fault("cable-pull", nic)
    eventually(lambda: held(lab3, nic) == [])
    lab3.repair(nic)
    eventually(lambda: connected(lab3) == before)


@pytest.mark.parametrize("address", [*BOTH, *OWN])
def test_nothing_is_lost_while_routes_are_shifted(
    lab: Lab, start_host: StartHost, address: str
) -> None:
    configure(lab, "ni1", *OWN)
    before = connected(lab)
    host = start_host(PLAIN)
    with lab.meter("peer", address) as stream:
        for _ in range(3):
            away(lab, host, "ni0", "drain")
            back(lab, host, "ni0", "drain")
        result = stream.result()
    assert (result.lost, result.duplicates) == (0, 0)
    assert connected(lab) == before


def test_addresses_keep_metric_and_lifetime_when_their_route_is_shifted(
    lab: Lab, start_host: StartHost
) -> None:
    lab.run(HOST, ("ip", "addr", "del", f"{IPV4}/24", "dev", "ni0"))
    lab.run(HOST, ("ip", "addr", "add", f"{IPV4}/24", "dev", "ni0", "metric", "50"))
    options = ("metric", "50", "preferred_lft", "0")
    lab.run(HOST, ("ip", "addr", "add", "192.168.1.6/24", "dev", "ni1", *options))
    before = (connected(lab), _shown(lab))
    host = start_host(PLAIN)
    away(lab, host, "ni0", "drain")
    back(lab, host, "ni0", "drain")
    on(lab, "ni0", IPV4, IPV6)
    eventually(lambda: (connected(lab), _shown(lab)) == before)


def _shown(lab: Lab) -> str:
    (link,) = lab.ip_json(HOST, "-4", "addr", "show", "dev", "ni1")
    return str(link["addr_info"])
