"""From a bond to a group over ssh: the steps of docs/migration.md, under traffic."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ipmp.lab import Lab
from ipmp.lab.topology import HOST, ROUTER_IPV4, ROUTER_IPV6
from tests.support.lab import Host
from tests.support.pages import ROOT, blocks
from tests.support.views import BOTH, IPV4, IPV6, on, peer_knows
from tests.support.wait import eventually

PAGE = (ROOT / "docs/migration.md").read_text()
BONDING = PAGE.split("## From keepalived\n")[0]
SECTION = BONDING.split("### Over ssh\n")[1].split("### At a console\n")[0]
BOTH_NICS, ONE_NIC = blocks(BONDING, "toml")
FLOWING = 0.3  # seconds of stream before something is done under it


def block(first: str) -> list[str]:
    """The lines of the shell block of the page that begins so."""
    (found,) = (text for text in blocks(SECTION) if text.startswith(first))
    return found.splitlines()


def shell(lab: Lab, *lines: str) -> None:
    for line in lines:
        lab.run(HOST, ("sh", "-e", "-c", line))


def make_bond(lab: Lab) -> None:
    """A bridge with one port stands for the bond: its address, its routes, ni1 idle."""
    shell(
        lab,
        "ip link set ni1 down",
        "ip addr flush dev ni0 scope global",
        "ip link add bond0 type bridge",
        "ip link set bond0 address 02:00:00:00:00:10",
        "ip link set bond0 up",
        "ip link set ni0 master bond0",
        f"ip addr add {IPV4}/24 dev bond0",
        f"ip addr add {IPV6}/64 dev bond0 nodad",
        f"ip route replace default via {ROUTER_IPV4} dev bond0",
        "ip -6 route flush default",
        f"ip -6 route add default via {ROUTER_IPV6} dev bond0",
    )


@pytest.mark.parametrize("source", ["peer", "far"])
def test_nothing_is_lost_on_the_way_from_a_bond_to_a_group(
    lab: Lab, tmp_path: Path, source: str
) -> None:
    make_bond(lab)
    with lab.meter(source, IPV4) as ipv4, lab.meter(source, IPV6) as ipv6:
        time.sleep(FLOWING)
        take_out = block("ip link set ni1 nomaster")
        shell(lab, *take_out[1:])  # it is no port here
        eventually(lambda: "LOWER_UP" in lab.run(HOST, ("ip", "link", "show", "ni1")).stdout)
        host = Host(lab, tmp_path, ONE_NIC).start()
        (line,) = block("systemctl start mpathd")
        shell(lab, line.removeprefix("systemctl start mpathd && "))
        on(lab, "ni1", *BOTH)
        time.sleep(FLOWING)
        shell(lab, *block("ip link del bond0"))
        host.configure(BOTH_NICS)
        assert host.ipmp("reload").returncode == 0
        on(lab, "ni0", *BOTH)
        time.sleep(FLOWING)
        lost = (ipv4.result().lost, ipv6.result().lost)
    assert lost == (0, 0)
    assert source != "peer" or peer_knows(lab, IPV4, "ni0")
    assert [i.state for i in host.status().interfaces] == ["ok", "ok"]


def test_the_page_begins_with_the_way_back() -> None:
    assert SECTION.index("shutdown -r") < SECTION.index("ip link set ni1 nomaster")
    assert SECTION.index("systemctl enable mpathd") > SECTION.index("ip link del bond0")
