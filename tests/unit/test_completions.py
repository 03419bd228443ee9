"""The shell completions: made from the parsers, and what real shells make of them."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.support.tools import need
from tools.build_completions import COMPLETIONS, FILES_MADE, tables

ROOT = COMPLETIONS.parent

#: What would be typed, the last word being completed -> some of what must and must not be offered.
TYPED = [
    (["ipmp", ""], {"history", "explain", "--run-dir"}, {"--follow"}),
    (["ipmp", "history", "--"], {"--follow", "--json", "--interface"}, {"--reason"}),
    (["ipmp", "--run-dir", "/x", "history", "--fo"], {"--follow"}, {"--json"}),
    (["ipmp", "history", "--interface", ""], {"ni0", "ni1"}, {"ipmp0", "--json"}),
    (["ipmp", "history", "--kind", "fail"], {"failover", "failback"}, {"offline"}),
    (["ipmp", "explain", ""], {"ipmp0", "ni0", "192.168.1.5"}, set()),
    (["ipmp", "watch", ""], {"ipmp0"}, {"ni0", "192.168.1.5"}),
    (["ipmp", "hold", "n"], {"ni0", "ni1"}, {"ipmp0"}),
    (["ipmp", "lab", ""], {"up", "down"}, {"history"}),
    (["if_mpadm", "-d", ""], {"ni0", "ni1"}, {"--reason"}),
    (["if_mpadm", "--"], {"--dry-run", "--reason", "--run-dir"}, {"-d"}),
    (["ipmpstat", "-"], {"-a", "-g", "-i", "-p", "-t", "--json"}, set()),
    (["mpathd", "--log.level", ""], {"debug", "info", "warn", "error"}, {"--check"}),
    (["ipmp_exporter", "--web."], {"--web.listen-address", "--web.telemetry-path"}, set()),
    (["ipmp_remediator", "--config"], {"--config.file"}, set()),
    (["ipmp_remediator", "r"], {"route"}, set()),
    (["ipmp_remediator", "route", "--c"], {"--check", "--config.file"}, {"--test-payload"}),
    (["ipmp_fleetlock", "--config"], {"--config.file"}, set()),
]

IPMPSTAT = """#!/bin/sh
case "$1" in
    -g) echo ipmp0 ;;
    -i) echo ni0; echo ni1 ;;
    -a) echo 192.168.1.5 ;;
esac
"""

BASH = """
source "$0"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
compopt() { :; }
_ipmp_complete
printf '%s\\n' "${COMPREPLY[@]}"
"""

# What the completion system does: it matches what is added with the word that is typed.
ZSH = """
file="$1"; shift
typeset -g words=("$@") CURRENT=$#
compadd() {
    shift
    for word in "$@"; do [[ $word == "${words[CURRENT]}"* ]] && print -r -- $word; done
}
_files() { :; }
_message() { :; }
complete_it() { source $file }
complete_it
"""


@pytest.mark.parametrize("name", FILES_MADE)
def test_it_is_up_to_date(name: str) -> None:
    made = FILES_MADE[name]()
    assert (COMPLETIONS / name).read_text() == made, "run: python tools/build_completions.py"


@pytest.mark.tools
@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("typed", "offered", "not_offered"), TYPED, ids=[" ".join(typed) for typed, *_ in TYPED]
)
def test_a_shell_offers(
    shell: str, typed: list[str], offered: set[str], not_offered: set[str], tmp_path: Path
) -> None:
    fake = tmp_path / "ipmpstat"
    fake.write_text(IPMPSTAT)
    fake.chmod(0o755)
    if shell == "bash":
        command = [need("bash"), "--norc", "-c", BASH, COMPLETIONS / "ipmp.bash", *typed]
    else:
        command = [need("zsh"), "-f", "-c", ZSH, "zsh", COMPLETIONS / "_ipmp", *typed]
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    found = set(done.stdout.split())
    assert done.stderr == ""
    assert offered <= found
    assert not found & not_offered


def test_every_program_is_completed_and_the_files_are_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    programs = set(project["project"]["scripts"])
    assert {name for name in tables() if " " not in name} == programs
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared["completions/ipmp.bash"] == "share/bash-completion/completions/ipmp"
    assert shared["completions/_ipmp"] == "share/zsh/site-functions/_ipmp"
