"""The systemd units are correct and confined, and start our programs with options they have."""

from __future__ import annotations

import json
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from ipmp.cli import mpathd
from ipmp_exporter import flags as exporter
from ipmp_remediator import main as remediator
from tests.support.tools import need

ROOT = Path(__file__).parents[2]
UNITS = sorted(ROOT.glob("*/systemd/*.service"))
PARSERS = {
    "mpathd": mpathd._parser,
    "ipmp_exporter": exporter.parser,
    "ipmp_remediator": remediator._parser,
}
#: The most that `systemd-analyze security` may say, on its scale from 0 (safe) to 10.
EXPOSURE = {"mpathd": 3.5, "ipmp_exporter": 2.0, "ipmp_remediator": 2.0}

pytestmark = pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)


def service(unit: Path) -> dict[str, str]:
    """The keys of [Service]; of one that is there twice, both values in lines."""
    keys: dict[str, str] = {}
    section = unit.read_text().partition("[Service]\n")[2].partition("\n[")[0]
    for line in section.splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            keys[key] = f"{keys[key]}\n{value}" if key in keys else value
    return keys


@pytest.mark.tools
def test_it_is_confined(unit: Path) -> None:
    done = subprocess.run(
        (need("systemd-analyze"), "security", "--offline=yes", "--json=short", unit),
        capture_output=True,
        text=True,
        check=True,
    )
    worst = sorted(json.loads(done.stdout), key=lambda row: float(row["exposure"] or 0))[-5:]
    summary = subprocess.run(
        (
            *(need("systemd-analyze"), "security", "--offline=yes", unit),
            f"--threshold={EXPOSURE[unit.stem] * 10:.0f}",
        ),
        capture_output=True,
        text=True,
    )
    assert summary.returncode == 0, worst


@pytest.mark.tools
def test_systemd_understands_every_line(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name
    command = service(unit)["ExecStart"]
    copy.write_text(unit.read_text().replace(command, "/bin/true"))
    done = subprocess.run(
        (need("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", copy),
        capture_output=True,
        text=True,
    )
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (ours, done.returncode) == ([], 0), done.stderr


def test_it_starts_our_program_with_options_that_it_has(unit: Path) -> None:
    program, *arguments = shlex.split(service(unit)["ExecStart"])
    assert program == f"/opt/ipmp/bin/{unit.stem}"
    PARSERS[unit.stem]().parse_args([word for word in arguments if word != "$ARGS"])


def test_it_is_installed_with_the_package(unit: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared[str(unit.relative_to(ROOT))] == f"lib/systemd/system/{unit.name}"


@pytest.mark.tools
def test_its_user_and_groups_are_made(unit: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    conf = ROOT / "core/systemd/ipmp.sysusers.conf"
    subprocess.run(
        (need("systemd-sysusers"), f"--root={tmp_path}", conf), check=True, capture_output=True
    )
    users = {line.split(":")[0] for line in (tmp_path / "etc/passwd").read_text().splitlines()}
    members = {
        name: set(rest.rpartition(":")[2].split(","))
        for name, _, rest in (
            line.partition(":") for line in (tmp_path / "etc/group").read_text().splitlines()
        )
    }
    keys = service(unit)
    if "User" in keys:
        assert keys["User"] in users
        for group in keys["SupplementaryGroups"].split():
            assert keys["User"] in members[group]
    else:
        assert unit.stem == "mpathd", "only the daemon is root"


def test_only_the_daemon_has_capabilities_and_they_are_few(unit: Path) -> None:
    keys = service(unit)
    allowed = keys["CapabilityBoundingSet"].split()
    if unit.stem == "mpathd":
        assert set(allowed) == {"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_CHOWN", "CAP_FOWNER"}
        assert keys["Type"] == "notify"
        assert int(keys["WatchdogSec"]) >= 10
        assert keys["RuntimeDirectoryPreserve"] == "yes", "intent outlives a restart"
    else:
        assert allowed == []
