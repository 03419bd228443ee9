"""Several groups on one host, and many addresses in one."""

from __future__ import annotations

import pytest

from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.scenarios.conftest import StartHost
from tests.support.views import BOTH, IPV4, PLAIN, held, on
from tests.support.wait import eventually

TWO = """\
[groups.front]
interfaces = ["ni0", "ni1"]

[groups.back]
interfaces = ["ni2", "ni3"]
"""
BACK = "10.20.0.5/24"


def test_56_two_groups_do_not_couple(lab3: Lab, start_host3: StartHost) -> None:
    for command in ("link add ni3 type veth peer name ni3p", "link set ni3 up", "link set ni3p up"):
        lab3.run(HOST, ("ip", *command.split()))
    lab3.run(HOST, ("ip", "addr", "add", BACK, "dev", "ni2"))
    host = start_host3(TWO)
    lab3.fault("cable-pull", "ni2")
    eventually(lambda: held(lab3, "ni3") == [BACK])
    status = host.status()
    assert (status.group("back").state, status.group("front").state) == ("degraded", "ok")
    on(lab3, "ni0", *BOTH)
    # The first verdict of the probes is news: amid the drain it would make two moves of one.
    eventually(lambda: {host.status().interface(name).probe for name in ("ni0", "ni1")} == {"ok"})
    assert host.if_mpadm("-d", "ni3").returncode == 1, "the last of its group"
    assert host.if_mpadm("-d", "ni0").returncode == 0
    on(lab3, "ni1", *BOTH)
    assert held(lab3, "ni3") == [BACK]
    lab3.repair("ni2")
    eventually(lambda: held(lab3, "ni2") == [BACK])
    assert host.status().interface("ni0").state == "offline"
    failovers = {g.name: sum(g.failovers.values()) for g in host.status().groups}
    assert failovers == {"front": 1, "back": 1}


@pytest.mark.slow
def test_51_a_hundred_addresses(lab: Lab, start_host: StartHost) -> None:
    for number in range(99):
        lab.run(HOST, ("ip", "addr", "add", f"192.168.1.{110 + number}/24", "dev", "ni0"))
    host = start_host(PLAIN + "announce = { rate = 1000 }\n")
    before = held(lab, "ni0")
    memory = []
    for _ in range(10):
        assert host.if_mpadm("-d", "ni0").returncode == 0
        assert set(held(lab, "ni1")) == set(before)
        assert host.if_mpadm("-r", "ni0").returncode == 0
        eventually(lambda: held(lab, "ni0") == before and not held(lab, "ni1"), 10)
        memory.append(resident(host.process.inner_pid))
    assert memory[-1] < memory[2] * 1.05
    with lab.meter("peer", IPV4, count=200) as stream:
        assert stream.result().lost == 0


def resident(pid: int) -> int:
    """Resident memory of a process, in kB."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
