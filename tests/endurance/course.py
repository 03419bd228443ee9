"""One lab's course: cycles of trouble, `kill -9` in the midst of it, a restart, and a look at it.

Everything that is done is drawn from one seeded generator, so a seed repeats what is done and in
which order; when exactly the daemon meets it is up to the machine.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from threading import Thread

from ipmp.client import Operation
from ipmp.lab import Lab
from ipmp.lab.topology import HOST, ROUTER_IPV4, ROUTER_IPV6
from tests.endurance.rest import look
from tests.support.lab import Host
from tests.support.views import PLAIN
from tests.support.wait import eventually

CONFIG = PLAIN + 'announce = { rate = 1000 }\nup_delay = "100ms"\n'
UNPROBED = CONFIG + 'probe = { method = "off" }\n'
MEMBERS = ("ni0", "ni1")

MORE = (  # than a lab's host has
    *(f"addr add 192.168.1.{number}/24 dev ni0" for number in (6, 7)),
    *(f"addr add 192.168.1.{number}/24 dev ni1" for number in (8, 9)),
    "addr add fd00:1::9/64 dev ni1 nodad",
    f"route add 10.1.0.0/16 via {ROUTER_IPV4} dev ni0 metric 50 mtu 1400",
    f"route add 10.2.0.0/16 via {ROUTER_IPV4} dev ni1 src 192.168.1.8 table 100",
    f"route add default via {ROUTER_IPV4} dev ni1 table 100",
    f"-6 route add fd00:7::/64 via {ROUTER_IPV6} dev ni1 metric 77",
)

MOMENT = 0.06  # seconds: the longest pause after a trouble; a drain takes about that long
REST_WITHIN = 15.0  # probed members must have ten answers before they are used again


class Course:
    """A host in a lab, what has been done to it, and what it should come to."""

    def __init__(self, lab: Lab, directory: Path, seed: str, *, probed: bool) -> None:
        self.cycles = 0
        self.amid = 0  # kills that met it with work half done
        self.done: list[str] = []  # of the present cycle
        self._lab = lab
        self._random = Random(seed)
        self._cut: set[str] = set()
        self._down: set[str] = set()
        self._orders: list[Thread] = []
        for command in MORE:
            lab.run(HOST, ("ip", *command.split()))
        self.host = Host(lab, directory, CONFIG if probed else UNPROBED).start()
        self._home = look(lab)
        self._troubles: tuple[Callable[[], None], ...] = (
            self._drain,
            self._drain,
            self._undo,
            self._pull,
            self._pull,
            self._plug,
            self._set_down,
            self._delete_address,
            self._flush,
            self._add_copy,
        )
        self._troubles_while_dead = (
            self._pull,
            self._plug,
            self._set_down,
            self._delete_address,
            self._delete_route,
            self._flush,
            self._add_copy,
        )

    def cycle(self) -> None:
        """Make trouble, kill the daemon, start it again; AssertionError when it is not well then.

        What is done stays in `done`.
        """
        self.cycles += 1
        self.done = []
        for _ in range(self._random.randint(1, 3)):
            self._random.choice(self._troubles)()
            time.sleep(self._random.uniform(0, MOMENT))  # the kill comes amid what follows
        self._note("kill -9")
        self.host.kill9()
        self._end_orders()
        self.amid += not self._is_calm()
        for _ in range(self._random.randint(0, 2)):
            self._random.choice(self._troubles_while_dead)()
        self._note("start")
        self.host.start()
        if self._random.random() < 0.5 or not self._usable():
            self._heal()
            eventually(lambda: look(self._lab).is_home(self._home), REST_WITHIN, 0.05)
        else:
            usable = self._usable()
            eventually(lambda: look(self._lab).is_well(self._home, usable), REST_WITHIN, 0.05)
        log = self.host.log()
        assert "Traceback" not in log, log[-3000:]

    def describe(self) -> str:
        """What there is now, as far as there is a lab."""
        try:
            return str(look(self._lab))
        except subprocess.CalledProcessError as error:
            return f"the lab cannot be looked at: {error.stderr}"

    # What is done -------------------------------------------------------------------------------

    def _drain(self) -> None:
        self._order("offline")

    def _undo(self) -> None:
        self._order("online")

    def _order(self, operation: Operation) -> None:
        """Order it and do not wait: the kill may come before it is done."""
        member = self._member()
        self._note(f"{operation} {member}")
        self._orders.append(self.host.order(operation, member))

    def _pull(self) -> None:
        member = self._member()
        self._note(f"pull {member}")
        self._lab.fault("cable-pull", member)
        self._cut.add(member)

    def _plug(self) -> None:
        for member in sorted(self._cut)[:1]:
            self._note(f"plug {member}")
            self._lab.repair(member)
            self._cut.remove(member)

    def _set_down(self) -> None:
        """Down, and maybe up again at once."""
        member = self._member()
        self._ip(f"link set {member} down")
        self._down.add(member)
        if self._random.random() < 0.5:
            self._set_up(member)

    def _set_up(self, member: str) -> None:
        self._ip(f"link set {member} up")
        self._down.remove(member)

    def _delete_address(self) -> None:
        key, _ = self._random.choice(self._home.places())
        for member in MEMBERS:
            self._ip(f"addr del {key} dev {member}")

    def _flush(self) -> None:
        self._ip(f"addr flush dev {self._member()} scope global")

    def _add_copy(self) -> None:
        key, _ = self._random.choice(self._home.places())
        self._ip(f"addr add {key} dev {self._member()}" + (" nodad" if ":" in key else ""))

    def _delete_route(self) -> None:
        """Only while the daemon is dead: what goes while it lives was removed on purpose."""
        self._ip(f"route del 10.1.0.0/16 dev {self._member()}")

    def _heal(self) -> None:
        for member in sorted(self._cut):
            self._note(f"plug {member}")
            self._lab.repair(member)
        self._cut.clear()
        for member in sorted(self._down):
            self._set_up(member)
        for member in sorted(self._offline()):
            self._note(f"if_mpadm -r {member}")
            done = self.host.if_mpadm("-r", member)
            assert done.returncode == 0, done.stderr

    # Helpers ------------------------------------------------------------------------------------

    def _member(self) -> str:
        return self._random.choice(MEMBERS)

    def _offline(self) -> set[str]:
        return {i.name for i in self.host.status().interfaces if i.offline is not None}

    def _is_calm(self) -> bool:
        """Whether it is all somewhere, and once, wherever that may be."""
        try:
            return look(self._lab).is_whole(self._home)
        except AssertionError:
            return False

    def _usable(self) -> set[str]:
        return set(MEMBERS) - self._cut - self._down - self._offline()

    def _ip(self, command: str) -> None:
        """Run ip; that it refuses (no such address, or there is one already) is no trouble."""
        self._note(f"ip {command}")
        self._lab.run(HOST, ("ip", *command.split()), check=False)

    def _end_orders(self) -> None:
        for order in self._orders:
            order.join()
        self._orders.clear()

    def _note(self, what: str) -> None:
        self.done.append(what)
