"""The exporter as a real Prometheus sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipmp.lab.monitoring import Prometheus
from ipmp.lab.rules import prometheus_config
from ipmp_exporter.collectors import DEFAULT
from tests.support.flapping import flapping_host
from tests.support.tools import need
from tests.support.wait import eventually

pytestmark = [pytest.mark.prometheus]


@pytest.mark.checklist("7.2", 45)
def test_prometheus_finds_the_target_up_and_the_types_as_declared(tmp_path: Path) -> None:
    need("prometheus")
    with flapping_host() as host:
        config = prometheus_config({"ipmp": [host.address]})
        with Prometheus(config, tmp_path) as prometheus:
            eventually(lambda: "ipmp" in prometheus.healthy_targets(), 30)
            eventually(lambda: prometheus.query("ipmp_group_state"), 30)
            metadata = prometheus.get("/api/v1/metadata")["data"]
            counted = {s.labels["__name__"] for s in prometheus.query('{__name__=~"ipmp_.+"}')}
    for subject in DEFAULT:
        for family in subject.families:
            declared = family.empty()
            (told,) = metadata[declared.name]  # one: type and HELP never change
            assert (told["type"], told["help"]) == (declared.type, declared.documentation)
    assert not [name for name in counted if name.endswith("_created")]
