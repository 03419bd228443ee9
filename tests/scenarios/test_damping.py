"""What keeps a bad link, or a fabric that counts moves, from throwing addresses about."""

from __future__ import annotations

import time

from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.scenarios.conftest import StartHost
from tests.support.lab import Host
from tests.support.views import BOTH, IPV4, IPV6, PLAIN, held, on
from tests.support.wait import eventually

THREE = """\
[groups.ipmp0]
interfaces = ["ni0", "ni1", "ni2"]
up_delay = "100ms"
"""
UNTIL_IT_WOULD_MOVE = 1.0  # seconds, many times the up_delay above


def test_09_flap_within_the_up_delay(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN + 'probe = { method = "off" }\n')
    lost_before = host.status().interface("ni0").link_losses
    with lab.sniff("peer", "eth0") as port:
        flap(lab, host)
        on(lab, "ni1", *BOTH)
        time.sleep(2.5)  # longer than the up_delay
        back = [f for f in port.frames() if f.announces and f.sender_mac == lab.mac("ni0")]
    on(lab, "ni1", *BOTH)
    assert back == [], "it was never announced from ni0"
    ni0 = host.status().interface("ni0")
    assert moves(host) == (1, 0)
    assert ni0.reason == "its link came up more than twice in a minute; it waits until that ends"
    assert ni0.link_losses == lost_before + 5
    assert any("disabling repair until it stabilizes" in said for said in host.sentences())


def test_09_a_probed_link_that_flaps_goes_home_once_when_its_probes_are_answered(
    lab: Lab, start_host: StartHost
) -> None:
    host = start_host(PLAIN)
    eventually(lambda: host.status().interface("ni0").probe == "ok")
    flap(lab, host)
    on(lab, "ni0", *BOTH, seconds=10)
    eventually(lambda: moves(host) == (1, 1))


def test_10_the_fifth_move_is_held_unless_it_is_needed(lab3: Lab, start_host3: StartHost) -> None:
    lab3.run(HOST, ("ip", "addr", "del", f"{IPV6}/64", "dev", "ni0"))
    host = start_host3(THREE)
    lab3.fault("cable-pull", "ni0")
    alone(lab3, "ni1")
    lab3.fault("cable-pull", "ni1")
    alone(lab3, "ni2")
    lab3.repair("ni0")
    alone(lab3, "ni0")
    lab3.fault("cable-pull", "ni0")
    alone(lab3, "ni2")
    lab3.repair("ni0")
    eventually(lambda: host.status().interface("ni0").state == "ok")
    time.sleep(UNTIL_IT_WOULD_MOVE)
    alone(lab3, "ni2")
    (held_back,) = host.client.history(kind="refused")
    assert held_back.decision.reason == "move-limit"
    assert f"{IPV4}/24 stays on ni2: it has moved 4 times in 180 s" in held_back.sentence
    assert held_back.sentence in host.ipmp("explain", IPV4).stdout
    with lab3.meter("peer", IPV4, count=200) as stream:
        assert stream.result().lost == 0
    lab3.fault("cable-pull", "ni2")
    alone(lab3, "ni0")


def test_10_the_limit_holds_back_nothing_that_an_operator_asks_for(
    lab: Lab, start_host: StartHost
) -> None:
    host = start_host(PLAIN)
    for _ in range(3):
        assert host.if_mpadm("-d", "ni0").returncode == 0
        on(lab, "ni1", *BOTH)
        assert host.if_mpadm("-r", "ni0").returncode == 0
        on(lab, "ni0", *BOTH)
    assert {a.moves for a in host.status().addresses} == {6}
    assert host.client.history(kind="refused") == []


def moves(host: Host) -> tuple[int, int]:
    """Failovers and failbacks so far."""
    group = host.status().group("ipmp0")
    return sum(group.failovers.values()), sum(group.failbacks.values())


def flap(lab: Lab, host: Host) -> None:
    for _ in range(5):
        lab.fault("cable-pull", "ni0")
        link_is(host, "down")
        lab.repair("ni0")
        link_is(host, "up")


def link_is(host: Host, state: str) -> None:
    """Wait until the daemon has seen the link so: what it never saw is no flap."""
    eventually(lambda: host.status().interface("ni0").link == state)


def alone(lab: Lab, member: str) -> None:
    """Insist that the IPv4 address is on this member and on no other one."""
    members = ("ni0", "ni1", "ni2")
    eventually(lambda: [m for m in members if f"{IPV4}/24" in held(lab, m)] == [member])
