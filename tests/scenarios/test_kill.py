"""`kill -9` at any moment of a drain: a restart goes on, and nothing is lost."""

from __future__ import annotations

import random
import sys
import time

import pytest

from ipmp.lab import Lab
from ipmp.lab.topology import HOST, ROUTER_IPV4
from tests.scenarios.conftest import StartHost
from tests.support.lab import Host
from tests.support.views import IPV4, PLAIN, held, routes
from tests.support.wait import eventually

MOMENTS = 50
SEED = 20261124
DRAIN_SECONDS = 0.14  # a drain of 20 addresses takes about that long
CONFIG = PLAIN + "announce = { rate = 1000 }\n"


@pytest.mark.slow
def test_kill_at_50_random_moments_of_drains_loses_nothing(lab: Lab, start_host: StartHost) -> None:
    print(f"seed {SEED}")
    moments = random.Random(SEED)
    for number in range(18):
        lab.run(HOST, ("ip", "addr", "add", f"192.168.1.{110 + number}/24", "dev", "ni0"))
    lab.run(HOST, ("ip", "route", "add", "10.1.0.0/16", "via", ROUTER_IPV4, "dev", "ni0"))
    host = start_host(CONFIG)
    addresses, home_routes = set(held(lab, "ni0")), routes(lab)
    offline = False
    with lab.meter("peer", IPV4) as stream:
        for _ in range(MOMENTS):
            tool = order(lab, host, "-r" if offline else "-d")
            time.sleep(moments.uniform(0.03, 0.03 + DRAIN_SECONDS))  # amid the drain
            host.kill9()
            tool.wait(10)
            host.start()
            eventually(lambda: host.status().interface("ni0").since > 0)
            offline = host.status().interface("ni0").state == "offline"
            member, other = ("ni1", "ni0") if offline else ("ni0", "ni1")
            eventually(
                lambda m=member, o=other: set(held(lab, m)) == addresses and not held(lab, o)
            )
            eventually(lambda m=member: len(routes(lab)) == len(home_routes) and _via(lab, m))
        result = stream.result()
    assert result.lost == 0, f"seed {SEED}: {result}"
    if offline:
        assert host.if_mpadm("-r", "ni0").returncode == 0
    eventually(lambda: routes(lab) == home_routes)


def test_offline_is_kept_over_a_kill(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    assert host.if_mpadm("-d", "ni0", "--reason", "new switch").returncode == 0
    host.kill9()
    host.start()
    ni0 = host.status().interface("ni0")
    assert (ni0.state, ni0.offline.reason) == ("offline", "new switch")
    assert f"{IPV4}/24" in held(lab, "ni1")


def order(lab: Lab, host: Host, what: str):  # type: ignore[no-untyped-def]
    command = ("env", f"IPMP_RUN_DIR={host.run_dir}", f"{sys.prefix}/bin/if_mpadm", what, "ni0")
    return lab.popen(HOST, command, stdout=-3, stderr=-3)


def _via(lab: Lab, member: str) -> bool:
    return all(f"dev {member}" in line for line in routes(lab))
