"""What must hold whatever happens, searched for by hypothesis."""

from __future__ import annotations

from itertools import cycle

from hypothesis import given, settings
from hypothesis import strategies as st

from ipmp.model import Family, ProbeState
from ipmp.probing import Method, Probe, Setup
from ipmp.probing.detection import LOSSES
from ipmp.probing.prober import GRACE
from tests.support.simulated_link import Link, path, setup

FAILED = ProbeState.FAILED
TARGETS = (*(f"192.0.2.{n}" for n in range(1, 6)), "fe80::1", "fe80::2")

times = st.sampled_from([0.1, 1.0, 10.0])
methods = st.sampled_from(list(Method))
seeds = st.integers(0, 1 << 32)


@st.composite
def arrangements(draw: st.DrawFn, families: int = 2) -> Setup:
    """Two members, one or two families, one to five targets in each."""
    method, time = draw(methods), draw(times)
    used = list(Family)[: draw(st.integers(1, families))]
    targets = [*TARGETS[: draw(st.integers(1, 5))], *TARGETS[5 : 5 + draw(st.integers(1, 2))]]
    paths = [path(member, family, method) for member in ("ni0", "ni1") for family in used]
    return setup(*paths, time=time, targets=targets)


def ever_failed(link: Link) -> bool:
    return any(FAILED in states.values() for _, states in link.changes)


@settings(max_examples=60, deadline=None)
@given(
    arrangements(families=1),
    seeds,
    st.lists(st.integers(0, LOSSES - 1), min_size=1, max_size=20),
    st.lists(st.floats(0.0, 0.4), min_size=1, max_size=7),
)
def test_without_five_losses_in_a_row_nothing_ever_fails(
    arrangement: Setup, seed: int, runs: list[int], delays: list[float]
) -> None:
    """`runs` are how many probes of ni0 are lost between two that are answered."""
    link = Link(arrangement, *TARGETS, seed=seed)
    interval = arrangement.detection_time / 7
    delay = cycle(delays)
    link.delay = lambda probe: next(delay) * interval
    link.run(arrangement.detection_time)
    pattern = cycle([lost for run in runs for lost in [True] * run + [False]])
    link.drop = lambda probe: probe.member == "ni0" and next(pattern)
    link.run(20 * arrangement.detection_time)
    assert not ever_failed(link)


@settings(max_examples=60, deadline=None)
@given(arrangements(), seeds)
def test_a_dead_path_always_fails_within_the_detection_time_and_is_repaired(
    arrangement: Setup, seed: int
) -> None:
    time = arrangement.detection_time
    link = Link(arrangement, *TARGETS, seed=seed)
    link.run(6 * time)
    link.cut = {"ni0"}
    cut_at = link.now
    link.run(2 * time)
    assert link.when("ni0", FAILED) - cut_at <= time
    assert link.verdict("ni1") is ProbeState.OK
    link.cut = set()
    link.run(2 * time)
    assert link.verdict("ni0") is ProbeState.OK


moments = st.tuples(
    st.floats(0.0, 3.0),  # intervals in which the process runs
    st.floats(0.0, 100.0),  # intervals in which it does not
    st.floats(0.0, GRACE * 0.99),  # intervals until the replies reach the sockets after that
    st.booleans(),  # it had just read the sockets when it was stopped
)


@settings(max_examples=100, deadline=None)
@given(arrangements(), seeds, st.lists(moments, max_size=60))
def test_a_busy_host_never_fails(
    arrangement: Setup, seed: int, story: list[tuple[float, float, float, bool]]
) -> None:
    """The network is well all the time; only this host does not run when it should."""
    link = Link(arrangement, *TARGETS, seed=seed)
    interval = arrangement.detection_time / 7
    link.run(arrangement.detection_time)
    for running, stopped, starved, read_before in story:
        link.run(running * interval)
        link.now += stopped * interval
        if read_before or starved:
            link.call([])
        link.now += starved * interval
        link.call()
    link.run(arrangement.detection_time)
    assert not ever_failed(link)


events = st.one_of(
    st.tuples(st.just("run"), st.floats(0.0, 20.0)),
    st.tuples(st.just("stall"), st.floats(0.0, 20.0)),
    st.tuples(st.just("cut"), st.sampled_from([set(), {"ni0"}, {"ni1"}, {"ni0", "ni1"}])),
    st.tuples(st.just("host"), st.sampled_from(TARGETS)),
    st.tuples(st.just("link"), st.sampled_from(["ni0", "ni1"])),
    st.tuples(st.just("group"), st.booleans()),
    st.tuples(st.just("rtt"), st.floats(0.0001, 3.0)),
    st.tuples(st.just("unsent"), st.just(None)),
)


@settings(max_examples=100, deadline=None)
@given(arrangements(), seeds, st.lists(events, max_size=40))
def test_the_books_balance_whatever_happens(
    arrangement: Setup, seed: int, story: list[tuple[str, object]]
) -> None:
    """Every probe that was sent is acked, lost, void or outstanding; and nothing ever hangs."""
    link = Link(arrangement, *TARGETS, seed=seed)
    interval = arrangement.detection_time / 7
    down: set[str] = set()
    for what, value in story:
        _play(link, what, value, interval, down)
        for key, counters in link.engine.counters.items():
            outstanding = len(link.engine._probers[key].window.outstanding)
            settled = counters.acked + counters.lost + counters.void - counters.late
            assert counters.sent == settled + outstanding
        standings = link.engine.standings
        for standing in standings.values():
            assert (standing.first_loss is None) or standing.losses > 0


def _play(link: Link, what: str, value: object, interval: float, down: set[str]) -> None:
    match what, value:
        case "run", float(intervals):
            link.run(intervals * interval)
        case "stall", float(intervals):
            link.stall(intervals * interval)
        case "cut", set(members):
            link.cut = members
        case "host", str(address):
            link.hosts[address].up = not link.hosts[address].up
        case "rtt", float(seconds):
            for host in link.hosts.values():
                host.rtt = seconds * interval
        case "group", bool(failed):
            link.engine.group_failed = failed
        case "unsent", _:
            probes: list[Probe] = [probe for _, probe in link.sent[-1:]]
            for probe in probes:
                link.engine.unsent(probe)
        case "link", str(member):
            down ^= {member}
            old = link.arrangement
            paths = tuple(
                path(p.member, p.family, p.method, link=p.member not in down) for p in old.paths
            )
            link.configure(Setup(old.detection_time, paths, old.candidates))
