"""When copies on old members may go: the clock of silence, its limit, and the counters."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmp.daemon.drain import (
    LIMIT_SECONDS,
    POLL_SECONDS,
    QUIET_SECONDS,
    Drain,
    Drains,
    Verdict,
)

ONE, TWO = "192.0.2.1/24", "192.0.2.2/24"
LEAVING = {ONE: "b", TWO: "b"}
ANNOUNCED = {(ONE, "b"), (TWO, "b")}


class Counter:
    """Counts what the test lets arrive."""

    def __init__(self) -> None:
        self.packets = 0
        self.closed = False

    def arrived(self) -> int:
        packets, self.packets = self.packets, 0
        return packets

    def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True


class Counting:
    """Makes counters and remembers them, by member and addresses."""

    def __init__(self, gone: Iterable[str] = ()) -> None:
        self.made: list[tuple[str, frozenset[str], Counter]] = []
        self._gone = gone

    def __call__(self, member: str, keys: frozenset[str]) -> Counter:
        if member in self._gone:
            raise OSError(19, "No such device")
        counter = Counter()
        self.made.append((member, keys, counter))
        return counter

    @property
    def open(self) -> list[tuple[str, frozenset[str]]]:
        return [(member, keys) for member, keys, counter in self.made if not counter.closed]


def looked(drain: Drain, counter: Counter, times: Iterable[tuple[float, int]]) -> Verdict:
    """The verdict after looks at these times, before each of which so many packets arrived."""
    for now, packets in times:
        counter.packets += packets
        drain.look(ANNOUNCED, now)
    return drain.verdict


# One drain --------------------------------------------------------------------------------------


def test_nothing_may_go_before_everything_is_announced() -> None:
    drain = Drain(LEAVING, Counter())
    for now in (0.0, QUIET_SECONDS, LIMIT_SECONDS, 100.0):
        drain.look({(ONE, "b"), (TWO, "a")}, now)
    assert drain.verdict is Verdict.WAITING


def test_silence_begins_with_the_announcement_and_not_before() -> None:
    counter = Counter()
    drain = Drain(LEAVING, counter)
    counter.packets = 1000  # sent before the link had been told
    assert looked(drain, counter, [(5.0, 0)]) is Verdict.WAITING
    assert looked(drain, counter, [(5.0 + 2 * QUIET_SECONDS, 0)]) is Verdict.QUIET


def test_a_packet_begins_the_silence_anew() -> None:
    counter = Counter()
    drain = Drain(LEAVING, counter)
    assert looked(drain, counter, [(0.0, 0), (0.05, 1), (0.1, 0)]) is Verdict.WAITING
    assert looked(drain, counter, [(0.05 + QUIET_SECONDS, 0)]) is Verdict.QUIET


def test_a_verdict_is_final() -> None:
    counter = Counter()
    drain = Drain(LEAVING, counter)
    looked(drain, counter, [(0.0, 0), (QUIET_SECONDS, 0)])
    assert looked(drain, counter, [(1.0, 5), (LIMIT_SECONDS, 5), (9.0, 5)]) is Verdict.QUIET


@given(arrivals=st.lists(st.booleans(), min_size=200, max_size=200))
def test_every_drain_ends_quiet_or_at_its_limit(arrivals: list[bool]) -> None:
    counter = Counter()
    drain = Drain(LEAVING, counter)
    heard = 0.0
    for number, arrives in enumerate(arrivals):
        now = number * POLL_SECONDS
        counter.packets += arrives
        drain.look(ANNOUNCED, now)
        heard = now if arrives else heard
        if drain.verdict is Verdict.QUIET:
            assert now - heard >= QUIET_SECONDS
            assert now < LIMIT_SECONDS + QUIET_SECONDS
            return
        if drain.verdict is Verdict.STILL_RECEIVING:
            assert now >= LIMIT_SECONDS
            return
        assert now - heard < QUIET_SECONDS
        assert now < LIMIT_SECONDS
    pytest.fail("it never ended")


# The drains of a group --------------------------------------------------------------------------


def test_a_member_is_judged_when_there_is_a_verdict_and_that_is_told_once() -> None:
    drains = Drains(Counting())
    drains.update({"a": LEAVING, "c": {ONE: "a"}})
    assert not drains.look(ANNOUNCED, 0.0)
    assert drains.look(ANNOUNCED, QUIET_SECONDS)
    assert drains.judged == {"a"}
    assert not drains.look(ANNOUNCED, 2 * QUIET_SECONDS)


def test_a_drain_goes_on_while_its_addresses_go_one_by_one() -> None:
    counting = Counting()
    drains = Drains(counting)
    drains.update({"a": LEAVING})
    drains.look(ANNOUNCED, 0.0)
    drains.look(ANNOUNCED, QUIET_SECONDS)
    drains.update({"a": {TWO: "b"}})
    assert drains.judged == {"a"}
    assert len(counting.made) == 1


@pytest.mark.parametrize("other", [LEAVING | {"192.0.2.3/24": "b"}, {ONE: "c", TWO: "b"}])
def test_another_address_or_another_target_begins_anew(other: dict[str, str]) -> None:
    counting = Counting()
    drains = Drains(counting)
    drains.update({"a": LEAVING})
    drains.look(ANNOUNCED, 0.0)
    drains.look(ANNOUNCED, QUIET_SECONDS)
    drains.update({"a": other})
    assert drains.judged == set()
    assert counting.open == [("a", frozenset(other))]


def test_a_drain_ends_when_nothing_is_left_and_its_verdict_is_remembered() -> None:
    counting = Counting()
    drains = Drains(counting)
    drains.update({"a": LEAVING})
    assert drains.verdict("a") is None
    for now in (0.0, QUIET_SECONDS):
        drains.look(ANNOUNCED, now)
    drains.update({})
    assert (bool(drains), drains.verdict("a"), counting.open) == (False, Verdict.QUIET, [])
    drains.update({"a": LEAVING})
    assert drains.verdict("a") is None, "that was another drain"


def test_on_a_member_that_has_just_vanished_nothing_arrives() -> None:
    drains = Drains(Counting(gone=["a"]))
    drains.update({"a": LEAVING})
    drains.look(ANNOUNCED, 0.0)
    assert drains.look(ANNOUNCED, QUIET_SECONDS)
    drains.update({})
    assert drains.verdict("a") is Verdict.QUIET


updates = st.dictionaries(
    st.sampled_from("abc"),
    st.dictionaries(st.sampled_from([ONE, TWO]), st.sampled_from("abc"), min_size=1),
)


@given(st.lists(updates, max_size=8))
def test_there_is_one_open_counter_a_drained_member_and_none_after_close(
    changes: list[dict[str, dict[str, str]]],
) -> None:
    counting = Counting()
    drains = Drains(counting)
    for leaving in changes:
        drains.update(leaving)
        assert sorted(member for member, _ in counting.open) == sorted(leaving)
        assert all(keys >= leaving[member].keys() for member, keys in counting.open)
    drains.close()
    assert counting.open == []
