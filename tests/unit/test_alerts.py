"""The shipped rules and examples: valid, tested, explained, and the same when made quick."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipmp.lab.rules import alertmanager_config, prometheus_config, quickened, shipped
from tests.support.tools import need

ALERTS = Path(__file__).resolve().parents[2] / "alerts"
RULES = ALERTS / "ipmp.rules.yml"
TESTS = sorted((ALERTS / "tests").glob("*.yml"))


def alert_rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


BY_NAME = {rule["alert"]: rule for rule in alert_rules()}


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.prometheus
def test_promtool_accepts_the_rules() -> None:
    assert "SUCCESS" in run(need("promtool"), "check", "rules", RULES)


@pytest.mark.prometheus
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent_as_told(path: Path) -> None:
    assert "SUCCESS" in run(need("promtool"), "test", "rules", path)


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
    ],
)
def test_the_example_sends_drains_to_the_remediator_and_everything_to_people(
    labels: dict[str, str], receivers: str
) -> None:
    example = f"--config.file={ALERTS / 'alertmanager.example.yml'}"
    pairs = [f"{name}={value}" for name, value in labels.items()]
    routed = run(need("amtool"), "config", "routes", "test", example, *pairs)
    assert routed.strip() == receivers


@pytest.mark.parametrize("name", BY_NAME)
def test_every_alert_follows_the_conventions(name: str) -> None:
    rule = BY_NAME[name]
    annotations = rule["annotations"]
    assert re.fullmatch(r"Ipmp([A-Z][a-z]+)+", name)
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert annotations["summary"].endswith(".")
    assert "{{" not in annotations["summary"], "a summary is the same for alerts grouped together"
    assert "{{ $labels.instance }}" in annotations["description"]


@pytest.mark.parametrize("name", BY_NAME)
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


@pytest.mark.parametrize("name", BY_NAME)
def test_every_alert_is_seen_to_fire_and_to_stay_silent(name: str) -> None:
    expectations = [
        bool(case.get("exp_alerts"))
        for path in TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test.get("alert_rule_test", ())
        if case["alertname"] == name
    ]
    assert set(expectations) == {True, False}


def test_only_alerts_about_one_interface_ask_for_a_drain() -> None:
    drains = [name for name, rule in BY_NAME.items() if rule["labels"].get("remediation")]
    assert sorted(drains) == ["IpmpInterfaceErrors", "IpmpInterfaceFlapping"]
    for name in drains:
        assert BY_NAME[name]["labels"]["remediation"] == "drain"
        assert BY_NAME[name]["keep_firing_for"], "its end brings the interface back"


def test_quickened_rules_differ_in_durations_only() -> None:
    quick = yaml.safe_load(quickened(RULES.read_text(), 60))["groups"]
    slow = yaml.safe_load(RULES.read_text())["groups"]
    for group, original in zip(quick, slow, strict=True):
        for rule, model in zip(group["rules"], original["rules"], strict=True):
            assert rule["expr"] == re.sub(r"\[(\d+)m\]", r"[\g<1>000ms]", model["expr"])
            changed = {key for key in model if rule[key] != model[key]} - {"expr"}
            assert changed <= {"for", "keep_firing_for"}
    flapping = next(r for r in quick[1]["rules"] if r["alert"] == "IpmpInterfaceFlapping")
    assert flapping["keep_firing_for"] == "5000ms"


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
    rules = tmp_path / "quick.rules.yml"
    rules.write_text(quickened(RULES.read_text(), 60))
    prometheus = tmp_path / "prometheus.yml"
    targets = {"ipmp": ["127.0.0.1:10088"]}
    prometheus.write_text(
        prometheus_config(targets, rules=[rules], alertmanager="127.0.0.1:9093", interval="500ms")
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
    assert shipped("alerts/ipmp.rules.yml") == RULES
    assert shipped("alerts/nothing.yml") is None
