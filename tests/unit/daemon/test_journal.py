"""Decisions become events: numbered, remembered, followed, stored and logged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from ipmp.daemon.followers import LAG
from ipmp.daemon.journal import RING, Journal
from ipmp.decision import Decision, Kind, Reason
from ipmp.history import History

NOW = 1000.0


def decision(number: int = 0, **fields: str) -> Decision:
    return Decision(Kind.FAILOVER, Reason.LINK_DOWN, "g", detail={"count": number}, **fields)


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[History]:
    opened = History()
    await opened.open(tmp_path / "history.sqlite")
    yield opened
    await opened.close()


@pytest.fixture
def journal(history: History) -> Journal:
    return Journal(history, lambda: NOW)


async def test_an_event_is_the_decision_with_number_time_and_sentence(journal: Journal) -> None:
    last = journal.history.last_id
    journal.emit([decision(7), decision(8)])
    first, second = journal.after(last)
    assert (first.id, second.id) == (last + 1, last + 2)
    assert (first.time, first.decision) == (NOW, decision(7))
    assert first.sentence == decision(7).sentence()
    assert await journal.history.query() == [first, second]


async def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    ids: list[int] = []
    for _ in range(2):
        history = History()
        await history.open(tmp_path / "history.sqlite")
        journal = Journal(history, lambda: NOW)
        assert journal.after(0) == [], "only this daemon's own"
        journal.emit([decision(), decision()])
        ids += [event.id for event in journal.after(0)]
        await history.close()
    assert sorted(set(ids)) == ids


async def test_memory_is_bounded_and_keeps_the_newest(journal: Journal) -> None:
    journal.emit(decision(n) for n in range(RING + 5))
    kept = journal.after(0)
    assert len(kept) == RING
    assert kept[-1].decision.detail["count"] == RING + 4
    assert journal.after(kept[-3].id) == kept[-2:]


async def test_events_about_a_subject_are_found_by_each_of_its_names(journal: Journal) -> None:
    about = decision(1, interface="ni0", address="192.0.2.1/24")
    journal.emit([about, decision(2, interface="ni1")])
    for name in ("ni0", "192.0.2.1/24", "192.0.2.1"):
        assert [event.decision for event in journal.about(name)] == [about]
    assert len(journal.about("g")) == 2
    assert journal.about("192.0.2.1/25") == []


async def test_a_follower_hears_everything_from_now_on_until_it_leaves(journal: Journal) -> None:
    journal.emit([decision(1)])
    with journal.follow() as queue, journal.follow() as other:
        journal.emit([decision(2), decision(3)])
        assert [queue.get_nowait().decision.detail["count"] for _ in range(2)] == [2, 3]
        assert other.qsize() == 2
    journal.emit([decision(4)])
    assert queue.empty()


async def test_a_slow_follower_loses_the_oldest_and_holds_nobody_up(journal: Journal) -> None:
    with journal.follow() as queue:
        journal.emit(decision(n) for n in range(LAG + 5))
        counts = [queue.get_nowait().decision.detail["count"] for _ in range(queue.qsize())]
    assert counts == list(range(5, LAG + 5))


@pytest.mark.parametrize(
    ("kind", "reason", "level"),
    [
        (Kind.ADDRESS_MOVED, Reason.FAILBACK, "debug"),
        (Kind.ROUTE_MOVED, Reason.FAILBACK, "debug"),
        (Kind.FAILOVER, Reason.LINK_DOWN, "info"),
        (Kind.INTERFACE_STATE, Reason.LINK_UP, "info"),
        (Kind.INTERFACE_STATE, Reason.LINK_DOWN, "error"),
        (Kind.GROUP_STATE, Reason.NO_USABLE_MEMBER, "error"),
        (Kind.REFUSED, Reason.HELD, "info"),
        (Kind.REFUSED, Reason.KERNEL_REFUSED, "error"),
    ],
)
async def test_it_is_logged_as_loud_as_it_matters(
    journal: Journal, kind: Kind, reason: Reason, level: str
) -> None:
    told = Decision(kind, reason, "g", interface="ni0")
    with structlog.testing.capture_logs() as logged:
        journal.emit([told])
    assert logged == [
        {
            "event": told.sentence(),
            "log_level": level,
            "kind": str(kind),
            "reason": str(reason),
            "group": "g",
            "interface": "ni0",
        }
    ]
