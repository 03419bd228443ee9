"""Sysctls that would make a move lossy are corrected, or named in a refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.scenarios.conftest import StartHost
from tests.support.lab import Host
from tests.support.views import BOTH, IPV4, PLAIN, on
from tests.support.wait import eventually

RP_FILTER = "/proc/sys/net/ipv4/conf/{}/rp_filter"


def write(lab: Lab, interface: str, value: int) -> None:
    lab.run(HOST, ("sh", "-c", f"echo {value} > {RP_FILTER.format(interface)}"))


def read(lab: Lab, interface: str) -> str:
    return lab.run(HOST, ("cat", RP_FILTER.format(interface))).stdout.strip()


@pytest.mark.parametrize("where", ["ni1", "all"])
def test_27_strict_rp_filter_is_corrected(lab: Lab, start_host: StartHost, where: str) -> None:
    write(lab, where, 1)
    host = start_host(PLAIN)
    assert read(lab, "ni1") == "2"
    assert read(lab, "all") == ("1" if where == "all" else "0"), "`all` is never written"
    sentences = [e.sentence for e in host.client.history()]
    assert "ipv4.rp_filter on ni1 was 1, is now 2" in sentences
    with lab.meter("peer", IPV4) as stream:
        assert host.if_mpadm("-d", "ni0").returncode == 0
        on(lab, "ni1", *BOTH)
        assert stream.result().lost == 0


@pytest.mark.parametrize("where", ["ni1", "all"])
def test_27_strict_rp_filter_refuses_the_start(lab: Lab, tmp_path: Path, where: str) -> None:
    write(lab, where, 1)
    host = Host(lab, tmp_path, PLAIN + 'sysctls = "check"\n')
    refused = lab.run(HOST, host.command(), check=False)
    assert refused.returncode == 1
    assert "net.ipv4.conf.ni1.rp_filter is 1 and must be 0 or 2" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert read(lab, "ni1") == ("0" if where == "all" else "1")


@pytest.mark.slow
def test_27_strict_rp_filter_never_goes_unnoticed(lab: Lab, start_host: StartHost) -> None:
    start_host(PLAIN)
    write(lab, "ni1", 1)
    eventually(lambda: read(lab, "ni1") == "2", 15)
