"""What SIGUSR1 makes the daemon log, held to a golden file."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from ipmp.daemon.statistics import statistics
from ipmp.model import AddressStatus, Family, ProbeStatus
from tests.support import exporter_statuses

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.mark.parametrize("name", ["healthy", "offline", "failed", "without_groups"])
def test_the_sentences(name: str) -> None:
    said = "".join(f"{sentence}\n" for sentence in statistics(getattr(exporter_statuses, name)()))
    assert said == (GOLDEN / f"statistics_{name}.txt").read_text()


def test_probes_are_counted_as_in_mpathd_does() -> None:
    status = exporter_statuses.healthy()
    probes = ProbeStatus(
        Family.IPV6, "routes", sent=100, acked=96, lost=3, void=1, missed=2, rejected={"late": 4}
    )
    probed = replace(status.interfaces[0], probes=(probes,))
    (told,) = (
        sentence
        for sentence in statistics(replace(status, interfaces=(probed,)))
        if sentence.startswith("Probe")
    )
    assert told == (
        "Probe stats on (inet6 ni0): probes sent 100, acks received 96, lost 3, valid "
        "unacknowledged 1, acks after they were counted as lost 0; replies not counted: late 4; "
        "missed sending a total of 2 probes"
    )


def test_thousands_of_addresses_do_not_fill_the_log() -> None:
    addresses = tuple(
        AddressStatus(f"10.0.{n // 256}.{n % 256}/16", "ipmp0", Family.IPV4, "ni0")
        for n in range(10_000)
    )
    status = replace(exporter_statuses.healthy(), addresses=addresses)
    assert max(map(len, statistics(status))) < 3000
    assert any(" and 9900 more" in sentence for sentence in statistics(status))
