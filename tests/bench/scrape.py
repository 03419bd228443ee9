"""What a scrape costs, beside node_exporter with as many interfaces, and what it costs the daemon.

Runs in a lab's host node, so that node_exporter sees so many interfaces and no others. The exporter
reads a stand-in for mpathd that answers with a status of that size; its time is a whole scrape:
reading, decoding, rendering, compressing and the way over loopback. The last table is the real
daemon's failover while scrapers ask the real exporter without a pause.
"""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import aiohttp
import bcrypt
import msgspec

from ipmp.lab.tools import find
from ipmp.lab.topology import HOST
from ipmp_exporter.web_config.users import Users
from tests.bench.failover import gap
from tests.bench.host import daemon, laboratory
from tests.bench.table import median, show
from tests.support.exporter_daemon import FakeDaemon, short_directory
from tests.support.exporter_process import running_exporter
from tests.support.exporter_statuses import fleet
from tests.support.views import held
from tests.support.wait import eventually

SIZES = ((100, 1_000), (1_000, 10_000))  # interfaces, addresses
SCRAPES = 21
SCRAPERS = 20
ROUNDS = 10
NODE_PORT = 9100
NETWORK_ONLY = (
    "--collector.disable-defaults",
    *(f"--collector.{name}" for name in ("bonding", "netclass", "netdev")),
)
WITHOUT_ADDRESSES = ("--no-collector.addresses",)


def main() -> None:
    """Print the tables."""
    rows: list[tuple[object, ...]] = []
    for interfaces, addresses in SIZES:
        with laboratory() as (lab, _):
            pairs = range(interfaces // 2)
            lines = "".join(f"link add a{n} type veth peer name b{n}\n" for n in pairs)
            lab.run(HOST, ("ip", "-batch", "-"), input=lines, timeout=300)
            command = (sys.executable, "-m", "tests.bench.scrape", str(interfaces), str(addresses))
            rows += json.loads(lab.run(HOST, command, timeout=600).stdout)
    header = ("scrape", "series", "plain ms", "gzip ms", "plain KiB", "gzip KiB")
    show(f"One scrape at a time, median of {SCRAPES}", header, rows)
    asyncio.run(_refusals())
    _failover()


# One scrape -------------------------------------------------------------------------------------


def inside(interfaces: int, addresses: int) -> list[tuple[object, ...]]:
    """Measure all exporters, in the network in which this runs."""
    rows: list[tuple[object, ...]] = []
    with _stand_in(interfaces, addresses) as run_dir:
        for name, flags in (("", ()), (", no addresses", WITHOUT_ADDRESSES)):
            with running_exporter(run_dir, "--log.level=info", *flags) as address:
                what = f"ipmp_exporter, {interfaces} interfaces, {addresses} addresses{name}"
                rows.append(_row(what, address, "ipmp_interface_state"))
    program = find("prometheus-node-exporter")
    for name, flags in ((", all collectors", ()), (", network only", NETWORK_ONLY)):
        what = f"node_exporter, {interfaces} interfaces{name}"
        if program is None:
            rows.append((what, "missing", "-", "-", "-", "-"))
            continue
        with _node_exporter(program, flags) as address:
            rows.append(_row(what, address, "node_network_receive_bytes_total"))
    return rows


def _row(what: str, address: str, proof: str) -> tuple[object, ...]:
    plain = [_scrape(address, "identity") for _ in range(SCRAPES)]
    packed = [_scrape(address, "gzip") for _ in range(SCRAPES)]
    text = gzip.decompress(packed[-1][1]).decode()
    assert proof in text, f"{what} does not tell {proof}"
    return (
        what,
        sum(not line.startswith("#") for line in text.splitlines()),
        median([1000 * seconds for seconds, _ in plain]),
        median([1000 * seconds for seconds, _ in packed]),
        len(plain[-1][1]) / 1024,
        len(packed[-1][1]) / 1024,
    )


def _scrape(address: str, encoding: str) -> tuple[float, bytes]:
    connection = http.client.HTTPConnection(address, timeout=60)
    began = time.perf_counter()
    connection.request("GET", "/metrics", headers={"Accept-Encoding": encoding})
    body = connection.getresponse().read()
    seconds = time.perf_counter() - began
    connection.close()
    return seconds, body


@contextmanager
def _stand_in(interfaces: int, addresses: int) -> Iterator[Path]:
    """Answer with the same bytes each time: what the daemon pays is in the last table."""
    directories: list[Path] = []
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        async with short_directory() as directory:
            body = msgspec.json.encode(fleet(interfaces, addresses))
            async with FakeDaemon(directory, body).listening():
                directories.append(directory)
                ready.set()
                await asyncio.Event().wait()

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    task = loop.create_task(serve())
    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(30)
    try:
        yield directories[0]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


@contextmanager
def _node_exporter(program: Path, flags: tuple[str, ...]) -> Iterator[str]:
    address = f"127.0.0.1:{NODE_PORT}"
    command = [str(program), f"--web.listen-address={address}", "--log.level=error", *flags]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        with suppress(OSError):
            return bool(_scrape(address, "gzip"))
        return False

    try:
        eventually(answers, 30)
        yield address
    finally:
        process.terminate()
        process.wait()


# Refused passwords ------------------------------------------------------------------------------


async def _refusals() -> None:
    """Nobody may learn from the time which users there are; the kinds take turns."""
    hashes = {"prometheus": bcrypt.hashpw(b"right", bcrypt.gensalt(10)).decode()}
    users, tries = Users(), {
        "wrong password": ("prometheus", "wrong"),
        "unknown user": ("nobody", "wrong"),
        "password of 100 bytes": ("prometheus", "x" * 100),
    }  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in tries}
    for _ in range(SCRAPES):
        for name, credentials in tries.items():
            header = aiohttp.encode_basic_auth(*credentials)
            began = time.perf_counter()
            assert not await users.admits(header, hashes)
            times[name].append(1000 * (time.perf_counter() - began))
    users.close()
    rows = [(name, median(seen), min(seen), max(seen)) for name, seen in times.items()]
    show("Refused, bcrypt of cost 10", ("what was wrong", "median ms", "least", "most"), rows)


