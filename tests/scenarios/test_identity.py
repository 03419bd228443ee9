"""A member changes its name or its hardware address, or has one that is not its own."""

from __future__ import annotations

import pytest

from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.scenarios.conftest import StartHost
from tests.support.views import BOTH, IPV4, PLAIN, held, on, peer_knows
from tests.support.wait import eventually

NEW_MAC = "02:00:00:00:00:77"


def test_45_a_renamed_nic_is_followed_and_warned_of(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    addresses = held(lab, "ni0")
    with lab.meter("peer", IPV4) as stream:
        lab.run(HOST, ("ip", "link", "set", "ni0", "name", "lan0"))
        eventually(lambda: any("is now called lan0" in said for said in host.sentences()))
        assert host.status().interface("ni0").state == "ok"
        assert held(lab, "lan0") == addresses
        assert host.if_mpadm("-d", "ni0").returncode == 0
        assert (held(lab, "ni1"), held(lab, "lan0")) == (addresses, [])
        eventually(lambda: peer_knows(lab, IPV4, "ni1"))
        assert host.if_mpadm("-r", "ni0").returncode == 0
        assert (held(lab, "lan0"), held(lab, "ni1")) == (addresses, [])
        eventually(lambda: peer_knows(lab, IPV4, "ni0"))
        assert stream.result().lost == 0
    assert sum("is now called lan0" in said for said in host.sentences()) == 1


def test_46_a_changed_mac_is_announced(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    with lab.meter("peer", IPV4) as stream, lab.sniff("peer", "eth0") as port:
        set_mac(lab, "ni0", NEW_MAC)
        eventually(lambda: lab.neighbour("peer", IPV4) == NEW_MAC)
        eventually(lambda: all(port.announcements(address) for address in BOTH))
        assert {f.sender_mac for a in BOTH for f in port.announcements(a)} == {NEW_MAC}
        assert stream.result().lost < 300
    status = host.status()
    assert status.interface("ni0").hwaddr == NEW_MAC
    assert status.group("ipmp0").state == "ok"
    assert {a.moves for a in status.addresses} == {0}


@pytest.mark.parametrize("changed", ["ni0", "ni1"])
def test_46_a_duplicate_mac_takes_the_later_one_offline(
    lab: Lab, start_host: StartHost, changed: str
) -> None:
    kept = "ni1" if changed == "ni0" else "ni0"
    host = start_host(PLAIN)
    set_mac(lab, changed, lab.mac(kept))
    eventually(lambda: host.status().interface(changed).state == "offline")
    on(lab, kept, *BOTH)
    assert host.status().interface(changed).duplicate_hwaddr
    assert flags(host.ipmpstat("-iP", "-o", "interface,state,flags"))[changed] == ("offline", "h")
    assert (
        f"IP interface {changed} has a hardware address which is not unique in group ipmp0; "
        "offlining"
    ) in host.sentences()
    refused = host.if_mpadm("-r", changed)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        f"if_mpadm: fatal: cannot undo-offline {changed}: "
        "interface has duplicate hardware address\n"
    )
    assert host.if_mpadm("-d", kept).returncode == 1, "the other one is not usable"
    with lab.meter("peer", IPV4, count=200) as stream:
        assert stream.result().lost == 0
    set_mac(lab, changed, lab.mac(changed))
    unique = f"IP interface {changed} now has a unique hardware address in group ipmp0; onlining"
    eventually(lambda: unique in host.sentences())
    eventually(lambda: host.status().interface(changed).state == "ok")
    on(lab, "ni0", *BOTH)


def set_mac(lab: Lab, nic: str, mac: str) -> None:
    lab.run(HOST, ("ip", "link", "set", nic, "address", mac))


def flags(table: str) -> dict[str, tuple[str, str]]:
    """State and set flags of each interface in parsable output of `ipmpstat -i`."""
    rows = [line.split(":") for line in table.splitlines()]
    return {name: (state, flags.replace("-", "")) for name, state, flags in rows}
