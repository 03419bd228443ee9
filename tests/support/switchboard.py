"""Alerts of a real Prometheus that a test switches on and off."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from ipmp.lab.monitoring import Prometheus
from ipmp.lab.rules import prometheus_config

_RULE = {
    "alert": "Wanted",
    "expr": "wanted == 1",
    "labels": {
        "instance": "{{ $labels.host }}:10088",
        "group": "ipmp0",
        "remediation": "drain",
    },
}


class Switchboard:
    """What is wanted, as metrics: `wanted{host, interface, why}`."""

    def __init__(self) -> None:
        self._wanted: dict[tuple[str, str, str], int] = {}

    def on(self, host: str, interface: str, why: str) -> None:
        self._wanted[host, interface, why] = 1

    def off(self, host: str, interface: str, why: str) -> None:
        self._wanted[host, interface, why] = 0

    def metrics(self) -> str:
        return "".join(
            f'wanted{{host="{host}",interface="{interface}",why="{why}"}} {value}\n'
            for (host, interface, why), value in tuple(self._wanted.items())
        )


@contextmanager
def switchboard(directory: Path, alertmanagers: Sequence[str]) -> Iterator[Switchboard]:
    """Run Prometheus with one rule, in front of Alertmanagers given as URLs."""
    board = Switchboard()
    rules = directory / "switchboard.rules.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "switchboard", "rules": [_RULE]}]}))
    with _listening(board) as address:
        config = yaml.safe_load(
            prometheus_config({"switchboard": [address]}, rules=[rules], interval="250ms")
        )
        targets = [url.removeprefix("http://") for url in alertmanagers]
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": targets}]}]}
        with Prometheus(yaml.safe_dump(config), directory / "prometheus"):
            yield board


@contextmanager
def _listening(board: Switchboard) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = board.metrics().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
