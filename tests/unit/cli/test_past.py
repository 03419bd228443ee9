"""`ipmp history --follow` picks the same events as the stored history does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ipmp.decision import Decision, Kind, Reason
from tests.support.api import FakeController, running_api, until
from tests.support.transcript import run

MOVED = Decision(
    Kind.ADDRESS_MOVED,
    Reason.OPERATOR,
    "ipmp0",
    "ni1",
    "192.168.1.5/24",
    detail={"source": "ni0", "target": "ni1"},
)
SPREAD = Decision(
    Kind.ROUTE_MOVED,
    Reason.USABLE_MEMBER,
    "ipmp0",
    "ni2",
    detail={"value": "default", "source": "ni0 and ni1", "target": "ni2"},
)
FAILED = Decision(Kind.INTERFACE_STATE, Reason.LINK_DOWN, "ipmp0", "ni0")
OTHER = Decision(Kind.INTERFACE_STATE, Reason.LINK_DOWN, "dmz", "ni9")
ALL = (MOVED, SPREAD, FAILED, OTHER)


async def followed(directory: Path, options: str) -> list[str]:
    """What `ipmp history --follow` tells of events that happen while it follows."""
    async with running_api(directory) as api:
        telling = asyncio.create_task(_tell(api.controller, api.close))
        lines = (await run(f"ipmp history --follow {options}", api.run_dir)).splitlines()[1:]
        await telling
    return [line.partition("  ")[2] for line in lines]


async def _tell(controller: FakeController, close) -> None:  # type: ignore[no-untyped-def]
    await until(lambda: controller.queues, timeout=20)
    controller.publish(*ALL)
    await close()


async def test_follow_tells_moves_from_the_interface_and_not_only_to_it(tmp_path: Path) -> None:
    told = await followed(tmp_path, "--interface ni0")
    assert told == [MOVED.sentence(), SPREAD.sentence(), FAILED.sentence()]


@pytest.mark.parametrize(
    ("options", "filters", "expected"),
    [
        ("--interface ni1", {"interface": "ni1"}, [MOVED, SPREAD]),
        ("--interface ni2", {"interface": "ni2"}, [SPREAD]),
        ("--interface and", {"interface": "and"}, []),
        ("--address 192.168.1.5", {"address": "192.168.1.5"}, [MOVED]),
        ("--address 192.168.1.5/24", {"address": "192.168.1.5/24"}, [MOVED]),
        ("--kind route-moved", {"kind": "route-moved"}, [SPREAD]),
        ("--group dmz", {"group": "dmz"}, [OTHER]),
        ("--group dmz --interface ni0", {"group": "dmz", "interface": "ni0"}, []),
    ],
)
async def test_follow_picks_what_the_stored_history_and_the_api_pick(
    tmp_path: Path, options: str, filters: dict[str, str], expected: list[Decision]
) -> None:
    sentences = [decision.sentence() for decision in expected]
    assert await followed(tmp_path / "live", options) == sentences
    async with running_api(tmp_path / "stored") as api:
        api.controller.publish(*ALL)
        answer = await (await api.read.get("/v1/history", params=filters)).json()
    assert [event["sentence"] for event in answer] == sentences
