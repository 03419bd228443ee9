"""Post the parts of a notification to their hosts, at most so many at a time, before a deadline."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import msgspec
import structlog

from ipmp.serving.admission import TokenError, TokenFile
from ipmp.serving.tls import ClientContexts
from ipmp_remediator.route.config import RouteConfig
from ipmp_remediator.route.metrics import RouteMetrics
from ipmp_remediator.route.targets import Targets

_TOLD = 5  # hosts that a log line names

_log = structlog.get_logger()


class Failure(msgspec.Struct, frozen=True):
    """A host that has not stored its part."""

    host: str
    outcome: str  # one of metrics.OUTCOMES
    why: str


class Dispatcher:
    """Passes parts on; one attempt for each, because the sender tries again.

    Only a connection that the host has closed meanwhile is made anew: hosts know what they have.
    """

    def __init__(self, config: RouteConfig, targets: Targets, metrics: RouteMetrics) -> None:
        """Read certificates and token; raise TlsError or TokenError."""
        self._config = config
        self._targets = targets
        self._metrics = metrics
        self._contexts = ClientContexts(config.hosts_tls)
        self._token = TokenFile(config.hosts_token_file) if config.hosts_token_file else None
        if self._token:
            self._token.token()
        self._places = asyncio.Semaphore(config.limits.connections)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make ready; connections to hosts are kept for the next part."""
        connector = aiohttp.TCPConnector(
            limit=self._config.limits.connections, keepalive_timeout=30, ttl_dns_cache=30
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "ipmp-route"},
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session:
            await self._session.close()

    async def dispatch(self, parts: dict[str, list[bytes]]) -> list[Failure]:
        """Post every part; return the hosts that have not stored theirs."""
        deadline = asyncio.get_running_loop().time() + self._config.limits.timeout
        results = await asyncio.gather(
            *(self._host(host, pieces, deadline) for host, pieces in parts.items())
        )
        failures = [failure for failure in results if failure]
        if failures:
            named = ", ".join(f"{f.host} ({f.why})" for f in failures[:_TOLD])
            more = f" and {len(failures) - _TOLD} more" if len(failures) > _TOLD else ""
            _log.warning(
                f"not stored by {named}{more}; the sender was told to try again",
                stored=len(parts) - len(failures),
            )
        return failures

    async def _host(self, host: str, pieces: list[bytes], deadline: float) -> Failure | None:
        failure = await self._attempt(host, pieces, deadline)
        self._metrics.deliveries.labels(failure.outcome if failure else "stored").inc()
        return failure

    async def _attempt(self, host: str, pieces: list[bytes], deadline: float) -> Failure | None:
        url = self._targets.url(host)
        if url is None:
            return Failure(host, "unknown_host", "no target is known")
        try:
            async with asyncio.timeout_at(deadline), self._places:
                started = time.monotonic()
                async with asyncio.timeout(self._config.limits.host_timeout):
                    for piece in pieces:  # in order: the same alert may be in two of them
                        status = await self._post_anew(url, piece)
                        if not 200 <= status < 300:
                            return Failure(host, "refused", f"answered with {status}")
        except TimeoutError:
            return Failure(host, "timeout", "did not answer in time")
        except TokenError as error:
            return Failure(host, "refused", str(error))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Failure(host, "unreachable", str(error) or type(error).__name__)
        self._metrics.delivery_duration.observe(time.monotonic() - started)
        return None

    async def _post_anew(self, url: str, body: bytes) -> int:
        try:
            return await self._post(url, body)
        except aiohttp.ClientConnectorError:
            raise
        except aiohttp.ClientConnectionError:
            return await self._post(url, body)

    async def _post(self, url: str, body: bytes) -> int:
        if self._session is None:
            raise RuntimeError("the dispatcher is not open")
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token.token().decode('latin-1')}"
        async with self._session.post(
            url,
            data=body,
            headers=headers,
            ssl=self._contexts.current(),
            allow_redirects=False,  # a redirect has stored nothing
        ) as response:
            return response.status
