"""What is said on the link, when, by whom; judged at the peer's port."""

from __future__ import annotations

import time

import pytest

from ipmp.lab import Lab
from ipmp.lab.captures import Frame
from tests.scenarios.conftest import StartHost
from tests.support.views import BOTH, IPV4, IPV6, PLAIN, on
from tests.support.wait import eventually

SCHEDULES = {IPV4: (0.0, 1.1, 3.1, 5.1), IPV6: (0.0, 1.0, 2.0)}
TOLERANCE = 0.1  # of each interval
AFTER = 0.6  # seconds in which one announcement too many would come


@pytest.mark.slow
def test_20_exact_announcements(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    with lab.sniff("peer", "eth0") as port:
        assert host.if_mpadm("-d", "ni0").returncode == 0
        eventually(lambda: len(port.announcements(IPV4)) == 4, 8)
        time.sleep(AFTER)
        seen = {address: port.announcements(address) for address in BOTH}
    for address, schedule in SCHEDULES.items():
        frames = seen[address]
        assert len(frames) == len(schedule)
        offsets = [f.monotonic - frames[0].monotonic for f in frames]
        for offset, expected in zip(offsets[1:], schedule[1:], strict=True):
            assert abs(offset - expected) <= TOLERANCE * expected
        assert {(f.src_mac, f.sender_mac) for f in frames} == {(lab.mac("ni1"), lab.mac("ni1"))}
    assert {f.kind for f in seen[IPV4]} == {"arp-request"}
    assert {(f.override, f.router, f.solicited) for f in seen[IPV6]} == {(True, False, False)}


@pytest.mark.slow
def test_24_announcements_stop_when_ownership_is_lost(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    with lab.sniff("peer", "eth0") as port:
        assert host.if_mpadm("-d", "ni0").returncode == 0
        assert host.if_mpadm("-r", "ni0").returncode == 0
        on(lab, "ni0", *BOTH)
        eventually(lambda: len(_from(lab, port.announcements(IPV4), "ni0")) == 4, 8)
        frames = [f for address in BOTH for f in port.announcements(address)]
    back = min(f.monotonic for f in _from(lab, frames, "ni0"))
    late = [f for f in _from(lab, frames, "ni1") if f.monotonic > back]
    assert _from(lab, frames, "ni1"), "the first move was announced"
    assert late == []


def _from(lab: Lab, frames: list[Frame], member: str) -> list[Frame]:
    return [f for f in frames if f.sender_mac == lab.mac(member)]
