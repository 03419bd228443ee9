"""Listen addresses in the Prometheus world's notation: `:10088`, `127.0.0.1:0`, `[::1]:10088`."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit


class ListenError(Exception):
    """An address that cannot be listened on; one sentence says why and what to do."""


def bind(address: str) -> socket.socket:
    """Return a socket bound to HOST:PORT; without a host it takes IPv4 and IPv6 on every interface.

    Port 0 lets the kernel choose. Raises ListenError.
    """
    host, port = _split(address)
    try:
        everywhere = host in ("", "::") and socket.has_dualstack_ipv6()
        if everywhere:
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        family, _, _, _, name = socket.getaddrinfo(
            host or "0.0.0.0",  # noqa: S104 - no host means everywhere, as with every exporter
            port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )[0]
        return socket.create_server(name, family=family)
    except (OSError, UnicodeError) as failure:
        why = getattr(failure, "strerror", None) or str(failure)
        raise ListenError(
            f"cannot listen on {address}: {why}; choose another --web.listen-address"
        ) from failure


def url(bound: socket.socket) -> str:
    """Return where a bound socket is reached, for example `http://[::1]:10088`."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _split(address: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _not_an_address(address) from None
    if port is None or parts.netloc != address or "@" in address:
        raise _not_an_address(address)
    return host, port


def _not_an_address(address: str) -> ListenError:
    return ListenError(
        f"{address!r} is not a listen address; write HOST:PORT or :PORT with a port "
        "from 0 to 65535, for example :10088, 127.0.0.1:10088 or [::1]:10088"
    )
