"""Posts stored durably by the receiver, beside a bare aiohttp handler that stores the same bytes.

Both run in a process of their own, on loopback, with SQLite files in the same directory, WAL and
synchronous = FULL. The bare handler has one INSERT and one COMMIT for each post: what one writes
first. The receiver parses, judges and audits, and lets posts that arrive together share a commit.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.bench.table import median, show
from tests.support.remediator import TOKEN, Subprocess, alert, notification, write_policy

POSTS = 3000
RUNS = 3
HEADERS = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}


def main() -> None:
    """Print posts per second and the 99th percentile of the time to an answer."""
    rows = []
    for connections in (1, 10, 50):
        bare, ours = [], []
        for _ in range(RUNS):
            with tempfile.TemporaryDirectory(prefix="ipmp-bench-") as name:
                bare.append(asyncio.run(_bare(Path(name), connections)))
            with tempfile.TemporaryDirectory(prefix="ipmp-bench-") as name:
                ours.append(asyncio.run(_ours(Path(name), connections)))
        rates = [median([rate for rate, _ in runs]) for runs in (bare, ours)]
        tails = [1000 * median([tail for _, tail in runs]) for runs in (bare, ours)]
        rows.append((connections, round(rates[0]), round(rates[1]), rates[1] / rates[0], *tails))
    show(
        f"Notifications stored durably ({POSTS} posts of one alert, median of {RUNS})",
        ("connections", "bare/s", "ours/s", "ratio", "bare p99 ms", "ours p99 ms"),
        rows,
    )


async def _ours(directory: Path, connections: int) -> tuple[float, float]:
    """No daemon runs: every alert is new, and its drain waits."""
    policy = write_policy(directory, max_pending=100_000)
    process = Subprocess(directory, directory, policy, "--log.level", "info")
    await process.start()
    try:
        return await _load(f"{process.url}/alerts", connections)
    finally:
        await process.end(signal.SIGTERM)


async def _bare(directory: Path, connections: int) -> tuple[float, float]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.receiver", str(directory / "bare.sqlite")),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    url = (await process.stdout.readline()).decode().strip()
    try:
        return await _load(f"{url}/alerts", connections)
    finally:
        process.terminate()
        await process.wait()


async def _load(url: str, connections: int) -> tuple[float, float]:
    """Post from so many connections; return posts per second and the 99th percentile, seconds."""
    bodies = iter(
        [json.dumps(notification(alert("ni0", name=f"Alert{i}"))).encode() for i in range(POSTS)]
    )
    times: list[float] = []

    async def send(session: aiohttp.ClientSession) -> None:
        for body in bodies:
            began = time.perf_counter()
            async with session.post(url, data=body, headers=HEADERS) as response:
                await response.read()
                assert response.status == 202, response.status
            times.append(time.perf_counter() - began)

    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session:
        began = time.perf_counter()
        await asyncio.gather(*(send(session) for _ in range(connections)))
        took = time.perf_counter() - began
    return POSTS / took, sorted(times)[int(POSTS * 0.99)]


async def _serve(path: Path) -> None:
    """The bare handler."""
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE posts (body BLOB)"
    )

    async def alerts(request: web.Request) -> web.Response:
        db.execute("INSERT INTO posts VALUES (?)", (await request.read(),))
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/alerts", alerts)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
