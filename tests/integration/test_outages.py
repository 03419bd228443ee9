"""What fails on the way of an alert, for real: Prometheus, a pair of Alertmanagers, a fleet of two.

`db0` takes a slot of the fleet's budget before a drain; `db1` has no budget but its own.
"""

from __future__ import annotations

import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from ipmp_remediator.decision import Kind, Reason
from tests.fleet.hosts import FleetHost
from tests.fleet.judge import Judge
from tests.fleet.site import Site
from tests.support.lab import need_namespaces
from tests.support.switchboard import Switchboard, switchboard
from tests.support.tools import need
from tests.support.wait import eventually

pytestmark = [
    pytest.mark.netns,
    pytest.mark.prometheus,
    pytest.mark.tools,
    pytest.mark.slow,
]

WITHIN = 40.0  # seconds; all but what needs a slot takes a few


class Outages(NamedTuple):
    """The fleet, and alerts to switch on and off."""

    site: Site
    board: Switchboard

    @property
    def host(self) -> FleetHost:
        return self.site.hosts["db1.example"]

    @contextmanager
    def without(self, victim: str) -> Iterator[None]:
        """One part is dead, and healthy again afterwards."""
        self.site.victims[victim].kill()
        try:
            yield
        finally:
            self.site.victims[victim].start()


@pytest.fixture(scope="module")
def outages() -> Iterator[Outages]:
    need_namespaces()
    need("prometheus")
    with tempfile.TemporaryDirectory(prefix="ipmp-") as short:
        directory = Path(short)
        hosts: dict[str, tuple[str, ...]] = {"db0.example": ("rack",), "db1.example": ()}
        site = Site(directory, hosts, {"rack": 1})
        with site, switchboard(directory, site.alertmanagers) as board:
            yield Outages(site, board)


def until_offline(host: FleetHost, *members: str) -> None:
    eventually(lambda: set(host.drained()) == set(members), WITHIN, 0.05)


def told(host: FleetHost, interface: str) -> Counter[tuple[Kind, Reason]]:
    """What was decided about an interface so far, by kind and reason."""
    return Counter((d.kind, d.reason) for d in host.decisions() if d.interface == interface)


def until_told(
    host: FleetHost, interface: str, kind: Kind, reason: Reason, since: Counter[tuple[Kind, Reason]]
) -> None:
    def seen() -> bool:
        news = told(host, interface) - since
        assert (kind, reason) in news, news
        return True

    eventually(seen, WITHIN, 0.05)


def failed_notifications(alertmanager: str) -> float:
    with urllib.request.urlopen(f"{alertmanager}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    name = 'alertmanager_notification_requests_failed_total{integration="webhook"}'
    (value,) = [line.split()[-1] for line in lines if line.startswith(name)]
    return float(value)


def unread(url: str) -> bool:
    """Whether something was sent to the server at this port that it has not read."""
    port = f":{int(url.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(port) and not row[4].endswith(":00000000") for row in rows)


def test_a_receiver_that_was_down_drains_once_when_it_is_back(outages: Outages) -> None:
    host, before = outages.host, told(outages.host, "ni0")
    with outages.without("remediator db1.example"):
        failed = [failed_notifications(url) for url in outages.site.alertmanagers]
        outages.board.on(host.name, "ni0", "receiver")
        eventually(
            lambda: failed != [failed_notifications(url) for url in outages.site.alertmanagers],
            WITHIN,
        )
        assert host.drained() == {}
    until_offline(host, "ni0")
    outages.board.off(host.name, "ni0", "receiver")
    until_offline(host)
    until_told(host, "ni0", Kind.UNDRAINED, Reason.RESOLVED, before)
    assert (told(host, "ni0") - before)[Kind.DRAINED, Reason.FIRING] == 1


@pytest.mark.parametrize("dead", [0, 1])
def test_one_alertmanager_of_the_pair_is_enough(outages: Outages, dead: int) -> None:
    host, before = outages.host, told(outages.host, "ni1")
    with outages.without(f"alertmanager {dead}"):
        outages.board.on(host.name, "ni1", f"without {dead}")
        until_offline(host, "ni1")
    outages.board.off(host.name, "ni1", f"without {dead}")
    until_offline(host)
    until_told(host, "ni1", Kind.UNDRAINED, Reason.RESOLVED, before)
    assert (told(host, "ni1") - before)[Kind.DRAINED, Reason.FIRING] == 1


@pytest.mark.checklist("7.1", 14)
def test_what_both_alertmanagers_deliver_is_one_drain(outages: Outages) -> None:
    """Both send while no dispatcher reads, so neither knows that the other has sent."""
    host, before = outages.host, told(outages.host, "ni0")
    routes = [outages.site.victims[f"route {n}"] for n in range(2)]
    for route in routes:
        route.pause()
    outages.board.on(host.name, "ni0", "duplicate")
    eventually(lambda: all(unread(url) for url in outages.site.routes), WITHIN, 0.05)
    for route in routes:
        route.resume()
    until_offline(host, "ni0")
    until_told(host, "ni0", Kind.IGNORED, Reason.DUPLICATE, before)
    outages.board.off(host.name, "ni0", "duplicate")
    until_offline(host)
    until_told(host, "ni0", Kind.UNDRAINED, Reason.RESOLVED, before)
    assert (told(host, "ni0") - before)[Kind.DRAINED, Reason.FIRING] == 1


def test_an_alert_that_came_and_went_while_the_daemon_was_down_drains_nothing(
    outages: Outages,
) -> None:
    host, before = outages.host, told(outages.host, "ni0")
    with outages.without("mpathd db1.example"):
        outages.board.on(host.name, "ni0", "daemon")
        until_told(host, "ni0", Kind.WAITING, Reason.DAEMON_UNREACHABLE, before)
        outages.board.off(host.name, "ni0", "daemon")
        until_told(host, "ni0", Kind.IGNORED, Reason.NOTHING_DRAINED, before)
    outages.board.on(host.name, "ni1", "the next one")
    until_offline(host, "ni1")
    assert (Kind.DRAINED, Reason.FIRING) not in told(host, "ni0") - before
    with outages.without("mpathd db1.example"):
        outages.board.off(host.name, "ni1", "the next one")
        since = told(host, "ni1")
        until_told(host, "ni1", Kind.QUEUED, Reason.RESOLVED, since)
    until_offline(host)


@pytest.mark.checklist("7.1", 22)
def test_without_etcd_nothing_is_drained_and_what_is_drained_comes_back(outages: Outages) -> None:
    host = outages.site.hosts["db0.example"]
    judge = Judge(outages.site, Counter)
    with outages.without("etcd"):
        outages.board.on(host.name, "ni0", "etcd")
        until_told(host, "ni0", Kind.REFUSED, Reason.BUDGET_UNREACHABLE, Counter())
        assert host.drained() == {}
    until_offline(host, "ni0")
    assert judge.holders() == {("rack", "db0.example/ni0")}
    with outages.without("etcd"):
        outages.board.off(host.name, "ni0", "etcd")
        until_offline(host)
    eventually(lambda: judge.holders() == set(), WITHIN, 0.2)
