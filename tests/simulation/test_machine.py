"""The same host as in a soak, with every act chosen by Hypothesis: what it breaks it makes short.

Rules are what operators, cables, other programs and death do. The invariants of DESIGN 4 that hold
at every instant are judged by the world itself while time passes; the others in `rest`, which also
ends each example. With `--hypothesis-profile=long` it looks for new examples, for some minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule

from ipmp.world import AF_INET, AF_INET6, IFA_F_NODAD, IFA_F_PERMANENT, RouteKey
from tests.simulation import routes
from tests.simulation.chaos import PERSON, PROGRAM
from tests.simulation.connection import Faults
from tests.simulation.kernel import KERNEL_LL, PROTO_KERNEL, Device
from tests.simulation.payloads import BGP, Held, route_payload
from tests.simulation.scenario import STATIC, SUBNETS, GroupPlan, hosts, put
from tests.simulation.world import InvariantBroken, World

#: In the suite: always the same examples.
BOUNDED = settings(max_examples=200, stateful_step_count=40, deadline=None, derandomize=True)

GAPS = st.sampled_from((0.0, 0.0003, 0.004, 0.2, 3.0))  # seconds until the next act
KEYS = st.builds(lambda subnet, n: subnet.key(n), st.sampled_from(SUBNETS[0]), st.integers(5, 9))
ACTORS = st.sampled_from((PERSON, PROGRAM))
ANY = st.integers(0, 9)  # which of those that there are
FAULTS = st.builds(
    Faults,
    refuse=st.sampled_from((0.0, 0.2)),
    fail=st.sampled_from((0.0, 0.05)),
    lose=st.sampled_from((0.0, 0.5, 1.0)),
    overrun=st.sampled_from((0.0, 0.02)),
    late=st.sampled_from((0.0002, 1.0)),
    message=st.sampled_from((0.0002, 0.02)),
    loss=st.sampled_from((0.0, 0.2)),
)


class Host(RuleBasedStateMachine):
    """One host with one group, from boot on."""

    members = Bundle("members")

    world: World
    broken = False

    # Boot -----------------------------------------------------------------------------------------

    @initialize(
        target=members,
        seed=st.integers(0, 999),  # of how long messages take
        size=st.integers(1, 4),
        spare=st.booleans(),
        failback=st.booleans(),
        adopt=st.booleans(),
        up_delay=st.sampled_from(("0s", "2s")),
        method=st.sampled_from(("off", "arp")),
        outbound=st.sampled_from(("single", "spread")),
        declared=st.sets(KEYS, max_size=2),
        found=st.dictionaries(KEYS, ANY, max_size=4),
    )
    def boot(
        self,
        *,
        seed: int,
        size: int,
        spare: bool,
        failback: bool,
        adopt: bool,
        up_delay: str,
        method: str,
        outbound: str,
        declared: set[str],
        found: dict[str, int],
    ) -> object:
        names = [f"n0{number}" for number in range(size)]
        spares = names[1:][-1:] if spare else []
        group = GroupPlan(
            "ipmp0",
            0,
            [name for name in names if name not in spares],
            spares,
            addresses=dict.fromkeys(sorted(declared)),
            adopt=adopt,
            failback=failback,
            up_delay=up_delay,
            method=method,
            outbound=outbound,
            detection="1s",
        )
        self.world = World(seed, [group])
        self.world.network.alive = {group.name: hosts(group)}
        for key, number in found.items():
            put(self.world.kernel, self.world.kernel.names[names[number % size]], key)
        self.world.__enter__()
        self.rest()
        return multiple(*names)

    def _act(self, act: Callable[[], object], seconds: float) -> None:
        """Do it between two messages of the daemon, and let time pass."""
        self.world.clock.after(0.0, act)
        self._judged(lambda: self.world.run(seconds))

    def _device(self, name: str, act: Callable[[Device], object], seconds: float) -> None:
        """Do it to this device, if there is one."""

        def act_on() -> None:
            if (device := self.world.kernel.names.get(name)) is not None:
                act(device)

        self._act(act_on, seconds)

    def _judged(self, go: Callable[[], None]) -> None:
        try:
            go()
        except InvariantBroken:
            self.broken = True
            raise

    # Time -----------------------------------------------------------------------------------------

    @rule(seconds=GAPS)
    def wait(self, seconds: float) -> None:
        self._judged(lambda: self.world.run(seconds))

    @rule()
    def rest(self) -> None:
        self._judged(self.world.settle)

    @rule(faults=FAULTS)
    def suffer(self, faults: Faults) -> None:
        self.world.suffer(faults)

    # Cables and devices ---------------------------------------------------------------------------

    @rule(name=members, carrier=st.booleans(), gap=GAPS)
    def cable(self, name: str, carrier: bool, gap: float) -> None:
        self._device(name, lambda device: self.world.kernel.set_carrier(device, carrier), gap)

    @rule(name=members, up=st.booleans(), gap=GAPS)
    def set_link(self, name: str, up: bool, gap: float) -> None:
        self._device(name, lambda device: self.world.kernel.set_up(device, up), gap)

    @rule(name=members, gap=GAPS)
    def unplug(self, name: str, gap: float) -> None:
        self._device(name, self.world.kernel.remove, gap)

    @rule(name=members, gap=GAPS)
    def plug(self, name: str, gap: float) -> None:
        """The device is there again, with another index and MAC."""
        kernel = self.world.kernel

        def plug() -> None:
            if name not in kernel.names:
                kernel.set_up(kernel.create(name, "ipmp0"), True)

        self._act(plug, gap)

    @rule(name=members, works=st.booleans(), gap=GAPS)
    def path(self, name: str, works: bool, gap: float) -> None:
        """A switch behind the first one."""
        self.world.network.paths[name].loss = 0.0 if works else 1.0
        self.wait(gap)

    # Operators and automation ---------------------------------------------------------------------

    @rule(
        name=members,
        what=st.sampled_from(("offline", "online", "hold", "release")),
        actor=ACTORS,
        gap=GAPS,
    )
    def order(self, name: str, what: str, actor: str, gap: float) -> None:
        self._act(lambda: self.world.operate(what, name, actor), gap)

    @rule(name=members, joins=st.booleans(), gap=GAPS)
    def regroup(self, name: str, joins: bool, gap: float) -> None:
        groups = deepcopy(self.world.groups)
        group = groups[0]
        if joins and name not in group.members:
            group.interfaces.append(name)
        elif not joins and name in group.interfaces and len(group.interfaces) > 1:
            group.interfaces.remove(name)
        self._reload(groups, gap)

    @rule(
        keys=st.sets(KEYS, max_size=3),
        failback=st.booleans(),
        adopt=st.booleans(),
        outbound=st.sampled_from(("single", "spread")),
        gap=GAPS,
    )
    def edit(self, keys: set[str], failback: bool, adopt: bool, outbound: str, gap: float) -> None:
        groups = deepcopy(self.world.groups)
        groups[0].addresses = dict.fromkeys(sorted(keys))
        groups[0].failback, groups[0].adopt, groups[0].outbound = failback, adopt, outbound
        self._reload(groups, gap)

    def _reload(self, groups: list[GroupPlan], seconds: float) -> None:
        def reload() -> None:
            self.world.configure(groups)
            self.world.reload()

        self._act(reload, seconds)

    # Other programs -------------------------------------------------------------------------------

    @rule(name=members, key=KEYS, dad=st.booleans(), leased=st.booleans(), gap=GAPS)
    def add_address(self, name: str, key: str, dad: bool, leased: bool, gap: float) -> None:
        flags = (0 if dad else IFA_F_NODAD) | (0 if leased else IFA_F_PERMANENT)
        self._device(name, lambda device: self._add_address(device, key, flags), gap)

    def _add_address(self, device: Device, key: str, flags: int) -> None:
        """Who adds one that can be used at once tells the link of it."""
        try:
            held = put(self.world.kernel, device, key, flags=flags)
        except OSError:
            return  # it is there
        if held.usable:
            self.world.network.learn(held.text, device.hwaddr)
            self.world.invariants.spoke(device, key)

    @rule(name=members, which=ANY, gap=GAPS)
    def delete_address(self, name: str, which: int, gap: float) -> None:
        def delete(device: Device) -> None:
            if keys := [held.key for held in device.held if held.proto != KERNEL_LL]:
                self.world.kernel.delete(Held(keys[which % len(keys)], device.ifindex))

        self._device(name, delete, gap)

    @rule(
        name=members,
        number=st.integers(1, 2),
        ipv4=st.booleans(),
        routed=st.booleans(),
        protocol=st.sampled_from((STATIC, STATIC, BGP)),
        gap=GAPS,
    )
    def add_route(
        self, name: str, number: int, ipv4: bool, routed: bool, protocol: int, gap: float
    ) -> None:
        if ipv4:
            key, router = RouteKey(AF_INET, 254, f"10.0.{number}.0/24", 0, 0), "192.0.2.1"
        else:
            key, router = RouteKey(AF_INET6, 254, f"2001:db8:f{number}::/64", 0, 1024), "fe80::1"
        gateway = router if routed else None

        def add(device: Device) -> None:
            raw = route_payload(key, device.ifindex, gateway=gateway, protocol=protocol)
            try:
                routes.new(self.world.kernel, raw, 0)
            except OSError:
                return  # it is there, or it does not fit

        self._device(name, add, gap)

    @rule(which=ANY, gap=GAPS)
    def delete_route(self, which: int, gap: float) -> None:
        def delete() -> None:
            tables = self.world.kernel.tables.values()
            found = [e for table in tables for e in table if e.protocol != PROTO_KERNEL]
            if found:
                routes.delete(self.world.kernel, found[which % len(found)].raw)

        self._act(delete, gap)

    # Death ----------------------------------------------------------------------------------------

    @rule(gap=GAPS)
    def kill(self, gap: float) -> None:
        self._act(self.world.kill, gap)

    @rule(effects=st.integers(0, 11))
    def kill_soon(self, effects: int) -> None:
        """The daemon dies after so many more messages, frames or files."""
        if self.world.life is not None:
            self.world.life.fuse = effects

    @rule(gap=GAPS)
    def stop(self, gap: float) -> None:
        self._act(self.world.stop, gap)

    @rule(gap=GAPS)
    def start(self, gap: float) -> None:
        self._act(self.world.start, gap)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if not self.broken:
                self.world.settle()
        finally:
            self.world.__exit__()


TestHost = Host.TestCase
TestHost.settings = settings(deadline=None)
if settings.get_current_profile_name() != "long":
    TestHost.settings = settings(BOUNDED)
