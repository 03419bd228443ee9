"""What `ipmp watch` shows, made from values and a size: whole, or cut to the room that there is."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ipmp.cli.cells import clip, line, painted, width
from ipmp.cli.feed import Lost
from ipmp.cli.fitting import allotted, shares
from ipmp.cli.panel import KEPT, View, noted, render
from ipmp.decision import Decision, Kind, Reason
from ipmp.model import AddressStatus, Event, Family, Status
from tests.support import exporter_statuses as statuses
from tests.support import golden, site

BEGAN = statuses.BEGAN


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def shown(view: View, columns: int = 79, rows: int = 24) -> list[str]:
    return [painted(each, colour=False) for each in render(view, columns, rows)]


def event(number: int, decision: Decision) -> Event:
    return Event(number, BEGAN + 100 + number, decision, decision.sentence())


def moved(number: int, why: Reason = Reason.REQUESTED) -> Event:
    key = f"10.1.{number // 256}.{number % 256}/16"
    detail: dict[str, str | int | float] = {"source": "ni0", "target": "ni1"}
    return event(number, Decision(Kind.ADDRESS_MOVED, why, "ipmp0", "ni1", key, detail=detail))


OFFLINE = Decision(
    Kind.OFFLINE, Reason.OPERATOR, "ipmp0", "ni0", actor="root", detail={"why": "(new switch)"}
)
LINK = Decision(Kind.INTERFACE_STATE, Reason.LINK_DOWN, "storage", "ni2")
PROBES = Decision(Kind.INTERFACE_STATE, Reason.PROBES_LOST, "storage", "ni2")


def many(count: int) -> Status:
    """A host with so many addresses, the one before the last of which is away from home."""
    status = statuses.healthy()
    addresses = [
        AddressStatus(f"10.1.{n // 256}.{n % 256}/16", "ipmp0", Family.IPV4, "ni0", "ni0")
        for n in range(count)
    ]
    addresses[-2] = replace(addresses[-2], interface="ni1")
    return replace(status, addresses=tuple(addresses))


DRAINED = noted(
    View(statuses.offline()),
    [event(1, OFFLINE), *map(moved, range(2, 42)), event(42, LINK), event(43, PROBES)],
)
VIEWS = {
    "healthy": View(statuses.healthy()),
    "drained": DRAINED,
    "one_group": noted(View(statuses.offline(), only="ipmp0"), [event(1, OFFLINE), event(2, LINK)]),
    "dead": DRAINED._replace(lost=Lost("cannot contact mpathd at /run/ipmp", BEGAN + 200)),
    "many_addresses": noted(View(many(40)), [event(1, OFFLINE)]),
    "site": View(site.STATUS),
}


@pytest.mark.parametrize("name", VIEWS)
def test_on_80_by_24(name: str) -> None:
    golden.check(f"watch/{name}.txt", "".join(f"{each.rstrip()}\n" for each in shown(VIEWS[name])))


def test_what_is_cut_is_counted_and_what_is_unusual_stays() -> None:
    lines = shown(View(many(40)))
    (more,) = [each for each in lines if "..." in each]
    kept = [each for each in lines if each.startswith("    10.1.")]
    assert more == f"    ... {40 - len(kept)} more: {40 - len(kept)} on ni0"
    assert "    10.1.0.38/16  on ni1, home ni0" in kept
    assert "ipmp0: ok, 2 of 2 usable, 40 addresses" in lines


def test_groups_that_have_no_room_are_counted_and_a_failed_one_stays() -> None:
    lines = shown(View(site.STATUS), rows=5)
    assert lines[2:] == [
        "backend: degraded, 1 of 2 usable, 1 address",
        "storage-fabric-a: failed, 0 of 2 usable, 1 address",
        "... 3 more: 2 ok, 1 failed",
    ]


def test_moves_of_many_addresses_are_one_line() -> None:
    assert [entry.times for entry in DRAINED.entries] == [1, 40, 1, 1]
    other = noted(DRAINED, [moved(50), moved(51, Reason.FAILBACK), moved(52, Reason.FAILBACK)])
    assert [entry.times for entry in other.entries][-2:] == [1, 2]
    assert len(noted(DRAINED, (event(n, LINK) for n in range(1000))).entries) == KEPT


def test_a_group_that_is_gone_is_said_to_be() -> None:
    assert "Group dmz is not there any more" in shown(View(statuses.healthy(), only="dmz"))


def test_what_people_wrote_cannot_touch_the_terminal() -> None:
    status = statuses.healthy()
    first = replace(status.interfaces[0], reason="\x1b[2J\x07 \r\n 交换机 " * 3)
    status = replace(status, interfaces=(first, *status.interfaces[1:]))
    wicked = Decision(Kind.HOLD, Reason.OPERATOR, "ipmp0", "ni0", detail={"why": "(\x1b]0;x\x07)"})
    lines = shown(noted(View(status), [event(1, wicked)]))
    assert all(each.isprintable() and width(each) <= 79 for each in lines)


@given(
    name=st.sampled_from(sorted(VIEWS)),
    columns=st.integers(0, 200),
    rows=st.integers(0, 60),
)
def test_it_is_never_larger_than_the_screen(name: str, columns: int, rows: int) -> None:
    lines = shown(VIEWS[name], columns, rows)
    assert len(lines) <= rows
    assert all(width(each) <= columns and each.isprintable() for each in lines)


@given(st.text(), st.integers(0, 40))
def test_a_line_is_cut_to_the_columns_that_there_are(text: str, columns: int) -> None:
    cut = painted(clip(line(text, "\033[1m"), columns), colour=False)
    assert width(cut) <= columns
    assert cut.isprintable()


@given(st.lists(st.integers(0, 30)), st.integers(0, 50))
def test_room_is_shared_fairly_and_used(lengths: list[int], room: int) -> None:
    given_rows = shares(lengths, room)
    assert sum(given_rows) == min(room, sum(lengths))
    cut = [got for got, length in zip(given_rows, lengths, strict=True) if got < length]
    assert not cut or max(given_rows) - min(cut) <= 1


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(0, 50))
def test_a_list_of_a_lower_rank_gets_at_least_a_line(lengths: list[int], room: int) -> None:
    first, second = allotted([lengths, lengths], room)
    assert sum(first) + sum(second) == min(room, 2 * sum(lengths))
    if room >= 2 * len(lengths):
        assert all(got >= min(length, 1) for got, length in zip(second, lengths, strict=True))
    assert sum(second) <= len(lengths) or first == lengths
