"""Our text is the library's, byte for byte."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest as library_text
from prometheus_client.openmetrics.exposition import generate_latest as library_openmetrics
from prometheus_client.registry import Collector

from ipmp.model import AddressStatus, Family, Status
from ipmp_exporter.collectors import SUBJECTS
from ipmp_exporter.daemon import Reading
from ipmp_exporter.exposition import OwnProcess, ScrapeCollector
from ipmp_exporter.rendering import render_openmetrics, render_text
from tests.support import exporter_statuses as statuses

NASTY = AddressStatus('1"2\\3\n4', "ipmp0", Family.IPV4, "ni0", "\u00e9{},=#")

STATES: dict[str, Status | None] = {
    "healthy": statuses.healthy(),
    "offline": statuses.offline(),
    "failed": statuses.failed(),
    "many": statuses.many(members=3, addresses=300),
    "nasty": msgspec.structs.replace(statuses.healthy(), addresses=(NASTY,)),
    "away": None,
}


class Once(Collector):
    """Collected before, so that both renderings see the same values."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def assert_same(families: list[Metric]) -> None:
    registry = CollectorRegistry()
    registry.register(Once(families))
    for escaping in ("underscores", "allow-utf-8"):
        assert render_openmetrics(families) == library_openmetrics(registry, escaping)
        assert render_text(families) == library_text(registry, escaping)


@pytest.mark.parametrize("name", STATES)
def test_rendering_is_the_library_s(name: str) -> None:
    reading = Reading(STATES[name], 0.001)
    assert_same([*ScrapeCollector(reading, SUBJECTS).collect(), *OwnProcess().collect()])


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"])),
            st.floats().map(lambda x: x + 0.0) | st.integers(-9, 10**18),
        )
    )
)
def test_every_label_and_every_number(samples: list[tuple[str, float]]) -> None:
    family = GaugeMetricFamily("ipmp_x", 'Back \\ slash, "quotes",\nlines.', labels=("b", "a"))
    for text, number in samples:
        family.add_metric((text, "fixed"), number)
    family.add_metric(("special", "x"), math.inf)
    assert_same([family])
