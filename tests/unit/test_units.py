"""The systemd units are correct and confined, and start our programs with options they have."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from ipmp.cli import mpathd
from ipmp_exporter import flags as exporter
from ipmp_fleetlock import main as fleetlock
from ipmp_remediator import main as remediator
from ipmp_remediator.route import main as route
from tests.support.tools import need

ROOT = Path(__file__).parents[2]
UNITS = sorted(ROOT.glob("*/systemd/*.service"))
CONFS = sorted(ROOT.glob("*/systemd/*.conf"))
#: What each unit starts, and the parser of what follows.
COMMANDS = {
    "mpathd": (["mpathd"], mpathd._parser),
    "ipmp_exporter": (["ipmp_exporter"], exporter.parser),
    "ipmp_fleetlock": (["ipmp_fleetlock"], fleetlock._parser),
    "ipmp_remediator": (["ipmp_remediator"], remediator._parser),
    "ipmp_remediator_route": (["ipmp_remediator", "route"], route._parser),
}
#: The most that `systemd-analyze security` may say, on its scale from 0 (safe) to 10.
EXPOSURE = {name: 3.5 if name == "mpathd" else 2.0 for name in COMMANDS}

every_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
TMPFILES = [conf for conf in CONFS if conf.name.endswith(".tmpfiles.conf")]
every_conf = pytest.mark.parametrize("conf", CONFS, ids=lambda path: path.name)


def service(unit: Path) -> dict[str, str]:
    """The keys of [Service]; of one that is there twice, both values in lines."""
    keys: dict[str, str] = {}
    section = unit.read_text().partition("[Service]\n")[2].partition("\n[")[0]
    for line in section.splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            keys[key] = f"{keys[key]}\n{value}" if key in keys else value
    return keys


def waits_for(unit: Path) -> str:
    """The file without which the unit is not started."""
    found = re.findall(r"^ConditionPathExists=(.*)$", unit.read_text(), flags=re.MULTILINE)
    return "".join(found)


@pytest.mark.tools
@every_unit
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
@every_unit
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


@every_unit
def test_it_starts_our_program_with_options_that_it_has(unit: Path) -> None:
    command, parser = COMMANDS[unit.stem]
    words = shlex.split(service(unit)["ExecStart"])
    assert words[: len(command)] == [f"/opt/ipmp/bin/{command[0]}", *command[1:]]
    arguments = [word for word in words[len(command) :] if word != "$ARGS"]
    named = vars(parser().parse_args(arguments)).get("config_file")
    assert named is None or waits_for(unit) == str(named)
    keys = service(unit)
    for option, key in (("state_dir", "StateDirectory"), ("run_dir", "RuntimeDirectory")):
        if key in keys:
            base = {"StateDirectory": "/var/lib", "RuntimeDirectory": "/run"}[key]
            used = str(vars(parser().parse_args(arguments))[option])
            assert f"{base}/{keys[key]}".startswith(used), "it may write where it will"


def shared_data() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shared: dict[str, str] = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    return shared


@every_unit
def test_it_is_installed_with_the_package(unit: Path) -> None:
    assert shared_data()[str(unit.relative_to(ROOT))] == f"lib/systemd/system/{unit.name}"


@every_conf
def test_what_makes_users_and_files_is_installed_with_the_package(conf: Path) -> None:
    name, kind, _ = conf.name.rsplit(".", 2)
    assert shared_data()[str(conf.relative_to(ROOT))] == f"lib/{kind}.d/{name}.conf"


def make_users(root: Path) -> None:
    """Make all users in a directory that stands for a machine."""
    (root / "etc").mkdir()
    confs = [conf for conf in CONFS if conf.name.endswith(".sysusers.conf")]
    subprocess.run(
        (need("systemd-sysusers"), f"--root={root}", *confs), check=True, capture_output=True
    )


@pytest.mark.tools
@pytest.mark.parametrize("conf", TMPFILES, ids=lambda path: path.name)
def test_configuration_with_secrets_is_for_the_one_that_needs_it(
    conf: Path, tmp_path: Path
) -> None:
    make_users(tmp_path)
    readers = {waits_for(unit): service(unit).get("User") for unit in UNITS}
    rows = [line.split() for line in conf.read_text().splitlines() if line.startswith("z ")]
    assert rows
    (tmp_path / "etc/ipmp").mkdir()
    for _, path, mode, owner, group, _ in rows:
        assert (mode, owner, group) == ("0640", "root", readers[path])
        assert f"\n{group}:" in (tmp_path / "etc/group").read_text()
        (tmp_path / path[1:]).write_text("")
    if os.geteuid() != 0:
        return  # nobody else may give files away
    done = subprocess.run(
        (need("systemd-tmpfiles"), "--create", f"--root={tmp_path}", conf),
        capture_output=True,
        text=True,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    for _, path, mode, *_ in rows:
        assert (tmp_path / path[1:]).stat().st_mode & 0o7777 == int(mode, 8)


@pytest.mark.tools
@every_unit
def test_its_user_and_groups_are_made(unit: Path, tmp_path: Path) -> None:
    make_users(tmp_path)
    users = {line.split(":")[0] for line in (tmp_path / "etc/passwd").read_text().splitlines()}
    members = {
        name: set(rest.rpartition(":")[2].split(","))
        for name, _, rest in (
            line.partition(":") for line in (tmp_path / "etc/group").read_text().splitlines()
        )
    }
    keys = service(unit)
    if "User" in keys:
        user = keys["User"]
        assert user in users
        for group in {*keys.get("SupplementaryGroups", "").split(), keys.get("Group", user)}:
            assert group == user or user in members[group]
    else:
        assert unit.stem == "mpathd", "only the daemon is root"


@every_unit
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
