"""Configurations for the lab's Prometheus and Alertmanager, and the shipped rules made quick.

The rules in `alerts/` count in minutes, as a server needs it; a demonstration has seconds. Rather
than keeping a second set of rules, `quickened` divides the durations of the shipped ones.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
_RANGE = re.compile(r"\[([0-9a-z]+)(:[^]]*)?\]")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def shipped(name: str) -> Path | None:
    """Return a file that the project brings, for example `alerts/ipmp.rules.yml`, if it is there.

    It is looked for in the checkout, then where an installed distribution has it.
    """
    homes = (Path(__file__).resolve().parents[3], Path(sys.prefix, "share", "ipmp"))
    return next((home / name for home in homes if (home / name).is_file()), None)


def quickened(rules: str, factor: float) -> str:
    """Return a rule file's text with every duration divided by `factor`.

    That is `for`, `keep_firing_for` and the windows in brackets of expressions; thresholds, names
    and annotations stay. Choose `factor` such that the shortest window still holds four scrapes.
    """
    document = yaml.safe_load(rules)
    for group in document["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            for key in ("for", "keep_firing_for"):
                if key in rule:
                    rule[key] = _divided(rule[key], factor)
            rule["expr"] = _RANGE.sub(
                lambda match: f"[{_divided(match[1], factor)}{match[2] or ''}]", rule["expr"]
            )
    return yaml.safe_dump(document, sort_keys=False, width=1000)


def prometheus_config(
    targets: Mapping[str, Sequence[str]],
    *,
    rules: Sequence[Path] = (),
    alertmanager: str = "",
    interval: str = "1s",
) -> str:
    """Return a Prometheus configuration: targets (`host:port`) by job, rules, one Alertmanager."""
    config: dict[str, Any] = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": interval,
        },
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
            for job, addresses in targets.items()
        ],
    }
    if rules:
        config["rule_files"] = [str(path) for path in rules]
    if alertmanager:
        config["alerting"] = {
            "alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}],
        }
    return yaml.safe_dump(config, sort_keys=False)


def alertmanager_config(webhook: str, token_file: Path) -> str:
    """Return an Alertmanager configuration that sends alerts asking for a drain to `webhook`.

    It has the shape of `alerts/alertmanager.example.yml`, with waits of a second.
    """
    return yaml.safe_dump(
        {
            "route": {
                "receiver": "nobody",
                "routes": [
                    {
                        "receiver": "remediator",
                        "matchers": ['remediation="drain"'],
                        "group_by": ["alertname", "instance", "group", "interface"],
                        "group_wait": "0s",
                        "group_interval": "1s",
                        "repeat_interval": "1h",
                        "continue": True,
                    }
                ],
            },
            "receivers": [
                {"name": "nobody"},
                {
                    "name": "remediator",
                    "webhook_configs": [
                        {
                            "url": webhook,
                            "send_resolved": True,
                            "max_alerts": 0,
                            "http_config": {
                                "follow_redirects": False,
                                "authorization": {
                                    "type": "Bearer",
                                    "credentials_file": str(token_file),
                                },
                            },
                        }
                    ],
                },
            ],
        },
        sort_keys=False,
    )


def _divided(duration: str, factor: float) -> str:
    """Return a Prometheus duration divided by `factor`, in whole milliseconds, 1 ms at least."""
    seconds = sum(int(count) * _SECONDS[unit] for count, unit in _DURATION.findall(duration))
    return "0s" if seconds == 0 else f"{max(1, round(seconds / factor * 1000))}ms"
