"""Addresses that have moved too often lately: held back, told once, and never against an order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ipmp.daemon.limit import MoveLimit
from ipmp.daemon.moves import MOVE_LIMIT, MOVE_WINDOW, Books
from ipmp.decision import Kind, Reason
from ipmp.model import MoveReason
from ipmp.placement import Placement
from tests.support.world import data_address

ONE = data_address("192.0.2.1/24", home="a")
HELD = Placement(ONE, "b", Reason.MOVE_LIMIT)


def limit(*, moves: int, cause: MoveReason = MoveReason.LINK) -> MoveLimit:
    """The limit after so many moves at 0, 1, 2, ... s; `cause`: what the home recovered from."""
    books = Books("g")
    books.seen(ONE.key, "a")
    for number in range(moves):
        books.moved([(ONE, "ba"[number % 2])], lambda *_: MoveReason.LINK, float(number), 1000.0)
    members: Any = SimpleNamespace(reason=lambda source, target: cause)
    return MoveLimit(books, members)


@pytest.mark.parametrize("moves", range(MOVE_LIMIT + 2))
def test_an_address_is_restless_from_the_limit_on_until_the_window_has_passed(moves: int) -> None:
    oldest = max(0, moves - MOVE_LIMIT)
    held_back = limit(moves=moves)
    expected = {ONE.key} if moves >= MOVE_LIMIT else set()
    assert held_back.restless({ONE.key: ONE}, oldest + MOVE_WINDOW - 0.1) == expected
    assert held_back.restless({ONE.key: ONE}, oldest + MOVE_WINDOW) == set()


def test_what_an_operator_asked_for_is_not_held_back() -> None:
    assert limit(moves=MOVE_LIMIT, cause=MoveReason.OFFLINE).restless({ONE.key: ONE}, 10.0) == set()


def test_it_is_told_once_and_again_after_it_had_ended() -> None:
    held_back = limit(moves=MOVE_LIMIT)
    (told,) = held_back.held_back([HELD], 10.0)
    assert (told.kind, told.reason, told.interface, told.address) == (
        Kind.REFUSED,
        Reason.MOVE_LIMIT,
        "b",
        ONE.key,
    )
    assert told.detail == {"count": MOVE_LIMIT, "seconds": MOVE_WINDOW - 10}
    assert held_back.due == MOVE_WINDOW
    assert held_back.held_back([HELD], 11.0) == []
    assert held_back.held_back([Placement(ONE, "a", Reason.FAILBACK)], 200.0) == []
    assert held_back.due is None
    assert len(held_back.held_back([HELD], 201.0)) == 1
