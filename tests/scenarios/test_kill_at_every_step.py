"""`kill -9` after every single step of a drain and of a failover: a restart always ends well.

The kernel carries out a batch of netlink messages to its end whatever happens to its sender, so
what a kill leaves behind is what some of the steps have done: `tests.support.mortal` dies after
each of them.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from ipmp.client import ClientError
from ipmp.lab import Lab
from ipmp.lab.topology import HOST, ROUTER_IPV4
from tests.support import mortal
from tests.support.lab import Host
from tests.support.views import IPV4, IPV6, PLAIN, routes
from tests.support.wait import eventually

CONFIG = PLAIN + 'announce = { rate = 1000 }\nprobe = { method = "off" }\nup_delay = "100ms"\n'
SECOND = "192.168.1.6"
MORE = (  # than a lab's host has
    f"addr add {SECOND}/24 dev ni0",
    f"route add 10.2.0.0/16 via {ROUTER_IPV4} dev ni0 src {SECOND} table 100",
)
LOOK_EVERY = 0.05  # seconds
RATE = 250  # packets a second; the daemon shall have the machine
CALM = 0.5  # seconds in which the last steps of an undisturbed move are made


class Rest(NamedTuple):
    """Everything that the daemon is there for, as the kernel has it."""

    addresses: dict[str, list[tuple[str, int, str, str]]]  # with scope and label, in order
    routes: list[str]

    @property
    def count(self) -> int:
        """How many data addresses there are."""
        return sum(scope == "global" for held in self.addresses.values() for _, _, scope, _ in held)


class MortalHost(Host):
    """A host whose daemon can be told after how many steps it dies."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        super().__init__(lab, directory, CONFIG)
        self.dies_after = directory / "dies-after"

    def command(self, *options: str) -> tuple[str, ...]:
        _, *arguments = super().command(*options)
        steps = f"{mortal.VARIABLE}={self.dies_after}"
        return ("env", steps, sys.executable, "-P", str(mortal.__file__), *arguments)

    def lives(self) -> bool:
        """Whether it lives; whoever answers has not died of its last step."""
        try:
            return bool(self.status())
        except ClientError:
            self.process.wait(10)
            return False


def dies(host: MortalHost, after: int, act: Callable[[], object], goal: Rest) -> bool:
    """Let it die after so many steps of what `act` causes; the end must be the same as ever."""
    host.dies_after.write_text(str(after))
    act()
    eventually(
        lambda: host.process.poll() is not None or at_rest(host.lab) == goal, interval=LOOK_EVERY
    )
    host.dies_after.unlink()
    died = not host.lives()
    if died:
        host.start()
        eventually(lambda: sum(host.status().daemon.announcements.values()) == goal.count)
    comes_to_rest(host.lab, goal, f"killed after step {after}" if died else "not killed")
    return died


def comes_to_rest(lab: Lab, goal: Rest, when: str) -> None:
    def reached() -> bool:
        assert at_rest(lab) == goal, when
        return True

    eventually(reached, interval=LOOK_EVERY)


@pytest.mark.slow
def test_36_kill_at_every_step_of_a_drain_and_of_its_undoing(lab: Lab, tmp_path: Path) -> None:
    for command in MORE:
        lab.run(HOST, ("ip", *command.split()))
    host = MortalHost(lab, tmp_path)
    host.start()
    away = undisturbed(lab, lambda: host.order("offline", "ni0"), empty="ni0")
    home = undisturbed(lab, lambda: host.order("online", "ni0"), empty="ni1")
    with lab.meter("peer", IPV4, rate=RATE) as four, lab.meter("peer", IPV6, rate=RATE) as six:
        for step in itertools.count(1):
            there = dies(host, step, lambda: host.order("offline", "ni0"), away)
            assert host.status().interface("ni0").state == "offline"
            back = dies(host, step, lambda: host.order("online", "ni0"), home)
            assert host.status().interface("ni0").state == "ok"
            if not (there or back):
                break
        assert (four.result().lost, six.result().lost) == (0, 0)
    assert step > 4 * home.count, "they come, are announced and go, and as many routes move"


@pytest.mark.slow
def test_36_kill_at_every_step_of_a_failover_and_of_the_failback(lab: Lab, tmp_path: Path) -> None:
    host = MortalHost(lab, tmp_path)
    host.start()
    away = undisturbed(lab, lambda: lab.fault("cable-pull", "ni0"), empty="ni0")
    home = undisturbed(lab, lambda: lab.repair("ni0"), empty="ni1")
    for step in itertools.count(1):
        there = dies(host, step, lambda: lab.fault("cable-pull", "ni0"), away)
        back = dies(host, step, lambda: lab.repair("ni0"), home)
        if not (there or back):
            break
    assert step > 4 * home.count, "they come, are announced and go, and as many routes move"


def undisturbed(lab: Lab, act: Callable[[], object], empty: str) -> Rest:
    """What becomes of the host when nobody dies; one member has no data address then."""
    act()
    eventually(lambda: not any(scope == "global" for _, _, scope, _ in addresses(lab, empty)))
    time.sleep(CALM)
    return at_rest(lab)


def at_rest(lab: Lab) -> Rest:
    return Rest({member: addresses(lab, member) for member in ("ni0", "ni1")}, routes(lab))


def addresses(lab: Lab, member: str) -> list[tuple[str, int, str, str]]:
    (link,) = lab.ip_json(HOST, "addr", "show", "dev", member)
    return [
        (a["local"], a["prefixlen"], a["scope"], a.get("label", ""))
        for a in link["addr_info"]
        if not a["local"].startswith("fe80:")
    ]
