"""A whole fleet is killed part by part while alerts come and go: a short course of `make fleet`."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import pytest

from tests.fleet.blows import PAIRED, blows, kind
from tests.fleet.course import Course
from tests.fleet.site import SLOTS
from tests.support.lab import need_namespaces

VICTIMS = ["etcd", *(f"{name} {n}" for name in ("route", "fleetlock", PAIRED) for n in range(2))]
VICTIMS += [f"{name} db{n}" for name in ("mpathd", "remediator") for n in range(5)]
VICTIMS += [f"cable db{n}/ni{m}" for n in range(5) for m in range(2)]


@pytest.mark.netns
@pytest.mark.prometheus
@pytest.mark.tools
@pytest.mark.slow
def test_it_keeps_its_budget_and_its_members_and_comes_to_rest() -> None:
    need_namespaces()
    with tempfile.TemporaryDirectory(prefix="ipmp-") as short:
        report = Course(Path(short), seed=0).run(20)
    print(report)
    assert report.breaches == []
    assert report.drains > 2
    assert report.looks > 100
    assert report.blows.total() > 5
    assert all(0 < report.most[pool] <= slots for pool, slots in SLOTS.items())


def test_a_seed_plans_the_same_blows_and_every_process_is_hit() -> None:
    planned = blows(1, 600, VICTIMS)
    assert planned == blows(1, 600, VICTIMS)
    assert planned != blows(2, 600, VICTIMS)
    assert {blow.victim for blow in planned} >= {v for v in VICTIMS if kind(v) != "cable"}
    assert max(blow.end for blow in planned) <= 600


def test_the_pair_is_never_hit_at_once() -> None:
    hits = [blow for blow in blows(1, 600, VICTIMS) if kind(blow.victim) == PAIRED]
    assert all(first.end < second.at for first, second in pairwise(hits))
