"""The web configuration at work: TLS, client certificates, passwords, headers, rate, reload."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import bcrypt
import pytest
from aiohttp import web

from ipmp_exporter import listen
from ipmp_exporter.acceptor import Acceptor
from ipmp_exporter.server import Exporter
from ipmp_exporter.web_config import Guard, users
from ipmp_exporter.web_config.users import Users
from tests.support.certificates import Authority
from tests.support.exporter_daemon import FakeDaemon

TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
CLIENTS = "  client_ca_file: clients.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
PASSWORD = "correct horse"


def hashed(password: str, cost: int = 4) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def basic(user: str, password: str) -> str:
    return aiohttp.encode_basic_auth(user, password, "utf-8")


def with_users(*passwords: str, cost: int = 4) -> str:
    lines = (f"  user{n}: {hashed(password, cost)}\n" for n, password in enumerate(passwords))
    return "basic_auth_users:\n" + "".join(lines)


class Served:
    """An exporter that listens with a web configuration."""

    def __init__(self, file: Path, authority: Authority, url: str) -> None:
        self.file = file
        self.authority = authority
        self.url = url

    async def status(
        self, *, password: str | None = None, user: str = "user0", **more: object
    ) -> int:
        return (await self.ask(password=password, user=user, **more))[0]

    async def ask(
        self,
        *,
        password: str | None = None,
        user: str = "user0",
        path: str = "/metrics",
        ssl: ssl.SSLContext | bool = True,
    ) -> tuple[int, Mapping[str, str], str]:
        """Ask over a connection of its own."""
        headers = {"Authorization": basic(user, password)} if password is not None else {}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(self.url + path, ssl=ssl) as response,
        ):
            return response.status, response.headers, await response.text()


@asynccontextmanager
async def serving(daemon: FakeDaemon, directory: Path, text: str) -> AsyncIterator[Served]:
    authority = Authority(directory)
    authority.sign("server")
    file = directory / "web.yml"
    file.write_text(text)
    guard = Guard(file)
    runner = web.AppRunner(Exporter(daemon.run_dir).app(guard.middleware), shutdown_timeout=0.1)
    await runner.setup()
    bound = listen.bind("127.0.0.1:0")
    assert runner.server is not None
    acceptor = Acceptor(bound, runner.server, guard.context)
    acceptor.start()
    try:
        yield Served(file, authority, listen.url(bound, tls=guard.tls))
    finally:
        await acceptor.stop()
        await runner.cleanup()
        guard.close()


# Passwords --------------------------------------------------------------------------------------


@pytest.mark.checklist("7.2", 37)
async def test_only_the_right_password_of_a_known_user_comes_in(
    daemon: FakeDaemon, tmp_path: Path
) -> None:
    async with serving(daemon, tmp_path, with_users(PASSWORD, "other")) as served:
        assert await served.status(password=PASSWORD) == 200
        assert await served.status(password="other", user="user1") == 200
        for user, password in (
            ("user0", "other"),
            ("user0", ""),
            ("user1", PASSWORD),
            ("nobody", PASSWORD),
            ("", ""),
            ("user0", "x" * 100),
            ("user0", PASSWORD + "\0"),
        ):
            assert await served.status(password=password, user=user) == 401, (user, password)
        status, headers, _ = await served.ask()
        assert (status, headers["WWW-Authenticate"]) == (401, "Basic")
        for path in ("/", "/-/healthy", "/nonsense"):
            assert (await served.ask(path=path))[0] == 401
    assert daemon.requests == 2


@pytest.mark.parametrize(
    "authorization", ["", "Basic", "Basic !", "Basic dXNlcjA=", "Bearer x", "Basic /w==", "\x80"]
)
async def test_strange_credentials_are_refused(authorization: str) -> None:
    known = Users()
    assert not await known.admits(authorization, {"user0": hashed(PASSWORD)})
    known.close()


@pytest.mark.checklist("7.2", 37)
async def test_everybody_who_is_refused_takes_the_same_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One comparison with a hash of the same cost, whatever was wrong."""
    compared: list[tuple[int, str]] = []
    checkpw = bcrypt.checkpw

    def watched(password: bytes, against: bytes) -> bool:
        compared.append((len(password) <= 72, against[3:7].decode()))
        return checkpw(password, against)

    monkeypatch.setattr(users.bcrypt, "checkpw", watched)
    known, hashes = Users(), {"user0": hashed(PASSWORD, 5)}
    for user, password in (("user0", "wrong"), ("nobody", "wrong"), ("user0", "x" * 100)):
        auth = basic(user, password)
        assert not await known.admits(auth, hashes)
    assert not await known.admits("", hashes)
    assert compared == [(True, "$05$")] * 4
    known.close()


