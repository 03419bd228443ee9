"""Why is it as it is: the present first, then what led to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from ipmp.daemon.explain import explain
from ipmp.daemon.journal import Journal
from ipmp.daemon.recall import CAVEAT, RECENT, Recall
from ipmp.decision import Decision, Kind, Reason
from ipmp.history import History
from ipmp.model import Family, HoldIntent, Status
from tests.support import exporter_statuses as statuses

NOW = 1_790_000_000.0


@contextlib.asynccontextmanager
async def life(directory: Path) -> AsyncIterator[Journal]:
    """The journal of a daemon from its start to its end; the history stays."""
    history = History()
    await history.open(directory / "history.sqlite")
    try:
        yield Journal(history, lambda: NOW)
    finally:
        await history.close()


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with life(tmp_path) as journal:
        yield journal


async def told(status: Status, journal: Journal, name: str) -> list[str]:
    """The explanation, with a short word for the moment at which everything happened."""
    moment = f"{datetime.fromtimestamp(NOW):%Y-%m-%d %H:%M:%S}"
    sentences = await explain(status, Recall(journal), name)
    return [sentence.replace(moment, "THEN") for sentence in sentences or []]


async def test_what_nobody_knows_has_no_explanation(journal: Journal) -> None:
    journal.emit([Decision(Kind.REFUSED, Reason.UNKNOWN_INTERFACE, interface="eth7")])
    assert await explain(statuses.healthy(), Recall(journal), "eth7") is None


async def test_a_group_tells_of_itself_and_of_each_member(journal: Journal) -> None:
    status = statuses.failed()
    group = status.groups[0]
    first, *members = await told(status, journal, group.name)
    assert first == (
        f"Group {group.name} is {group.state}: {group.usable} of {len(group.interfaces)} "
        f"interfaces are usable, at least {group.min_usable} must stay so."
    )
    assert [sentence.split(" is ")[0] for sentence in members] == list(group.interfaces)


async def test_a_group_that_spreads_tells_through_which_interfaces(journal: Journal) -> None:
    status = statuses.healthy()
    group = replace(status.groups[0], outbound="spread")
    first, second, *others = (i for i in status.interfaces if i.group == group.name)
    interfaces = (
        replace(first, outbound=tuple(Family)),
        replace(second, outbound=(Family.IPV4,)),
        *others,
    )
    status = replace(status, groups=(group,), interfaces=interfaces)
    assert (await told(status, journal, group.name))[-1] == (
        f"It spreads what it sends: IPv4 through {first.name} and {second.name}, "
        f"IPv6 through {first.name}."
    )


async def test_an_interface_tells_its_state_and_what_it_carries(journal: Journal) -> None:
    status = statuses.healthy()
    for interface in status.interfaces:
        carried = [a.address for a in status.addresses if a.interface == interface.name]
        state, carries = await told(status, journal, interface.name)
        assert state.startswith(
            f"{interface.name} of group {interface.group} is {interface.state}: "
        )
        assert carries == f"It carries {', '.join(carried) or 'no data address'}."


async def test_a_held_interface_tells_who_holds_it_and_why(journal: Journal) -> None:
    status = statuses.healthy()
    first = replace(status.interfaces[0], hold=HoldIntent("watch it", "root (uid 0)", 1.0))
    status = replace(status, interfaces=(first, *status.interfaces[1:]))
    sentences = await told(status, journal, first.name)
    assert "It is held by root (uid 0): watch it." in sentences


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"interface": "ni1", "home": "ni0", "adopted": True},
            "is on ni1; its home is ni0; it was found there.",
        ),
        (
            {"interface": None, "home": None, "adopted": False},
            "is on no interface; it has no home; it is declared in ipmp.toml.",
        ),
    ],
)
async def test_an_address_tells_where_it_is_where_it_belongs_and_whence_it_came(
    journal: Journal, change: dict[str, object], sentence: str
) -> None:
    status = statuses.healthy()
    address = replace(status.addresses[0], **change, reason="It moved for a reason")
    status = replace(status, addresses=(address, *status.addresses[1:]))
    plain = address.address.partition("/")[0]
    for name in (address.address, plain):
        assert await told(status, journal, name) == [
            f"{address.address} of group {address.group} {sentence}",
            "It moved for a reason.",
        ]


async def test_then_comes_what_led_to_it_the_newest_last(journal: Journal) -> None:
    status: Status = statuses.healthy()
    name = status.interfaces[0].name
    now = len(await told(status, journal, name))
    journal.emit(
        Decision(Kind.HOLD, Reason.OPERATOR, interface=name, detail={"why": f"({n})"})
        for n in range(RECENT + 3)
    )
    journal.emit([Decision(Kind.HOLD, Reason.OPERATOR, interface="another")])
    assert (await told(status, journal, name))[now:] == [
        f"THEN  {name} was put on hold by the daemon ({n})" for n in range(3, RECENT + 3)
    ]


# What led to it, after a restart.


def moved(address: str, source: str, target: str, why: Reason = Reason.REQUESTED) -> Decision:
    detail: dict[str, str | int | float] = {"source": source, "target": target}
    return Decision(Kind.ADDRESS_MOVED, why, "ipmp0", target, address, detail=detail)


def state(interface: str, reason: Reason) -> Decision:
    detail: dict[str, str | int | float] = {"state": "offline"}
    return Decision(Kind.INTERFACE_STATE, reason, "ipmp0", interface, detail=detail)


OFFLINE = Decision(
    Kind.OFFLINE, Reason.OPERATOR, "ipmp0", "ni0", actor="root", detail={"why": "(new switch)"}
)
ONLINE = Decision(Kind.ONLINE, Reason.OPERATOR, "ipmp0", "ni0", actor="root")
ECHO = state("ni0", Reason.REQUESTED)
ADDRESS = "192.168.1.5/24"


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        ([OFFLINE, ECHO, moved(ADDRESS, "ni0", "ni1"), ECHO], [0, 2]),
        (
            [OFFLINE, ECHO, state("ni0", Reason.LINK_DOWN), moved(ADDRESS, "ni0", "ni1")],
            [2, 3],
        ),
        ([OFFLINE, ONLINE, ECHO, moved(ADDRESS, "ni1", "ni0", Reason.FAILBACK)], [1, 3]),
        ([OFFLINE, moved(ADDRESS, "ni0", "ni1", Reason.MISPLACED)], [1]),
        ([OFFLINE, moved("192.168.1.6/24", "ni0", "ni1")], []),
        ([moved(ADDRESS, "ni0", "ni1"), OFFLINE], [0]),
    ],
    ids=["operator", "link", "failback", "misplaced", "another address", "later"],
)
async def test_why_an_address_is_where_it_is_outlives_the_daemon(
    tmp_path: Path, happened: list[Decision], expected: list[int]
) -> None:
    status = statuses.healthy()
    async with life(tmp_path) as journal:
        journal.emit(happened)
    async with life(tmp_path) as journal:
        assert journal.about(ADDRESS) == []
        for name in (ADDRESS, ADDRESS.partition("/")[0]):
            assert (await told(status, journal, name))[1:] == [
                f"THEN  {happened[index].sentence()}" for index in expected
            ]


async def test_the_last_move_is_told_also_when_much_has_happened_since(journal: Journal) -> None:
    removed = Decision(Kind.ADDRESS_RESTORED, Reason.FOREIGN_CHANGE, "ipmp0", "ni1", ADDRESS)
    journal.emit([OFFLINE, moved(ADDRESS, "ni0", "ni1"), *[removed] * 30])
    past = (await told(statuses.healthy(), journal, ADDRESS))[1:]
    assert past[:2] == [f"THEN  {d.sentence()}" for d in (OFFLINE, moved(ADDRESS, "ni0", "ni1"))]
    assert len(past) == RECENT + 2


@pytest.mark.parametrize("name", ["ni0", "ipmp0"])
async def test_thousands_of_moves_do_not_hide_what_caused_them(journal: Journal, name: str) -> None:
    over = Decision(Kind.FAILOVER, Reason.REQUESTED, "ipmp0", "ni1", detail={"source": "ni0"})
    moves = (moved(f"10.0.{n // 256}.{n % 256}/16", "ni0", "ni1") for n in range(2000))
    journal.emit([OFFLINE, *moves, over])
    assert (await told(statuses.healthy(), journal, name))[-2:] == [
        f"THEN  {OFFLINE.sentence()}",
        f"THEN  {over.sentence()}",
    ]


async def test_the_reason_in_memory_is_not_told_twice(journal: Journal) -> None:
    status = statuses.healthy()
    move = moved(status.addresses[0].address, "ni0", "ni1")
    address = replace(status.addresses[0], reason=move.sentence())
    status = replace(status, addresses=(address, *status.addresses[1:]))
    assert f"{move.sentence()}." in await told(status, journal, address.address)
    journal.emit([move])
    assert (await told(status, journal, address.address))[1:] == [f"THEN  {move.sentence()}"]


@pytest.mark.parametrize(("name", "expected"), [(ADDRESS, 1), ("ni0", 0), ("ipmp0", 0)])
async def test_a_disk_that_does_not_answer_leaves_what_is_in_memory(
    journal: Journal, name: str, expected: int
) -> None:
    journal.emit([moved(ADDRESS, "ni0", "ni1")])
    async with journal.history._lock:  # as while a write hangs
        async with asyncio.timeout(5):
            sentences = await explain(statuses.healthy(), Recall(journal, 0.01), name)
    assert sentences is not None
    assert CAVEAT in sentences
    assert sentences.index(CAVEAT) == len(sentences) - 1 - expected
