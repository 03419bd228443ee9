"""A tiny simulated link for the probe engine: hosts that answer, faults, and a clock of numbers.

Replies lie in a queue until the engine is called, as packets lie in sockets; the engine is called
at its deadlines and when a reply arrives, unless the process is stalled.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from itertools import count
from random import Random

from ipmp.decision import Decision
from ipmp.model import Family, ProbeState
from ipmp.probing import Candidates, Engine, Method, Outcome, Path, Probe, Reply, Setup, Standing
from ipmp.probing.prober import ALL_NODES

ROUTER, ROUTER6, PEER = "192.0.2.1", "fe80::1", "192.0.2.100"
RTT = 0.0003
START = 1000.0


def path(
    member: str,
    family: Family = Family.IPV4,
    method: Method = Method.ICMP,
    *,
    link: bool = True,
    ifindex: int = 1,
) -> Path:
    """A path of a member with an address of its own."""
    last = int(member[-1]) + 1
    source = f"192.0.2.2{last}" if family is Family.IPV4 else f"fe80::2{last}"
    if method is Method.ARP and family is Family.IPV4:
        source = ""
    return Path(member, family, method, ifindex, f"02:00:00:00:00:1{last}", source, link)


def setup(
    *paths: Path,
    time: float = 10.0,
    targets: Iterable[str] = (),
    routers: Iterable[str] = (),
    neighbours: Iterable[str] = (),
) -> Setup:
    """What the engine is told; addresses are sorted into their families."""

    def of(family: Family, addresses: Iterable[str]) -> tuple[str, ...]:
        return tuple(a for a in addresses if (":" in a) is (family is Family.IPV6))

    own = frozenset(p.source for p in paths if p.source)
    candidates = {
        family: Candidates(of(family, targets), of(family, routers), of(family, neighbours), own)
        for family in Family
    }
    return Setup(time, paths, candidates)


class Host:
    """Somebody who answers on the link, after `rtt` seconds."""

    def __init__(self, address: str, rtt: float = RTT) -> None:
        self.address = address
        self.rtt = rtt
        self.up = True
        self.hwaddr = b"\x02\0\0\0\1" + bytes((sum(address.encode()) % 256,))


class Link:
    """The link, the process that drives the engine, and what came out of it."""

    def __init__(self, arrangement: Setup, *hosts: Host | str, seed: int = 1) -> None:
        self.random = Random(seed)
        self.engine = Engine("ipmp0", self.random)
        self.now = START
        self.hosts = {
            host.address: host for host in (h if isinstance(h, Host) else Host(h) for h in hosts)
        }
        self.cut: set[str] = set()  # members whose packets are lost
        self.drop: Callable[[Probe], bool] = lambda probe: False  # lose this one
        self.delay: Callable[[Probe], float] = lambda probe: 0.0  # more than the host's rtt
        self.outcomes: list[Outcome] = []
        self.decisions: list[Decision] = []
        self.sent: list[tuple[float, Probe]] = []
        self.changes: list[tuple[float, dict[str, ProbeState]]] = []
        self.calls = 0
        self._arriving: list[tuple[float, int, Reply]] = []
        self._number = count()
        self.configure(arrangement)

    def configure(self, arrangement: Setup) -> None:
        self.arrangement = arrangement
        self.engine.configure(arrangement, self.now)

    # Time ---------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let time pass; the process runs whenever it wants to."""
        end = self.now + seconds
        while True:
            wake = min(self.engine.deadline, self._next_arrival())
            if wake > end:
                break
            self.now = max(wake, self.now)
            self.call()
        self.now = end

    def run_to_probe(self, member: str) -> None:
        """Let time pass until a member has sent a probe; its answer is still on the way."""
        sent = len(self.sent)
        while not any(probe.member == member for _, probe in self.sent[sent:]):
            self.now = max(self.now, min(self.engine.deadline, self._next_arrival()))
            self.call()

    def stall(self, seconds: float) -> None:
        """Let time pass while the process does not run; then it is called."""
        self.now += seconds
        self.call()

    def call(self, replies: Iterable[Reply] | None = None) -> None:
        """Call the engine now, with what has arrived or with these replies."""
        self.calls += 1
        waiting = [*self._arrived()] if replies is None else [*replies]
        turn = self.engine.advance(self.now, waiting)
        assert self.engine.deadline > self.now, "it would be called again at once, for ever"
        self.outcomes += turn.outcomes
        self.decisions += turn.decisions
        if turn.changed:
            states = {name: s.verdict for name, s in self.engine.standings.items()}
            self.changes.append((self.now, states))
        for probe in turn.probes:
            self.sent.append((self.now, probe))
            self._deliver(probe)

    def inject(self, reply: Reply) -> None:
        """Let a reply arrive that nobody on the link has sent."""
        heapq.heappush(self._arriving, (reply.received, next(self._number), reply))

    # What came out ------------------------------------------------------------------------------

    def standing(self, member: str) -> Standing:
        return self.engine.standings[member]

    def verdict(self, member: str) -> ProbeState:
        return self.standing(member).verdict

    def lost(self, member: str) -> list[Outcome]:
        return [o for o in self.outcomes if o.member == member and o.lost]

    def acked(self, member: str) -> list[Outcome]:
        return [o for o in self.outcomes if o.member == member and not o.lost]

    def when(self, member: str, state: ProbeState, since: float = 0.0) -> float:
        """When a member came into a state, after a time."""
        return next(t for t, states in self.changes if t > since and states[member] is state)

    # The wire -----------------------------------------------------------------------------------

    def _deliver(self, probe: Probe) -> None:
        if probe.member in self.cut or self.drop(probe):
            return
        if probe.target == ALL_NODES[probe.family]:
            asked = [a for a in self.hosts if (":" in a) is (probe.family is Family.IPV6)]
        else:
            asked = [probe.target]
        for address in asked:
            host = self.hosts.get(address)
            if host is None or not host.up or (probe.hwaddr and probe.hwaddr != host.hwaddr):
                continue
            self.inject(answer(probe, self.now + host.rtt + self.delay(probe), host))

    def _next_arrival(self) -> float:
        return self._arriving[0][0] if self._arriving else float("inf")

    def _arrived(self) -> Iterable[Reply]:
        while self._next_arrival() <= self.now:
            yield heapq.heappop(self._arriving)[2]


def answer(probe: Probe, received: float, host: Host) -> Reply:
    """What a host answers to a probe."""
    arp = probe.method is Method.ARP
    return Reply(
        probe.member,
        probe.family,
        probe.method,
        host.address,
        received,
        0 if arp else probe.sequence,
        probe.ident,
        probe.nonce,
        host.hwaddr if arp else b"",
    )