@pytest.mark.checklist("7.2", 37)
async def test_a_password_of_73_bytes_is_refused_although_bcrypt_reads_only_72() -> None:
    known, hashes = Users(), {"user0": hashed("x" * 72)}
    right, longer = (basic("user0", "x" * n) for n in (72, 73))
    assert await known.admits(right, hashes)
    assert not await known.admits(longer, hashes)
    known.close()


@pytest.mark.checklist("7.2", 37)
async def test_a_right_password_is_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    checkpw = bcrypt.checkpw

    def watched(password: bytes, against: bytes) -> bool:
        nonlocal count
        count += 1
        return checkpw(password, against)

    monkeypatch.setattr(users.bcrypt, "checkpw", watched)
    known, auth = Users(), basic("user0", PASSWORD)
    first, second = {"user0": hashed(PASSWORD)}, {"user0": hashed("new")}
    assert [await known.admits(auth, first) for _ in range(3)] == [True] * 3
    assert count == 1
    assert not await known.admits(auth, second)  # the password was changed
    assert not await known.admits(auth, {})
    known.close()


@pytest.mark.checklist("7.2", 37)
async def test_the_loop_goes_on_while_passwords_are_compared(
    daemon: FakeDaemon, tmp_path: Path
) -> None:
    """Twenty comparisons of about 50 ms queue up; a known scraper does not wait for them."""
    async with serving(daemon, tmp_path, with_users(PASSWORD, cost=10)) as served:
        assert await served.status(password=PASSWORD) == 200
        storm = [asyncio.create_task(served.status(password="wrong")) for _ in range(20)]
        assert await served.status(password=PASSWORD) == 200
        assert not all(task.done() for task in storm)
        assert set(await asyncio.gather(*storm)) == {401}


async def test_users_and_passwords_follow_the_file(daemon: FakeDaemon, tmp_path: Path) -> None:
    async with serving(daemon, tmp_path, with_users(PASSWORD)) as served:
        assert await served.status(password=PASSWORD) == 200
        served.file.write_text(with_users("another one"))
        assert await served.status(password=PASSWORD) == 401
        assert await served.status(password="another one") == 200
        served.file.write_text("basic_auth_users: nonsense\n")
        status, _, text = await served.ask(password="another one")
        assert (status, text) == (500, "the web configuration is broken\n")
        served.file.unlink()
        assert await served.status(password="another one") == 500
        served.file.write_text("")
        assert await served.status() == 200


# Headers and rate -------------------------------------------------------------------------------


async def test_headers_are_on_every_answer(daemon: FakeDaemon, tmp_path: Path) -> None:
    text = (
        "http_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: deny\n"
        "    Strict-Transport-Security: max-age=60\n"
    )
    async with serving(daemon, tmp_path, text + with_users(PASSWORD)) as served:
        for password, path, wanted in (
            (PASSWORD, "/metrics", 200),
            (PASSWORD, "/nonsense", 404),
            ("wrong", "/", 401),
        ):
            status, headers, _ = await served.ask(password=password, path=path)
            assert status == wanted
            assert headers["X-Frame-Options"] == "deny"
            assert headers["Strict-Transport-Security"] == "max-age=60"


def test_rate_is_a_bucket_that_fills_again(tmp_path: Path) -> None:
    file, now = tmp_path / "web.yml", 100.0
    file.write_text("rate_limit:\n  interval: 1s\n  burst: 2\n")
    guard = Guard(file, lambda: now)

    def admitted(requests: int) -> int:
        return sum(guard._within_rate(guard._config) for _ in range(requests))

    assert admitted(5) == 2
    now += 1.0
    assert admitted(5) == 1
    now += 3600.0
    assert admitted(5) == 2
    guard.close()


@pytest.mark.checklist("7.2", 38)
async def test_too_many_requests_are_told_so(daemon: FakeDaemon, tmp_path: Path) -> None:
    text = "rate_limit:\n  interval: 1h\n  burst: 3\n"
    async with serving(daemon, tmp_path, text) as served:
        assert [await served.status() for _ in range(5)] == [200, 200, 200, 429, 429]


# TLS --------------------------------------------------------------------------------------------


@pytest.mark.checklist("7.2", 36)
async def test_tls_of_version_1_2_and_up(daemon: FakeDaemon, tmp_path: Path) -> None:
    async with serving(daemon, tmp_path, TLS) as served:
        assert served.url.startswith("https://")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = served.authority.trusted()
            context.minimum_version = context.maximum_version = version
            assert await served.status(ssl=context) == 200
        old = served.authority.trusted()
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(aiohttp.ClientConnectorError):
            await served.status(ssl=old)
        plain = served.url.replace("https", "http")
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(plain)
        assert await served.status(ssl=served.authority.trusted()) == 200


