"""The shipped rules and examples: valid, tested, explained, and the same when made quick."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipmp.lab.rules import alertmanager_config, prometheus_config, quickened, shipped
from tests.support.alerts import ALERTS, BY_NAME, CELLS, PROPERTY, RULES, TESTS, rules, shown
from tests.support.lab import program
from tests.support.metrics import exposed_metrics
from tests.support.tools import need

every_alert = pytest.mark.parametrize("name", BY_NAME)
every_file = pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.prometheus
@every_file
def test_promtool_accepts_the_rules(path: Path) -> None:
    assert "SUCCESS" in run(need("promtool"), "check", "rules", path)


@pytest.mark.prometheus
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent_as_told(
    path: Path, record_property: Callable[[str, object], None]
) -> None:
    assert "SUCCESS" in run(need("promtool"), "test", "rules", path)
    for alert, cell in shown(path):
        record_property(PROPERTY, f"{alert} x {cell}")


@every_alert
def test_no_cell_of_the_coverage_table_is_empty(name: str) -> None:
    found = {cell for path in TESTS for alert, cell in shown(path) if alert == name}
    assert found == set(CELLS)


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("key", "value"), [("expr", "vector(0) > 1"), ("for", "0s"), ("keep_firing_for", "0s")]
)
def test_the_tests_notice_an_alert_that_is_broken(tmp_path: Path, key: str, value: str) -> None:
    """Alerts that never fire, or lack their duration, are each rejected by promtool."""
    broken = {name for name, rule in BY_NAME.items() if key in rule}
    for path in RULES:
        document = yaml.safe_load(path.read_text())
        for rule in (rule for group in document["groups"] for rule in group["rules"]):
            if rule.get("alert") in broken:
                rule[key] = value
        (tmp_path / path.name).write_text(yaml.safe_dump(document))
    copies = shutil.copytree(ALERTS / "tests", tmp_path / "tests")
    command = (need("promtool"), "test", "rules", *copies.glob("*.yml"))
    done = subprocess.run(command, capture_output=True, text=True)
    assert set(re.findall(r"alertname: (\w+),", done.stdout + done.stderr)) == broken


@pytest.mark.prometheus
def test_promtool_accepts_the_example_of_prometheus() -> None:
    assert "SUCCESS" in run(need("promtool"), "check", "config", ALERTS / "prometheus.example.yml")


@pytest.mark.prometheus
def test_amtool_accepts_the_example_of_alertmanager() -> None:
    example = ALERTS / "alertmanager.example.yml"
    assert "SUCCESS" in run(need("amtool"), "check-config", example)


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ({"alertname": "IpmpInterfaceFlapping", "remediation": "drain"}, "remediator,people"),
        ({"alertname": "IpmpGroupFailed", "severity": "critical"}, "people"),
        ({"alertname": "IpmpWatchdog", "severity": "info"}, "remediator"),
    ],
)
def test_the_example_sends_drains_to_the_remediator_and_everything_to_people(
    labels: dict[str, str], receivers: str
) -> None:
    example = f"--config.file={ALERTS / 'alertmanager.example.yml'}"
    pairs = [f"{name}={value}" for name, value in labels.items()]
    routed = run(need("amtool"), "config", "routes", "test", example, *pairs)
    assert routed.strip() == receivers


@every_alert
def test_every_alert_follows_the_conventions(name: str) -> None:
    rule = BY_NAME[name]
    annotations = rule["annotations"]
    assert re.fullmatch(r"Ipmp([A-Z][a-z]+)+", name)
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert annotations["summary"].endswith(".")
    assert "{{" not in annotations["summary"], "a summary is the same for alerts grouped together"
    if not name.startswith("IpmpFleet"):
        assert "{{ $labels.instance }}" in annotations["description"]


@every_alert
def test_every_alert_has_a_section_in_the_runbook(name: str) -> None:
    path, anchor = BY_NAME[name]["annotations"]["runbook_url"].split("#")
    headings = re.findall(r"^## (.+)$", (ALERTS.parent / path).read_text(), flags=re.MULTILINE)
    assert anchor == name.lower()
    assert name in headings


def test_the_runbook_has_no_section_without_an_alert() -> None:
    text = (ALERTS / "runbook.md").read_text()
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert sorted(headings) == sorted(BY_NAME)
    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= {name.lower() for name in headings}


@every_alert
def test_every_section_says_what_to_type(name: str) -> None:
    text = (ALERTS / "runbook.md").read_text()
    section = re.split(r"^## ", text.split(f"## {name}\n")[1], flags=re.MULTILINE)[0]
    meaning, *steps = re.split(r"^\d\. ", section, flags=re.MULTILINE)
    assert meaning.strip()
    assert len(steps) >= 2
    assert "`" in section


def test_every_command_of_ours_in_the_runbook_exists() -> None:
    text = (ALERTS / "runbook.md").read_text()
    offered = run(program("ipmp"), "--help")
    for command in set(re.findall(r"(?:^|`)ipmp ([a-z]+)", text, flags=re.MULTILINE)):
        assert re.search(rf"\b{command}\b", offered), f"ipmp has no command {command}"
    assert set(re.findall(r"ipmpstat -(\w+)", text)) <= {"an", "g", "i", "p", "t"}
    assert set(re.findall(r"if_mpadm -(\w+)", text)) == {"d", "r"}


def test_rules_ask_for_metrics_that_exist() -> None:
    asked = {name for rule in rules() for name in re.findall(r"\bipmp_\w+", rule["expr"])}
    recorded = {rule["record"].split(":")[1] for rule in rules() if "record" in rule}
    assert asked - recorded - {"ipmp_remediator"} <= exposed_metrics()


def test_only_alerts_about_one_interface_ask_for_a_drain() -> None:
    drains = [name for name, rule in BY_NAME.items() if rule["labels"].get("remediation")]
    assert sorted(drains) == ["IpmpInterfaceErrors", "IpmpInterfaceFlapping", "IpmpProbeLossHigh"]
    for name in drains:
        assert BY_NAME[name]["labels"]["remediation"] == "drain"
        assert BY_NAME[name]["keep_firing_for"], "its end brings the interface back"


def test_no_request_for_a_drain_is_inhibited() -> None:
    example = yaml.safe_load((ALERTS / "alertmanager.example.yml").read_text())
    drains = {name for name, rule in BY_NAME.items() if rule["labels"].get("remediation")}
    for rule in example["inhibit_rules"]:
        (target,) = rule["target_matchers"]
        (name,) = re.findall(r'^alertname="(\w+)"$', target)
        assert name in BY_NAME
        assert name not in drains


@every_file
def test_quickened_rules_differ_in_durations_only(path: Path) -> None:
    quick = yaml.safe_load(quickened(path.read_text(), 60))["groups"]
    slow = yaml.safe_load(path.read_text())["groups"]
    seconds = {"m": 1000, "h": 60_000}
    for group, original in zip(quick, slow, strict=True):
        for rule, model in zip(group["rules"], original["rules"], strict=True):
            assert rule["expr"] == re.sub(
                r"\[(\d+)([mh])\]",
                lambda match: f"[{int(match[1]) * seconds[match[2]]}ms]",
                model["expr"],
            )
            changed = {key for key in model if rule[key] != model[key]} - {"expr"}
            assert changed <= {"for", "keep_firing_for"}
            assert "keep_firing_for" in changed or "keep_firing_for" not in model


@pytest.mark.parametrize(
    ("duration", "divided"),
    [("1h", "60000ms"), ("1h30m", "90000ms"), ("1s", "17ms"), ("0s", "0s"), ("1ms", "1ms")],
)
def test_quickened_understands_every_duration(duration: str, divided: str) -> None:
    rules = {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "x", "for": duration}]}]}
    quick = yaml.safe_load(quickened(yaml.safe_dump(rules), 60))
    assert quick["groups"][0]["rules"][0]["for"] == divided


@pytest.mark.prometheus
def test_the_programs_accept_what_is_made_for_the_lab(tmp_path: Path) -> None:
    quick = [tmp_path / path.name for path in RULES]
    for path, made in zip(RULES, quick, strict=True):
        made.write_text(quickened(path.read_text(), 60))
    prometheus = tmp_path / "prometheus.yml"
    targets = {"ipmp": ["127.0.0.1:10088"]}
    prometheus.write_text(
        prometheus_config(targets, rules=quick, alertmanager="127.0.0.1:9093", interval="500ms")
    )
    alertmanager = tmp_path / "alertmanager.yml"
    alertmanager.write_text(alertmanager_config("http://127.0.0.1:10089/alerts", tmp_path / "t"))
    assert "SUCCESS" in run(need("promtool"), "check", "config", prometheus)
    assert "SUCCESS" in run(need("amtool"), "check-config", alertmanager)


def test_the_lab_and_the_example_agree_on_what_goes_to_the_remediator(tmp_path: Path) -> None:
    def hook(config: dict[str, Any]) -> dict[str, Any]:
        return next(r for r in config["receivers"] if r["name"] == "remediator")["webhook_configs"][
            0
        ]

    lab = yaml.safe_load(alertmanager_config("http://127.0.0.1:1/alerts", tmp_path / "token"))
    example = yaml.safe_load((ALERTS / "alertmanager.example.yml").read_text())
    ours, shown = lab["route"]["routes"][0], example["route"]["routes"][0]
    for key in ("matchers", "group_by", "continue"):
        assert ours[key] == shown[key]
    assert hook(lab).keys() == hook(example).keys()
    for key in ("send_resolved", "max_alerts"):
        assert hook(lab)[key] == hook(example)[key]


def test_shipped_files_are_found_by_their_name() -> None:
    assert shipped("alerts/ipmp.rules.yml") in RULES
    assert shipped("alerts/nothing.yml") is None
