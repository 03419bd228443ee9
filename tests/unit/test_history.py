"""History on real files: what is kept, found again, bounded, and what a bad disk does to it."""

import asyncio
import contextlib
import resource
import sqlite3
import time
from pathlib import Path

import pytest
import structlog

from ipmp.decision import Decision, Kind, Reason
from ipmp.history import History, Query
from ipmp.history.history import ID_BLOCK
from ipmp.model import Event


def event(number: int, interface: str = "ni0", **fields) -> Event:
    decision = Decision(
        kind=fields.pop("kind", Kind.INTERFACE_STATE),
        reason=Reason.LINK_DOWN,
        group=fields.pop("group", "ipmp0"),
        interface=interface,
        **fields,
    )
    return Event(number, 1000.0 + number, decision, decision.sentence())


@contextlib.asynccontextmanager
async def opened(path: Path, **options):
    history = History(**options)
    await history.open(path)
    try:
        yield history
    finally:
        await history.close()


async def ids(history: History, **filters) -> list[int]:
    return [e.id for e in await history.query(**filters)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "history.sqlite"


@pytest.fixture
def logged():
    with structlog.testing.capture_logs() as entries:
        yield entries


async def test_events_come_back_whole_after_a_restart(path):
    move = event(2, "", kind=Kind.ADDRESS_MOVED, address="192.168.1.5/24", actor="root (uid 0)")
    async with opened(path) as history:
        history.append(event(1))
        history.append(move)
        assert await history.query() == [event(1), move]
    async with opened(path) as history:
        assert await history.query() == [event(1), move]


async def test_an_event_is_found_as_soon_as_it_was_appended(path):
    async with opened(path) as history:
        for number in range(1, 2001):
            history.append(event(number))
        assert await ids(history, limit=10_000) == list(range(1, 2001))


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [1, 2, 3, 4]),
        ({"limit": 2}, [3, 4]),
        ({"since": 1003.0}, [3, 4]),
        ({"group": "dmz"}, [3]),
        ({"interface": "ni0"}, [1, 2]),
        ({"interface": "ni1"}, [2, 3]),
        ({"interface": "ni"}, []),
        ({"address": "192.168.1.5"}, [2]),
        ({"address": "192.168.1.5/24"}, [2]),
        ({"kind": Kind.DAEMON}, [4]),
        ({"group": "ipmp0", "interface": "ni0", "kind": Kind.ADDRESS_MOVED}, [2]),
        ({"group": "' OR 1=1 --"}, []),
    ],
)
async def test_queries(path, filters, expected):
    async with opened(path) as history:
        history.append(event(1, "ni0"))
        history.append(
            event(
                2,
                "",
                kind=Kind.ADDRESS_MOVED,
                address="192.168.1.5/24",
                detail={"source": "ni0", "target": "ni1"},
            )
        )
        history.append(event(3, "ni1", group="dmz"))
        history.append(event(4, "", kind=Kind.DAEMON, group=""))
        assert await ids(history, **filters) == expected


async def test_queries_by_several_kinds_and_up_to_a_number(path):
    moved, found = Kind.ADDRESS_MOVED, Kind.ADDRESS_ADOPTED
    async with opened(path) as history:
        for number, kind in enumerate([moved, found, Kind.DAEMON, moved], 1):
            history.append(event(number, kind=kind))

        async def select(**fields) -> list[int]:
            return [e.id for e in await history.select(Query(10, **fields))]

        assert await select(kinds=(found, Kind.DAEMON)) == [2, 3]
        assert await select(without=(found, moved)) == [3]
        assert await select(before=3) == [1, 2]
        assert await select(kinds=(moved,), before=4) == [1]


async def test_the_newest_rows_are_kept(path):
    async with opened(path, max_rows=1000) as history:
        for number in range(1, 3101):
            history.append(event(number))
    async with opened(path) as history:
        assert await ids(history, limit=10_000) == list(range(2101, 3101))


