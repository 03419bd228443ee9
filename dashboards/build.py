"""Build the dashboards' JSON files: `make dashboards`, or `python -m dashboards.build`.

The files are for Grafana's file provisioning (`provisioning/`), or for the import dialogue. Their
data source is a variable of the dashboard, so they work wherever Prometheus is one.
"""

from __future__ import annotations

import json
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.fleet import fleet
from dashboards.host import host
from dashboards.remediation import remediation

DIRECTORY = Path(__file__).resolve().parent

# Grafana migrates a dashboard up to its own schema, never down. The library writes the newest
# number; nothing in these dashboards is newer than this one, so Grafana 10 and later read them.
SCHEMA_VERSION = 39

DASHBOARDS = {
    "ipmp-fleet.json": fleet,
    "ipmp-host.json": host,
    "ipmp-remediation.json": remediation,
}


def build(name: str) -> dict[str, Any]:
    """Return one dashboard's document."""
    text = JSONEncoder(sort_keys=True).encode(DASHBOARDS[name]().build())
    document: dict[str, Any] = json.loads(text)
    for number, panel in enumerate(document["panels"], start=1):
        panel["id"] = number
        for letter, target in zip(ascii_uppercase, panel["targets"], strict=False):
            target["refId"] = letter
    return document | {"id": None, "schemaVersion": SCHEMA_VERSION}


def render(name: str) -> str:
    """Return the text of one dashboard's file: sorted, so that a change is a small difference."""
    return json.dumps(build(name), indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Write every dashboard's file."""
    for name in DASHBOARDS:
        (DIRECTORY / name).write_text(render(name))


if __name__ == "__main__":
    main()
