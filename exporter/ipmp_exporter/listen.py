"""Listen addresses in the Prometheus world's notation: `:10088`, `127.0.0.1:0`, `[::1]:10088`."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from urllib.parse import urlsplit

_FIRST_FD = 3  # SD_LISTEN_FDS_START


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


def inherited(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """Return the sockets that systemd has passed (sd_listen_fds(3)). Raises ListenError."""
    count, pid = environment.pop("LISTEN_FDS", ""), environment.pop("LISTEN_PID", "")
    if not count.isdecimal() or int(count) < 1 or pid != str(os.getpid()):
        raise ListenError(
            "systemd has passed no socket: start the exporter by a .socket unit, or leave out "
            "--web.systemd-socket"
        )
    try:
        sockets = [socket.socket(fileno=_FIRST_FD + number) for number in range(int(count))]
        for number, passed in enumerate(sockets):
            if not passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise ListenError(f"socket {number} that systemd has passed does not listen")
    except OSError as failure:
        raise ListenError(
            f"a socket that systemd has passed cannot be used: {failure.strerror}"
        ) from failure
    return sockets


def url(bound: socket.socket, *, tls: bool = False) -> str:
    """Return where a bound socket is reached, for example `http://[::1]:10088`."""
    scheme, name = "https" if tls else "http", bound.getsockname()
    if not isinstance(name, tuple):
        return f"unix:{name}"
    host, port = name[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


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
