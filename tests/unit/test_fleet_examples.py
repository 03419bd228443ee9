"""The examples of Prometheus and Alertmanager for a fleet: accepted, and all of one mind."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipmp_fleetlock import main as fleetlock
from ipmp_remediator.route import main as route
from ipmp_remediator.route.targets import FileTargets
from tests.support.alerts import ALERTS, rules
from tests.support.tools import need

PROMETHEUS = yaml.safe_load((ALERTS / "prometheus-fleet.example.yml").read_text())
ALERTMANAGER = ALERTS / "alertmanager-fleet.example.yml"
JOBS = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def targets(job: str) -> list[str]:
    (sd,) = JOBS[job]["file_sd_configs"]
    (file,) = sd["files"]
    groups = yaml.safe_load((ALERTS / file).read_text())
    return [target for group in groups for target in group["targets"]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The example as it is where it is used: with its rules, targets and certificates."""
    for path in (*ALERTS.glob("*.rules.yml"), ALERTS / "prometheus-fleet.example.yml"):
        shutil.copy(path, tmp_path)
    shutil.copytree(ALERTS / "targets", tmp_path / "targets")
    for name in re.findall(
        r"_file: (\S+)", (tmp_path / "prometheus-fleet.example.yml").read_text()
    ):
        (tmp_path / name).write_text("")
    return tmp_path / "prometheus-fleet.example.yml"


@pytest.mark.prometheus
def test_promtool_accepts_the_example_of_a_fleet(config: Path) -> None:
    answer = run(need("promtool"), "check", "config", config)
    assert "FAILED" not in answer
    checked = re.findall(r"^Checking (\S+)", answer, flags=re.MULTILINE)
    assert [Path(path).name for path in checked] == [config.name, *PROMETHEUS["rule_files"]]


@pytest.mark.prometheus
@pytest.mark.parametrize("job", JOBS)
def test_promtool_finds_the_targets(config: Path, job: str) -> None:
    found: list[dict[str, Any]] = []
    for seconds in (1, 4, 30):  # it always waits so long, and a busy machine may need it
        limit = f"--timeout={seconds}s"
        answer = run(need("promtool"), "check", "service-discovery", limit, config, job)
        found = json.loads(answer[answer.index("[") :]) if "[" in answer else []
        if found:
            break
    assert sorted(row["labels"]["instance"] for row in found) == sorted(targets(job))
    assert {row["labels"]["job"] for row in found} == {job}


def test_the_jobs_are_those_that_the_rules_ask_for() -> None:
    asked = {n for rule in rules() for n in re.findall(r'job="(\w+)"', rule["expr"])}
    assert asked <= set(JOBS)


def test_the_dispatcher_finds_the_host_of_every_alert() -> None:
    known = FileTargets(ALERTS / "targets/remediators.yml", "instance", "/alerts")
    for instance in targets("ipmp"):
        host = instance.partition(":")[0]
        assert known.url(host) == f"https://{host}:10089/alerts"
    assert len(known) == len(targets("ipmp")) == len(targets("node"))


@pytest.mark.parametrize(
    ("job", "module"), [("ipmp_fleetlock", fleetlock), ("ipmp_remediator_route", route)]
)
def test_ports_are_those_that_the_programs_listen_on(job: str, module: Any) -> None:
    port = module._DEFAULT_ADDRESS.port
    assert {target.rpartition(":")[2] for target in targets(job)} == {str(port)}
    if module is route:
        assert f":{port}/alerts" in ALERTMANAGER.read_text()


@pytest.mark.prometheus
def test_amtool_accepts_the_example_of_a_fleet() -> None:
    assert "SUCCESS" in run(need("amtool"), "check-config", ALERTMANAGER)


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (("alertname=IpmpInterfaceFlapping", "remediation=drain"), "dispatcher,people"),
        (("alertname=IpmpGroupFailed", "severity=critical"), "people"),
        (("alertname=IpmpWatchdog", "severity=info"), "dispatcher"),
    ],
)
def test_drains_go_to_the_dispatcher(labels: tuple[str, ...], receivers: str) -> None:
    file = f"--config.file={ALERTMANAGER}"
    assert run(need("amtool"), "config", "routes", "test", file, *labels).strip() == receivers


def test_both_examples_of_alertmanager_differ_in_the_receiver_only() -> None:
    one = yaml.safe_load((ALERTS / "alertmanager.example.yml").read_text())
    many = yaml.safe_load(ALERTMANAGER.read_text())
    told = json.dumps([many["route"], many["inhibit_rules"]])
    assert json.loads(told.replace("dispatcher", "remediator")) == [
        one["route"],
        one["inhibit_rules"],
    ]
    (hook,) = many["receivers"][1]["webhook_configs"]
    (model,) = one["receivers"][1]["webhook_configs"]
    for key in ("send_resolved", "max_alerts"):
        assert hook[key] == model[key]
    assert hook["http_config"]["follow_redirects"] is model["http_config"]["follow_redirects"]
