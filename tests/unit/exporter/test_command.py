"""The command as a user starts it: a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import bcrypt
import pytest

from tests.support import exporter_statuses as statuses
from tests.support.certificates import Authority
from tests.support.exporter_daemon import FakeDaemon
from tests.support.wait import eventually_async

DEADLINE = 20.0  # seconds; generous, the machine may be busy
ANYWHERE = "--web.listen-address=127.0.0.1:0"


class Running:
    """A started exporter: its process, its log so far, and where it listens."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.log = ""
        self.urls: list[str] = []

    async def listens(self, addresses: int) -> None:
        """Read the log until it tells of so many addresses."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE):
            while len(self.urls) < addresses:
                line = await self.process.stderr.readline()
                assert line, f"ended early: {self.log}"
                self.log += line.decode()
                self.urls = re.findall(r"listening on (https?://[^ \"]+)", self.log)

    async def get(self, path: str, url: str = "") -> str:
        async with (
            aiohttp.ClientSession() as session,
            session.get((url or self.urls[0]) + path) as response,
        ):
            assert response.status == 200
            return await response.text()

    async def stop(self, signum: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        async with asyncio.timeout(DEADLINE):
            assert self.process.stderr is not None
            self.log += (await self.process.stderr.read()).decode()
            return await self.process.wait()


async def start(*flags: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ipmp_exporter.main",
        *flags,
        env={key: v for key, v in os.environ.items() if key != "IPMP_RUN_DIR"} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def running(*flags: str, addresses: int = 1, **environment: str) -> AsyncIterator[Running]:
    exporter = Running(await start(*flags, **environment))
    try:
        await exporter.listens(addresses)
        yield exporter
    finally:
        if exporter.process.returncode is None:
            exporter.process.kill()
            await exporter.process.wait()


async def refused(*flags: str) -> str:
    """Start with flags that cannot work; return the one sentence that it says."""
    process = await start(*flags)
    async with asyncio.timeout(DEADLINE):
        out, err = await process.communicate()
    assert process.returncode == 1
    assert out == b""
    sentence = err.decode()
    assert sentence.startswith("ipmp_exporter: ")
    assert sentence.count("\n") == 1
    return sentence


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_starts_serves_and_stops(daemon: FakeDaemon, signum: signal.Signals) -> None:
    async with running(ANYWHERE, "--run-dir", str(daemon.run_dir)) as exporter:
        assert "ipmp_up 1.0\n" in await exporter.get("/metrics")
        assert await exporter.stop(signum) == 0
    assert "Traceback" not in exporter.log


async def test_stops_while_a_scrape_waits_for_the_daemon(daemon: FakeDaemon) -> None:
    daemon.may_answer.clear()
    async with running(ANYWHERE, IPMP_RUN_DIR=str(daemon.run_dir)) as exporter:
        scrape = asyncio.create_task(exporter.get("/metrics"))
        await eventually_async(lambda: daemon.requests > 0, DEADLINE)
        assert await exporter.stop() == 0
        with pytest.raises(aiohttp.ClientError):
            await scrape


async def test_run_dir_from_the_environment(daemon: FakeDaemon) -> None:
    async with running(ANYWHERE, IPMP_RUN_DIR=str(daemon.run_dir)) as exporter:
        assert "ipmp_up 1.0\n" in await exporter.get("/metrics")


@pytest.mark.checklist("7.2", 34)
async def test_many_addresses_ipv4_and_ipv6(run_dir: Path) -> None:
    flags = [ANYWHERE, "--web.listen-address", "[::1]:0", "--web.listen-address=localhost:0"]
    async with running(*flags, f"--run-dir={run_dir}", addresses=3) as exporter:
        first, second, third = exporter.urls
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+", first)
        assert re.fullmatch(r"http://\[::1\]:[1-9]\d+", second)
        for url in (first, second, third):
            assert "ipmp_up 0.0\n" in await exporter.get("/metrics", url)


async def test_without_host_it_listens_on_both_families(run_dir: Path) -> None:
    async with running("--web.listen-address=:0", f"--run-dir={run_dir}") as exporter:
        port = exporter.urls[0].rpartition(":")[2]
        for host in ("127.0.0.1", "[::1]"):
            assert "ipmp_up 0.0\n" in await exporter.get("/metrics", f"http://{host}:{port}")


@pytest.mark.checklist("7.2", 34)
async def test_telemetry_path(run_dir: Path) -> None:
    flags = [ANYWHERE, f"--run-dir={run_dir}", "--web.telemetry-path=/ipmp/metrics"]
    async with running(*flags) as exporter:
        assert "ipmp_up 0.0\n" in await exporter.get("/ipmp/metrics")
        assert 'href="/ipmp/metrics"' in await exporter.get("/")


async def test_telemetry_path_may_be_the_root(run_dir: Path) -> None:
    flags = [ANYWHERE, f"--run-dir={run_dir}", "--web.telemetry-path=/"]
    async with running(*flags) as exporter:
        assert "ipmp_up 0.0\n" in await exporter.get("/")


async def test_json_log_tells_once_when_the_daemon_goes_and_comes(run_dir: Path) -> None:
    flags = [ANYWHERE, f"--run-dir={run_dir}", "--log.format=json"]
    async with running(*flags) as exporter:
        await exporter.get("/metrics")
        await exporter.get("/metrics")
        async with FakeDaemon(run_dir, statuses.healthy()).listening():
            await exporter.get("/metrics")
            await exporter.get("/metrics")
        assert await exporter.stop() == 0
    events = [json.loads(line) for line in exporter.log.splitlines()]
    assert [(event["level"], event["msg"]) for event in events if "root" not in event["msg"]][
        1:
    ] == [
        ("warning", f"mpathd is not running: there is no {run_dir}/status.sock (see --run-dir)"),
        ("info", "mpathd answers again"),
        ("info", "stopping"),
    ]


@pytest.mark.checklist("7.2", 34)
async def test_log_level(run_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    flags = [f"--web.listen-address=127.0.0.1:{port}", f"--run-dir={run_dir}", "--log.level=error"]
    exporter = Running(await start(*flags))
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                await exporter.get("/metrics", f"http://127.0.0.1:{port}")
                break
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)
    assert await exporter.stop() == 0
    assert exporter.log == ""


@pytest.mark.checklist("7.2", 34)
async def test_version() -> None:
    process = await start("--version")
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert re.fullmatch(r"ipmp_exporter \d+\.\d+\.\d+\S* \(python 3\.\S+\)\n", out.decode())


async def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        sentence = await refused("--web.listen-address", address)
    assert f"cannot listen on {address}: Address already in use" in sentence


@pytest.mark.parametrize(
    "address",
    ["9100", "", ":", ":http", ":65536", ":-1", "::1:9100", "[::1]", "[::1:9100", "a@b:1", "h:1/x"],
)
async def test_bad_address(address: str) -> None:
    assert f"{address!r} is not a listen address" in await refused(
        f"--web.listen-address={address}"
    )


@pytest.mark.parametrize("address", ["192.0.2.1:0", "no-such-host.invalid:0", "1.2.3.4.5:0"])
async def test_address_that_is_not_ours(address: str) -> None:
    assert f"cannot listen on {address}: " in await refused(f"--web.listen-address={address}")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--no-such-flag"], "--no-such-flag"),
        (["surplus"], "surplus"),
        (["--web.listen=:x"], "unrecognized arguments: --web.listen=:x"),
        (["--log.level=loud"], "'loud'"),
        (["--log.format=xml"], "'xml'"),
        (["--web.telemetry-path=metrics"], "it starts with /"),
        (["--web.telemetry-path=/{x}"], "letters, digits"),
        (["--web.telemetry-path=/-/healthy"], "'/-/healthy' is not a path for the metrics"),
        (["--run-dir"], "expected one argument"),
        (["--web.max-requests=-1"], "'-1' is not a number from 0 to 999999"),
        (["--collector.weather"], "unrecognized arguments: --collector.weather"),
        (["--web.systemd-socket"], "systemd has passed no socket"),
        (["--web.systemd-socket", "--web.listen-address=:0"], "not allowed with argument"),
        (["--web.config.file=/no/such/file"], "cannot read /no/such/file: No such file"),
    ],
)
async def test_wrong_flags(flags: list[str], words: str) -> None:
    assert words in await refused(*flags)


@pytest.mark.checklist("7.2", 33)
async def test_collectors_are_switched_on_and_off(daemon: FakeDaemon) -> None:
    flags = ["--no-collector.addresses", "--collector.targets", "--web.disable-exporter-metrics"]
    async with running(ANYWHERE, f"--run-dir={daemon.run_dir}", *flags) as exporter:
        text = await exporter.get("/metrics")
    assert "ipmp_address_placement" not in text
    assert "ipmp_probe_target_rtt_seconds{" in text
    assert "ipmp_interface_state{" in text
    assert "process_" not in text


async def test_the_last_of_contradicting_switches_counts(daemon: FakeDaemon) -> None:
    flags = ["--no-collector.groups", "--collector.groups"]
    async with running(ANYWHERE, f"--run-dir={daemon.run_dir}", *flags) as exporter:
        assert "ipmp_group_state{" in await exporter.get("/metrics")


@pytest.mark.checklist("7.2", 34)
async def test_sockets_of_systemd_are_served(daemon: FakeDaemon) -> None:
    """As systemd does it: the descriptors from 3 on, and the pid of the process that gets them."""
    flags = f"--web.systemd-socket --run-dir={daemon.run_dir}"
    program = f"exec {sys.executable} -m ipmp_exporter.main {flags}"
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as two,
    ):
        os.set_inheritable(one.fileno(), True)
        os.set_inheritable(two.fileno(), True)
        script = f"LISTEN_FDS=2 LISTEN_PID=$$ {program} 3<&{one.fileno()} 4<&{two.fileno()}"
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            script,
            pass_fds=(one.fileno(), two.fileno()),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        exporter = Running(process)
        try:
            await exporter.listens(2)
            for url in exporter.urls:
                assert "ipmp_up 1.0\n" in await exporter.get("/metrics", url)
            assert await exporter.stop() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.mark.checklist("7.2", 34)
async def test_web_config_with_tls_and_a_password(daemon: FakeDaemon, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.sign("server")
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    file = tmp_path / "web.yml"
    file.write_text(
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
        f"basic_auth_users:\n  prometheus: {hashed}\n"
    )
    flags = [ANYWHERE, f"--run-dir={daemon.run_dir}", f"--web.config.file={file}"]
    auth = aiohttp.encode_basic_auth("prometheus", "secret")
    async with running(*flags) as exporter, aiohttp.ClientSession() as session:
        (url,) = exporter.urls
        assert url.startswith("https://")
        for headers, status in (({}, 401), ({"Authorization": auth}, 200)):
            async with session.get(
                f"{url}/metrics", headers=headers, ssl=authority.trusted()
            ) as response:
                assert response.status == status
        assert await exporter.stop() == 0
    assert "Traceback" not in exporter.log


async def test_web_config_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("basic_auth_users:\n  prometheus: secret\n")
    sentence = await refused(ANYWHERE, f"--web.config.file={file}")
    assert f"{file}: basic_auth_users: what stands for prometheus is not a bcrypt" in sentence


@pytest.mark.checklist("7.2", 41)
async def test_root_is_warned_and_nobody_else(run_dir: Path) -> None:
    async with running(ANYWHERE, f"--run-dir={run_dir}") as exporter:
        assert await exporter.stop() == 0
    warned = "running as root, which is not needed" in exporter.log
    assert warned == (os.geteuid() == 0)


@pytest.mark.checklist("7.2", 41)
async def test_runs_without_any_privilege(daemon: FakeDaemon) -> None:
    daemon.run_dir.chmod(0o755)
    daemon.socket.chmod(0o666)
    dropped = ("--no-new-privs", "--inh-caps=-all")
    if os.geteuid() == 0:
        dropped += ("--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all")
    command = (sys.executable, "-m", "ipmp_exporter.main", ANYWHERE)
    exporter = Running(
        await asyncio.create_subprocess_exec(
            *("setpriv", *dropped, *command, f"--run-dir={daemon.run_dir}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    )
    await exporter.listens(1)
    assert "ipmp_up 1.0\n" in await exporter.get("/metrics")
    assert await exporter.stop() == 0
    assert "running as root" not in exporter.log
