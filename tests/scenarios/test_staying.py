"""What is bound to an interface does not move, and is named before and with a drain."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.scenarios.conftest import StartHost
from tests.support.views import BOTH, PLAIN, on
from tests.support.wait import eventually

#: Binds what the arguments say, says so, and waits for its end.
HOLDER = """
import socket, struct, sys
ni0 = b"ni0\\0"
kept = []
for family, kind, address, port in (
    (socket.AF_INET, socket.SOCK_STREAM, "192.168.1.5", 8080),
    (socket.AF_INET, socket.SOCK_DGRAM, "0.0.0.0", 67),
    (socket.AF_INET6, socket.SOCK_DGRAM, "::", 547),
):
    bound = socket.socket(family, kind)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, ni0)
    bound.bind((address, port))
    if kind is socket.SOCK_STREAM:
        bound.listen()
    kept.append(bound)
joined = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
request = socket.inet_aton("239.1.2.3") + socket.inet_aton("192.168.1.5")
joined.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
joined6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
index = struct.pack("@I", socket.if_nametoindex("ni0"))
request = socket.inet_pton(socket.AF_INET6, "ff05::42") + index
joined6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
print("ready", flush=True)
sys.stdin.read()
"""

SOCKETS = (
    "sockets bound to ni0 (SO_BINDTODEVICE) do not follow its addresses, peers will see their "
    "connections reset: tcp 192.168.1.5:8080, udp 0.0.0.0:67, udp [::]:547"
)
GROUPS = (
    "multicast groups joined on ni0 stay joined there, programs must join them again on another "
    "interface: 239.1.2.3, ff05::42"
)
UPPERS = (
    "interfaces on top of ni0 go down with its link and do not follow its addresses: macvlan mac0"
)


@contextmanager
def holding(lab: Lab) -> Iterator[None]:
    """Something of each kind hangs on ni0."""
    lab.run(HOST, ("ip", "link", "add", "mac0", "link", "ni0", "type", "macvlan", "mode", "bridge"))
    command = (sys.executable, "-c", HOLDER)
    process = lab.popen(HOST, command, stdin=-1, stdout=-1, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.stdin.close()
        process.wait(10)


def test_35_55_what_is_bound_is_named(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    with holding(lab):
        checked = host.ipmp("check", "--config", str(host.config))
        notes = [line.removeprefix("note   ") for line in checked.stdout.splitlines()]
        assert {GROUPS, UPPERS} < set(notes)
        (owned,) = [note for note in notes if note.startswith("sockets bound")]
        assert re.sub(r" of python\S* \(pid \d+\)", "", owned) == SOCKETS
        assert owned.count("(pid ") == 3
        assert checked.returncode == 0
        rehearsed = host.if_mpadm("-d", "ni0", "--dry-run")
        warnings = [f"if_mpadm: warning: {text}" for text in (SOCKETS, GROUPS, UPPERS)]
        assert rehearsed.stderr.splitlines() == warnings
        assert rehearsed.returncode == 0
        assert host.client.history(kind="stays") == [], "nothing has happened yet"
        drained = host.if_mpadm("-d", "ni0")
        assert (drained.returncode, drained.stdout) == (0, "")
        assert drained.stderr.splitlines() == warnings
        on(lab, "ni1", *BOTH)
    stays = [event.sentence for event in host.client.history(kind="stays")]
    assert stays == [SOCKETS, GROUPS, UPPERS]
    assert SOCKETS in host.ipmp("explain", "ni0").stdout


def test_a_host_without_any_is_told_nothing(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    for arguments in (("-d", "ni0", "--dry-run"), ("-d", "ni0"), ("-r", "ni0")):
        done = host.if_mpadm(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
    checked = host.ipmp("check", "--config", str(host.config)).stdout
    assert [line for line in checked.splitlines() if line.startswith("note")] == []


def test_a_port_of_a_bridge_is_wrong(lab: Lab, start_host: StartHost) -> None:
    host = start_host('[groups.other]\ninterfaces = ["ni8", "ni9"]\n')
    lab.run(HOST, ("ip", "link", "add", "br7", "type", "bridge"))
    lab.run(HOST, ("ip", "link", "set", "ni1", "master", "br7"))
    host.configure(PLAIN + 'sysctls = "set"\n')
    checked = host.ipmp("check", "--config", str(host.config), "--fix")
    assert "wrong  ni1 is a port of br7: addresses belong on that one; take ni1" in checked.stdout
    assert checked.returncode == 1


def test_leased_addresses_are_told_why_they_stay(lab: Lab, start_host: StartHost) -> None:
    lease = ("ip", "addr", "add", "192.168.1.77/24", "dev", "ni0", "valid_lft", "600")
    lab.run(HOST, (*lease, "preferred_lft", "600"))
    host = start_host(PLAIN)
    checked = host.ipmp("check", "--config", str(host.config))
    assert "note   192.168.1.77/24 on ni0 is leased or autoconfigured" in checked.stdout
    told = eventually(lambda: host.client.history(kind="refused"))
    assert [event.decision.address for event in told] == ["192.168.1.77/24"]
    assert host.if_mpadm("-d", "ni0").returncode == 0
    on(lab, "ni1", *BOTH)
    (link,) = lab.ip_json(HOST, "addr", "show", "dev", "ni0")
    assert "192.168.1.77" in [address["local"] for address in link["addr_info"]]
