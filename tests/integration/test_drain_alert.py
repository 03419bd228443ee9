"""From the symptom to the webhook: real exporter, Prometheus, rules and Alertmanager."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from ipmp.lab.monitoring import Alertmanager, Prometheus
from ipmp.lab.rules import alertmanager_config, prometheus_config, quickened, shipped
from tests.support.flapping import flapping_host
from tests.support.tools import need
from tests.support.wait import eventually

pytestmark = [pytest.mark.prometheus, pytest.mark.slow]

SECONDS = 60.0
Received = queue.Queue[tuple[str, dict[str, Any]]]


@contextmanager
def receiver() -> Iterator[tuple[str, Received]]:
    """A webhook that accepts everything; yields its URL and (Authorization, payload) pairs."""
    received: Received = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.put((self.headers["Authorization"], json.loads(body)))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/alerts", received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def until_scraped(prometheus: Prometheus) -> None:
    """Wait for the second scrape: an increase needs something to increase from."""
    query = "count_over_time(ipmp_up[1m])"
    eventually(lambda: any(s.value >= 2 for s in prometheus.query(query)), SECONDS, 0.1)


def test_a_flapping_interface_asks_for_a_drain_and_the_request_ends_with_the_flapping(
    tmp_path: Path,
) -> None:
    need("prometheus")
    need("alertmanager")
    source = shipped("alerts/ipmp.rules.yml")
    assert source
    rules = tmp_path / "quick.rules.yml"
    rules.write_text(quickened(source.read_text(), 120))  # 15 minutes are 7.5 seconds
    token = tmp_path / "token"
    token.write_text("a-secret")
    with (
        receiver() as (webhook, received),
        flapping_host() as host,
        Alertmanager(
            alertmanager_config(webhook, token), tmp_path / "alertmanager"
        ) as alertmanager,
        Prometheus(
            prometheus_config(
                {"ipmp": [host.address]},
                rules=[rules],
                alertmanager=alertmanager.url.removeprefix("http://"),
                interval="500ms",
            ),
            tmp_path / "prometheus",
        ) as prometheus,
    ):
        until_scraped(prometheus)
        host.flap(changes=6, seconds=0.7)
        authorization, firing = received.get(timeout=SECONDS)
        _, resolved = received.get(timeout=SECONDS)
    assert authorization == "Bearer a-secret"
    assert firing["version"] == "4"
    (alert,) = firing["alerts"]
    assert alert["status"] == "firing"
    assert alert["labels"] == {
        "alertname": "IpmpInterfaceFlapping",
        "group": "ipmp0",
        "instance": host.address,
        "interface": "ni0",
        "job": "ipmp",
        "remediation": "drain",
        "severity": "warning",
    }
    (ended,) = resolved["alerts"]
    assert ended["status"] == "resolved"
    assert ended["fingerprint"] == alert["fingerprint"]
    assert ended["startsAt"] == alert["startsAt"]
    assert received.empty(), "nothing else asks for a drain"
