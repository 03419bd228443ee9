"""Real Alertmanagers that are one cluster, and that tests may kill."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ipmp.lab.monitoring import with_web_pages
from ipmp.lab.rules import alertmanager_config
from tests.support.etcd import Process, free_port
from tests.support.tools import need

ALERTS = "/api/v2/alerts"

# What is remembered of sent notifications is on the disk after a second, gossip has settled after
# two, and the second waits a second for the first to have sent: all of it a tenth of the usual.
_QUICK = (
    "--data.maintenance-interval=1s",
    "--cluster.settle-timeout=2s",
    "--cluster.peer-timeout=1s",
    "--cluster.pushpull-interval=2s",
    "--cluster.reconnect-interval=1s",
    "--log.level=debug",
)


def cluster(directory: Path, webhooks: Sequence[str], token: Path) -> list[tuple[Process, str]]:
    """Alertmanagers that are not started yet, one for each webhook, and their URLs."""
    gossip = [f"127.0.0.1:{free_port()}" for _ in webhooks]
    found = []
    for number, webhook in enumerate(webhooks):
        home = directory / f"alertmanager-{number}"
        home.mkdir()
        config = home / "config.yml"
        config.write_text(alertmanager_config(webhook, token))
        url = f"http://127.0.0.1:{(port := free_port())}"
        command = [str(need("alertmanager")), f"--config.file={config}", *_QUICK]
        command += [f"--storage.path={home}", f"--web.listen-address=127.0.0.1:{port}"]
        command += [f"--cluster.listen-address={gossip[number]}"]
        command += [f"--cluster.peer={peer}" for peer in gossip if peer != gossip[number]]
        command = with_web_pages("alertmanager", command)
        found.append((Process(command, home / "log", f"{url}/-/ready"), url))
    return found


def post(url: str, alerts: Sequence[dict[str, Any]], timeout: float = 2.0) -> None:
    """Give alerts to one Alertmanager, as Prometheus does; OSError when it does not take them."""
    body = json.dumps(alerts).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + ALERTS, body, headers)
    urllib.request.urlopen(request, timeout=timeout).close()


def rfc3339(seconds: float) -> str:
    """A time as Prometheus writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
