"""What SIGUSR1 makes the daemon log, held to a golden file."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from ipmp.daemon.statistics import statistics
from ipmp.model import AddressStatus, Family
from tests.support import exporter_statuses

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.mark.parametrize("name", ["healthy", "offline", "failed", "without_groups"])
def test_the_sentences(name: str) -> None:
    said = "".join(f"{sentence}\n" for sentence in statistics(getattr(exporter_statuses, name)()))
    assert said == (GOLDEN / f"statistics_{name}.txt").read_text()


def test_thousands_of_addresses_do_not_fill_the_log() -> None:
    addresses = tuple(
        AddressStatus(f"10.0.{n // 256}.{n % 256}/16", "ipmp0", Family.IPV4, "ni0")
        for n in range(10_000)
    )
    status = replace(exporter_statuses.healthy(), addresses=addresses)
    assert max(map(len, statistics(status))) < 3000
    assert any(" and 9900 more" in sentence for sentence in statistics(status))
