"""A wheel that is installed into a fresh environment has everything that docs/install.md uses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/install.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SCRIPTS = sorted(PROJECT["project"]["scripts"])
SHARED = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]

pytestmark = pytest.mark.slow


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell would on a host: nothing of this environment's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(command, capture_output=True, text=True, env=kept, cwd="/", timeout=90)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; what the wheel needs is taken from this one."""
    directory = tmp_path_factory.mktemp("install")
    sources = directory / "sources"
    listed = ("LICENSE", "README.md", "pyproject.toml", *SHARED)
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    for name in listed:
        target = sources / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    for name in packages:
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    wheels = directory / "wheels"
    built = run(
        *(*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation"),
        *("-w", wheels, sources),
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = wheels.glob("ipmp-*.whl")
    environment = directory / "venv"
    assert run(sys.executable, "-m", "venv", environment).returncode == 0
    done = run(environment / "bin/pip", "install", "--no-deps", "--no-index", wheel)
    assert done.returncode == 0, done.stderr
    (packages_of_it,) = environment.glob("lib/python*/site-packages")
    (packages_of_it / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment


@pytest.mark.parametrize("package", ["ipmp", "ipmp_exporter", "ipmp_fleetlock", "ipmp_remediator"])
def test_it_is_the_wheel_that_runs(installed: Path, package: str) -> None:
    where = run(installed / "bin/python", "-c", f"import {package}; print({package}.__file__)")
    assert Path(where.stdout.strip()).is_relative_to(installed), where.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_program_starts(installed: Path, script: str) -> None:
    done = run(installed / "bin" / script, "--version")
    if script in ("if_mpadm", "ipmpstat"):  # Solaris' commands know neither option
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.lower().startswith(f"usage: {script} ")
    else:
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[:2] == [script, version("ipmp")]
        usage = run(installed / "bin" / script, "--help")
        assert usage.returncode == 0
        assert usage.stdout.startswith(f"usage: {script} ")


def test_everything_that_the_page_takes_from_the_environment_is_there(installed: Path) -> None:
    named = set(re.findall(r"/opt/ipmp/((?:bin|lib|share)/[\w./*-]*[\w*])", PAGE))
    assert {"bin/pip", "lib/systemd/system/mpathd.service"} <= named
    for path in sorted(named):
        assert list(installed.glob(path)), f"the page names /opt/ipmp/{path}"


def test_every_unit_is_told_of() -> None:
    units = {path.name for path in ROOT.glob("*/systemd/*.service")}
    assert set(re.findall(r"\w+\.service", PAGE)) == units


def test_the_configurations_of_the_page_are_valid(installed: Path, tmp_path: Path) -> None:
    texts = re.findall(r"> /etc/ipmp/ipmp\.toml <<EOF\n(.*?)EOF", PAGE, flags=re.DOTALL)
    assert len(texts) == 2
    for text in texts:
        file = tmp_path / "ipmp.toml"
        file.write_text(re.sub(r"^ +", "", text, flags=re.MULTILINE))
        done = run(installed / "bin/mpathd", "--check", "--config", file)
        assert done.returncode == 0, done.stderr
