"""A fleet for tests: an authority with certificates, and hosts that take notifications by TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trustme
from aiohttp import web

from ipmp.serving.tls import ClientTls, ServerTls, names_of, server_context
from ipmp_remediator.payload import Alert, parse


class Authority:
    """Signs certificates, and writes them into a directory."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._ca = trustme.CA()
        self._directory = directory
        self.file = directory / f"{name}.crt"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, *names: str) -> tuple[Path, Path]:
        """Write a certificate for the names, and its key; again: a renewed one."""
        issued = self._ca.issue_cert(*names)
        stem = names[0].replace("*", "any")
        cert, key = self._directory / f"{stem}.crt", self._directory / f"{stem}.key"
        issued.private_key_pem.write_to_path(key)
        cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        return cert, key

    def server(self, *names: str) -> ServerTls:
        cert, key = self.issue(*names)
        return ServerTls(cert_file=cert, key_file=key, client_ca_file=self.file)

    def client(self, *names: str) -> ClientTls:
        cert, key = self.issue(*names)
        return ClientTls(ca_file=self.file, cert_file=cert, key_file=key)


class Host:
    """Stands for a host's remediator: takes notifications, by its real parser."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.senders: set[str] = set()
        self.tokens: set[str] = set()
        self.posts = 0
        self.status = 202
        self.location = ""
        self.silent = asyncio.Event()  # cleared: nothing is answered
        self.silent.set()
        self.at_once = self.most_at_once = 0
        self.address = ""
        self._runner: web.AppRunner | None = None

    async def start(self, tls: ssl.SSLContext | None, port: int = 0) -> None:
        app = web.Application(client_max_size=256 * 1024)
        app.router.add_post("/alerts", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=tls).start()
        self.address = f"127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner:
            self.silent.set()
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.posts += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.silent.wait()
            body = await request.read()
            self.senders |= names_of(request.get_extra_info("peercert"))
            self.tokens.add(request.headers.get("Authorization", ""))
            if self.status == 202:
                self.alerts += parse(body).alerts
            headers = {"Location": self.location} if self.location else {}
            return web.Response(status=self.status, headers=headers)
        finally:
            self.at_once -= 1


@asynccontextmanager
async def hosts(authority: Authority, names: list[str]) -> AsyncIterator[dict[str, Host]]:
    """Hosts on loopback, each with a certificate, which let only our authority's clients in."""
    tls = server_context(authority.server("127.0.0.1"))
    found = {name: Host() for name in names}
    try:
        for host in found.values():
            await host.start(tls)
        yield found
    finally:
        for host in found.values():
            await host.stop()