# The daemon's failover --------------------------------------------------------------------------


def _failover() -> None:
    """Beside scrapers: one program that computes and has nothing to do with us."""
    load = {
        "nobody scrapes": lambda address: nullcontext([0]),
        "a program computes": lambda address: _computing(),
        f"{SCRAPERS} scrapers": _hammer,
    }
    gaps: dict[str, list[float]] = {name: [] for name in load}
    scrapes, seconds = dict.fromkeys(load, 0), dict.fromkeys(load, 0.0)
    with laboratory() as (lab, directory):
        expected = set(held(lab, "ni0"))

        def at_home() -> bool:
            return set(held(lab, "ni0")) == expected and not held(lab, "ni1")

        for _ in range(ROUNDS):
            for name, beside in load.items():
                with daemon(lab, directory) as host, running_exporter(host.run_dir) as address:
                    began = time.monotonic()
                    with beside(address) as counted:
                        gaps[name].append(gap(lab, "192.168.1.5", at_home))
                    scrapes[name] += counted[0]
                    seconds[name] += time.monotonic() - began
                    eventually(at_home, 30)
    quiet = median(gaps["nobody scrapes"])
    rows = [
        (name, median(g), min(g), max(g), median(g) / quiet, scrapes[name] / seconds[name])
        for name, g in gaps.items()
    ]
    header = ("longest gap, ms", "median", "least", "most", "ratio", "scrapes/s")
    show("Carrier loss at 1000 packets/s, seen by the peer, while scrapers ask", header, rows)


@contextmanager
def _computing() -> Iterator[list[int]]:
    process = subprocess.Popen((sys.executable, "-c", "while True: pass"))
    try:
        yield [0]
    finally:
        process.kill()
        process.wait()


@contextmanager
def _hammer(address: str) -> Iterator[list[int]]:
    """Let so many scrapers ask in a process of their own; the list has their scrapes at the end.

    Their process gives way to all others: scrapers are on other machines.
    """
    counted = [0]
    command = ("nice", "-n", "19", sys.executable, "-m", "tests.bench.scrape", "hammer", address)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "hammering\n"
        yield counted
    finally:
        out, _ = process.communicate(timeout=60)  # closes its input, which ends it
    counted[0] = int(out)


def hammer(address: str) -> None:
    """Scrape from many threads until standard input ends; print how often."""
    over, counts = threading.Event(), [0] * SCRAPERS

    def scraper(number: int) -> None:
        while not over.is_set():
            _scrape(address, "gzip")
            counts[number] += 1

    threads = [threading.Thread(target=scraper, args=(number,)) for number in range(SCRAPERS)]
    for thread in threads:
        thread.start()
    eventually(lambda: all(counts), 30)
    print("hammering", flush=True)
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    print(sum(counts))


if __name__ == "__main__":
    if sys.argv[1] == "hammer":
        hammer(sys.argv[2])
    else:
        print(json.dumps(inside(*map(int, sys.argv[1:]))))