async def test_append_does_not_wait_for_a_disk_that_is_locked(path):
    async with opened(path) as history:
        history.append(event(1))
        await history.query()
        other = sqlite3.connect(path)
        other.execute("BEGIN EXCLUSIVE")
        begun = time.monotonic()
        for number in range(2, 1002):
            history.append(event(number))
        assert time.monotonic() - begun < 0.5
        other.rollback()
        other.close()
        assert len(await ids(history, limit=10_000)) == 1001


# Numbering.


async def test_numbers_go_on_where_they_ended(path):
    async with opened(path) as history:
        assert history.last_id == 0
        history.append(event(1))
        history.append(event(2))
        assert history.last_id == 2
    async with opened(path) as history:
        assert history.last_id == 2


async def test_after_a_crash_no_number_is_given_twice(path, tmp_path):
    async with opened(path) as history:
        history.append(event(1))
        await history.query()
        crashed = tmp_path / "crashed.sqlite"
        for suffix in ("", "-wal"):
            Path(f"{crashed}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
        for number in range(2, 500):  # seen by clients, never on the disk of the crashed machine
            history.append(event(number))
        last_seen = history.last_id
    async with opened(crashed) as history:
        assert last_seen < history.last_id <= last_seen + ID_BLOCK


# Disks that fail.


async def test_a_file_that_is_no_database_is_moved_aside(path, logged):
    path.parent.mkdir()
    path.write_bytes(b"this is not a database, not even nearly" * 100)
    begun = int(time.time())
    async with opened(path) as history:
        assert history.last_id >= begun, "numbers must not start again"
        history.append(event(history.last_id + 1))
        assert len(await ids(history)) == 1
    (aside,) = path.parent.glob("history.sqlite.damaged-*")
    assert aside.read_bytes().startswith(b"this is not")
    assert [entry["event"] for entry in logged] == [
        "history was damaged; it was moved aside and a new one begun"
    ]
    async with opened(path) as history:
        assert len(await ids(history)) == 1


async def test_a_database_that_is_damaged_in_the_middle(path, logged):
    async with opened(path) as history:
        for number in range(1, 2001):
            history.append(event(number))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    async with opened(path) as history:
        first = history.last_id + 1
        history.append(event(first))
        assert await ids(history) == [first]
    assert len(list(path.parent.glob("history.sqlite.damaged-*"))) >= 1


async def test_a_place_that_cannot_be_written(tmp_path, logged):
    (tmp_path / "state").write_text("a file where the directory should be")
    async with opened(tmp_path / "state" / "history.sqlite", retry_seconds=0.0) as history:
        for _ in range(3):
            history.append(event(history.last_id + 1))
            await history.query()
        assert len(await ids(history)) == 3
    assert [entry["event"] for entry in logged] == [
        "history cannot be written and is kept in memory only; see to the disk"
    ]


@contextlib.contextmanager
def files_no_larger_than(size: int):
    """A full disk, as far as this process can tell."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


async def test_a_full_disk_loses_nothing_once_there_is_room_again(path, logged):
    async with opened(path, retry_seconds=0.05) as history:
        history.append(event(1))
        await history.query()
        with files_no_larger_than(64 * 1024):
            for number in range(2, 3002):
                history.append(event(number))
            assert len(await ids(history, limit=10_000)) == 3001
            assert len(logged) == 1
        async with asyncio.timeout(5):
            while len(logged) < 2:
                history.append(event(history.last_id + 1))
                await asyncio.sleep(0.02)  # the writer comes round again with something to write
        last = history.last_id
        assert await ids(history, limit=10_000) == list(range(1, last + 1))
    assert [entry["event"] for entry in logged] == [
        "history cannot be written and is kept in memory only; see to the disk",
        "history is on disk again",
    ]
    async with opened(path) as history:
        assert await ids(history, limit=10_000) == list(range(1, last + 1))