async def test_cipher_suites(daemon: FakeDaemon, tmp_path: Path) -> None:
    text = TLS + (
        "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n"
        "  curve_preferences: [CurveP384]\n"
    )
    async with serving(daemon, tmp_path, text) as served:
        fits, fits_not = served.authority.trusted(), served.authority.trusted()
        fits.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
        fits_not.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        assert await served.status(ssl=fits) == 200
        with pytest.raises(aiohttp.ClientConnectorError):
            await served.status(ssl=fits_not)


@pytest.mark.checklist("7.2", 36)
async def test_certificate_is_replaced_under_load_without_a_failed_scrape(
    daemon: FakeDaemon, tmp_path: Path
) -> None:
    async with serving(daemon, tmp_path, TLS) as served:
        context, over = served.authority.trusted(), asyncio.Event()
        scrapes, serials = 0, set()

        async def scraper(keep: bool) -> None:
            nonlocal scrapes
            connector = aiohttp.TCPConnector(ssl=context, force_close=not keep)
            async with aiohttp.ClientSession(connector=connector) as session:
                while not over.is_set():
                    async with session.get(f"{served.url}/metrics") as response:
                        assert response.status == 200
                        assert "ipmp_up 1.0" in await response.text()
                        scrapes += 1

        async def serial() -> int:
            _, writer = await asyncio.open_connection(
                *served.url.removeprefix("https://").split(":"), ssl=context
            )
            certificate = writer.get_extra_info("peercert")
            writer.close()
            return int(certificate["serialNumber"], 16)

        load = [asyncio.create_task(scraper(keep)) for keep in (True, False, False, False)]
        for _ in range(5):
            serials.add(await serial())
            before = scrapes
            certificate, key = served.authority.sign("next")
            key.replace(tmp_path / "server.key")
            async with asyncio.timeout(20):  # meanwhile key and certificate do not match
                while scrapes < before + 10:
                    await asyncio.sleep(0.01)
            before = scrapes
            certificate.replace(tmp_path / "server.crt")
            async with asyncio.timeout(20):
                while scrapes < before + 10 or await serial() in serials:
                    await asyncio.sleep(0.01)
        over.set()
        await asyncio.gather(*load)
    assert len(serials) == 5


async def test_a_certificate_that_breaks_admits_nobody_until_it_is_mended(
    daemon: FakeDaemon, tmp_path: Path
) -> None:
    async with serving(daemon, tmp_path, TLS) as served:
        context = served.authority.trusted()
        assert await served.status(ssl=context) == 200
        served.file.write_text("tls_server_config:\n  cert_file: server.crt\n")
        with pytest.raises(aiohttp.ClientError):
            await served.status(ssl=context)
        served.file.write_text("")  # nor does TLS go away while the exporter runs
        with pytest.raises(aiohttp.ClientError):
            await served.status(ssl=context)
        served.file.write_text(TLS)
        assert await served.status(ssl=context) == 200


@pytest.mark.checklist("7.2", 36)
async def test_clients_without_a_certificate_of_the_ca_are_not_let_in(
    daemon: FakeDaemon, tmp_path: Path
) -> None:
    clients = Authority(tmp_path, "clients")
    async with serving(daemon, tmp_path, TLS + CLIENTS) as served:
        known = served.authority.trusted(clients.sign("known", "prometheus.example"))
        foreign = served.authority.trusted(served.authority.sign("foreign"))
        assert await served.status(ssl=known) == 200
        for context in (served.authority.trusted(), foreign):
            with pytest.raises(aiohttp.ClientError):
                await served.status(ssl=context)
        served.file.write_text(
            TLS + CLIENTS.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
        )
        assert await served.status(ssl=known) == 200
        assert await served.status(ssl=served.authority.trusted()) == 200
        with pytest.raises(aiohttp.ClientError):
            await served.status(ssl=foreign)


async def test_only_names_that_are_allowed(daemon: FakeDaemon, tmp_path: Path) -> None:
    clients = Authority(tmp_path, "clients")
    text = TLS + CLIENTS + "  client_allowed_sans: [prometheus.example]\n"
    async with serving(daemon, tmp_path, text) as served:
        known = served.authority.trusted(clients.sign("known", "prometheus.example"))
        other = served.authority.trusted(clients.sign("other", "grafana.example"))
        assert await served.status(ssl=known) == 200
        assert await served.status(ssl=other) == 403


async def test_a_slow_handshake_holds_up_nobody(daemon: FakeDaemon, tmp_path: Path) -> None:
    async with serving(daemon, tmp_path, TLS) as served:
        host, port = served.url.removeprefix("https://").split(":")
        silent = [await asyncio.open_connection(host, port) for _ in range(20)]
        assert await served.status(ssl=served.authority.trusted()) == 200
        for _, writer in silent:
            writer.close()
