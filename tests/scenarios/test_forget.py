"""An operator retires an adopted address while the daemon runs."""

from __future__ import annotations

import pytest

from ipmp.client import ProblemError
from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from ipmp.model import OperationRequest, ProblemCode
from tests.scenarios.conftest import StartHost
from tests.support.views import BOTH, IPV4, IPV6, PLAIN, held, on, routes
from tests.support.wait import eventually

SECOND = "192.168.1.9"


def add_second(lab: Lab) -> None:
    lab.run(HOST, ("ip", "addr", "add", f"{SECOND}/24", "dev", "ni0"))


@pytest.mark.parametrize("away", [False, True], ids=["at-home", "away"])
@pytest.mark.parametrize("name", [SECOND, f"{SECOND}/24"])
def test_it_is_removed_for_good(lab: Lab, start_host: StartHost, name: str, away: bool) -> None:
    add_second(lab)
    host = start_host(PLAIN)
    where = "ni1" if away else "ni0"
    if away:
        assert host.if_mpadm("-d", "ni0").returncode == 0
    on(lab, where, *BOTH, SECOND)
    done = host.ipmp("forget", name, "--reason", "moved to another host")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"{SECOND}/24 of group ipmp0 was forgotten by ipmp by root (uid 0) and removed from "
        f"{where} (moved to another host)\n"
    )
    assert f"{SECOND}/24" not in held(lab, where)
    assert [a.address for a in host.status().addresses] == [f"{IPV4}/24", f"{IPV6}/64"]
    (event,) = host.client.history(kind="address-retired")
    assert event.sentence + "\n" == done.stdout
    assert host.if_mpadm("-r" if away else "-d", "ni0").returncode == 0
    on(lab, "ni0" if away else "ni1", *BOTH)
    host.restart()
    assert [a.address for a in host.status().addresses] == [f"{IPV4}/24", f"{IPV6}/64"]
    assert host.client.history(kind="address-restored") == []


def test_the_last_ipv4_address_leaves_the_routes_alone(lab: Lab, start_host: StartHost) -> None:
    """Without an anchor the kernel would flush every IPv4 route of the interface."""
    lab.run(HOST, ("ip", "route", "add", "10.3.0.0/16", "dev", "ni0", "scope", "link"))
    lab.run(HOST, ("ip", "route", "add", "10.4.0.0/16", "dev", "ni0", "src", IPV4))
    host = start_host(PLAIN)
    assert host.ipmp("forget", IPV4).returncode == 0
    assert held(lab, "ni0") == [f"{IPV6}/64"]
    assert any("10.3.0.0/16 dev ni0" in line for line in routes(lab))
    assert not any("10.4.0.0/16" in line for line in routes(lab)), "its source is gone"
    eventually(lambda: host.client.history(kind="address-retired"))
    assert host.client.history(kind="refused") == []


def test_what_comes_back_is_adopted_anew(lab: Lab, start_host: StartHost) -> None:
    add_second(lab)
    host = start_host(PLAIN)
    assert host.ipmp("forget", SECOND).returncode == 0
    add_second(lab)
    eventually(lambda: f"{SECOND}/24" in [a.address for a in host.status().addresses])


def test_a_dry_run_changes_nothing(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    done = host.ipmp("forget", IPV4, "--dry-run")
    assert (done.returncode, done.stdout) == (
        0,
        f"{IPV4} would be removed from ni0 and no longer be a data address\n",
    )
    on(lab, "ni0", *BOTH)
    assert host.client.history(kind="address-retired") == []


def test_refusals(lab: Lab, start_host: StartHost) -> None:
    lab.run(HOST, ("ip", "addr", "add", f"{IPV4}/16", "dev", "ni0"))
    host = start_host(PLAIN + 'addresses = ["192.168.1.8/24"]\n')
    before = (held(lab, "ni0"), held(lab, "ni1"))
    for name, told in (
        ("192.168.1.8", "192.168.1.8/24 is listed in ipmp.toml: remove it there and run"),
        ("192.168.1.77", "unknown IPMP data address 192.168.1.77"),
        ("ni0", "unknown IPMP data address ni0"),
        (IPV4, f"say which of {IPV4}/24, {IPV4}/16"),
    ):
        done = host.ipmp("forget", name)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("ipmp: ")
        assert told in done.stderr
        assert "Traceback" not in done.stderr
    with pytest.raises(ProblemError) as unknown:
        host.client.forget("192.0.2.1", OperationRequest())
    assert unknown.value.problem.code is ProblemCode.UNKNOWN_ADDRESS
    assert (held(lab, "ni0"), held(lab, "ni1")) == before


def test_ipv6_in_any_spelling(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    assert host.ipmp("forget", "FD00:1:0::0:5/64").returncode == 0
    assert held(lab, "ni0") == [f"{IPV4}/24"]
