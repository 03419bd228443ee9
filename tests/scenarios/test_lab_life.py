"""How a lab begins and ends: the command, the refusals, and that nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ipmp.lab import Lab, LabError
from ipmp.lab.namespaces import children, refusal
from tests.support.lab import program
from tests.support.wait import eventually

Ipmp = Callable[..., subprocess.CompletedProcess[str]]

OWNER = """
import sys, time
from ipmp.lab import Lab
with Lab(sys.argv[1]) as lab:
    inside = lab.popen("host", ["sleep", "600"])
    print(lab.keeper, inside.inner_pid, inside.pid, flush=True)
    time.sleep(600)  # until it is killed
"""


@pytest.fixture
def ipmp(namespaces: None, tmp_path: Path) -> Iterator[Ipmp]:
    """The `ipmp` command with a lab directory of its own, whose lab ends with the test."""
    directory = tmp_path / "lab"
    environment = os.environ | {"IPMP_LAB_DIR": str(directory)}

    def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        command = (program("ipmp"), *arguments)
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, **options
        )

    yield run
    with contextlib.suppress(LabError):
        Lab.attach(directory).stop()


def machine() -> tuple[object, ...]:
    """Return what a lab must not change: interfaces, named namespaces and mounts of the machine."""
    links = json.loads(subprocess.check_output(("ip", "-j", "link")))
    named = Path("/run/netns")
    return (
        sorted(link["ifname"] for link in links),
        sorted(os.listdir(named)) if named.is_dir() else [],
        sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
    )


def gone(pid: int) -> bool:
    """Tell whether `pid` has ended (a zombie that nobody has waited for yet has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def without_user_namespaces(script: str) -> tuple[str, ...]:
    """Return a command that runs a shell script as a root who may not make user namespaces."""
    forbid = "echo 0 > /proc/sys/user/max_user_namespaces && "
    return ("unshare", "--user", "--map-root-user", "sh", "-c", forbid + script)


# ---------------------------------------------------------------------- nothing is left behind


@pytest.mark.usefixtures("namespaces")
def test_the_end_of_the_block_ends_everything(tmp_path: Path) -> None:
    before = machine()
    with Lab(tmp_path / "lab") as lab:
        sleeper = lab.popen("far", ("sleep", "600"))
        pids = (lab.keeper, sleeper.inner_pid)
        assert machine() == before
    assert sleeper.wait(5) == -signal.SIGKILL
    assert all(gone(pid) for pid in pids)
    assert machine() == before


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_owner_is_killed(tmp_path: Path, sign: signal.Signals) -> None:
    before = machine()
    with subprocess.Popen(
        (sys.executable, "-c", OWNER, str(tmp_path / "lab")),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        pids += children(owner.pid)
        assert not any(gone(pid) for pid in pids)
        owner.send_signal(sign)
        owner.wait(10)
    eventually(lambda: all(gone(pid) for pid in pids))
    assert machine() == before
    with pytest.raises(LabError, match="no lab is up"):
        Lab.attach(tmp_path / "lab")


@pytest.mark.usefixtures("namespaces")
def test_nothing_is_left_when_the_keeper_is_killed(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab") as lab:
        sleeper = lab.popen("far", ("sleep", "600"))
        assert sleeper.inner_pid
        os.kill(lab.keeper, signal.SIGKILL)
        assert sleeper.wait(5) == -signal.SIGKILL
    with Lab(tmp_path / "lab") as again:  # the directory can be used again
        assert again.run("host", ("true",)).returncode == 0


ORDINARY_USER = """
import os, tempfile
from ipmp.lab import Lab
assert os.geteuid() != 0
with tempfile.TemporaryDirectory() as directory, Lab(directory) as lab:
    stream = lab.meter("peer", "192.168.1.5", count=100)
    lab.fault("loss", "ni0", 100)
    lab.fault("silent", "ni1")
    lab.repair()
    print(lab.run("host", ("id", "-u")).stdout.strip(), stream.result().sent)
"""


def ordinary_python() -> tuple[str, ...]:
    """Return a command that runs Python with our modules as a user without any right."""
    if os.geteuid() != 0:
        return (sys.executable,)
    become = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
    # A root's own Python may lie where nobody else can read; the system's will do then.
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        command = (*become, "sh", "-c", 'exec "$0" "$@"', python)
        if subprocess.run((*command, "-c", ""), capture_output=True, check=False).returncode == 0:
            return command
    pytest.skip("an ordinary user has no Python of our version here")


@pytest.mark.usefixtures("namespaces")
def test_root_needs_no_user_namespace(tmp_path: Path) -> None:
    script = (
        "import sys; from ipmp.lab import Lab\n"
        "with Lab(sys.argv[1]) as lab:\n"
        "    print(lab.enter('host')[1:], lab.meter('far', 'fd00:1::5', count=100).result().lost)"
    )
    done = subprocess.run(
        (*without_user_namespaces('exec "$0" "$@"'), sys.executable, "-c", script, str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith(" 0\n"), done.stderr
    assert "--mount" in done.stdout
    assert "--user" not in done.stdout


def test_the_lab_of_a_user_without_rights_is_the_same() -> None:
    done = subprocess.run(
        (*ordinary_python(), "-c", ORDINARY_USER),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("0 100\n", "")


# ---------------------------------------------------------------------- the command


def test_up_exec_fault_status_down(ipmp: Ipmp) -> None:
    up = ipmp("lab", "up", "--nics", "3")
    assert up.returncode == 0, up.stderr
    assert "ni2 on sw2: no fault" in up.stdout

    run = ipmp("lab", "exec", "peer", "--", "sh", "-c", "cat; exit 7", input="hello")
    assert (run.returncode, run.stdout) == (7, "hello")
    assert ipmp("lab", "exec", "host", "--", "no-such-program").returncode == 127

    for fault in (("cable-pull", "ni0"), ("silent", "ni1"), ("loss", "ni2", "30")):
        assert ipmp("lab", "fault", *fault).returncode == 0
        assert f"{fault[1]} on " in ipmp("lab", "status").stdout
        assert f": {fault[0]}" in ipmp("lab", "status").stdout
    assert ipmp("lab", "fault", "repair", "ni0").returncode == 0
    assert ipmp("lab", "status").stdout.count("no fault") == 1
    assert ipmp("lab", "fault", "repair").returncode == 0
    assert ipmp("lab", "status").stdout.count("no fault") == 3

    assert ipmp("lab", "down").returncode == 0
    assert ipmp("lab", "down").returncode == 1


def test_a_lab_that_was_set_up_stays_until_it_is_taken_down(ipmp: Ipmp, tmp_path: Path) -> None:
    before = machine()
    assert ipmp("lab", "up").returncode == 0
    lab = Lab.attach(tmp_path / "lab")
    sleeper = lab.popen("host", ("sleep", "600"))
    pids = (lab.keeper, sleeper.inner_pid)
    assert machine() == before
    assert ipmp("lab", "down").returncode == 0
    assert sleeper.wait(5) == -signal.SIGKILL
    assert all(gone(pid) for pid in pids)
    assert machine() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("down",), "no lab is up in"),
        (("status",), "start one with: ipmp lab up"),
        (("exec", "host", "--", "true"), "no lab is up in"),
        (("fault", "silent", "ni0"), "no lab is up in"),
    ],
)
def test_without_a_lab_one_sentence_says_so(
    ipmp: Ipmp, arguments: tuple[str, ...], sentence: str
) -> None:
    done = ipmp("lab", *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_a_user_can_get_wrong_is_one_sentence(ipmp: Ipmp) -> None:
    assert ipmp("lab", "up").returncode == 0
    for arguments, sentence in (
        (("up",), "a lab is up in"),
        (("exec", "host"), "say what to run"),
        (("fault", "silent", "ni7"), "the host has no NIC 'ni7'; its NICs are ni0, ni1"),
        (("fault", "loss", "ni0", "101"), "a whole number of percent from 1 to 100"),
    ):
        done = ipmp("lab", *arguments)
        assert done.returncode == 1
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        ("kernel/unprivileged_userns_clone", "1", "a container needs --privileged"),
    ],
)
def test_the_refusal_names_the_sysctl(tmp_path: Path, name: str, value: str, advice: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text(value + "\n")
    assert advice in refusal(tmp_path)


@pytest.mark.usefixtures("namespaces")
def test_where_namespaces_are_forbidden_up_says_what_to_do(tmp_path: Path) -> None:
    up = f"exec setpriv --bounding-set=-sys_admin {program('ipmp')} lab up"
    done = subprocess.run(
        without_user_namespaces(up),
        env=os.environ | {"IPMP_LAB_DIR": str(tmp_path / "lab")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "ipmp lab: unprivileged user namespaces are switched off here; run as root, or allow them:"
        " sysctl -w user.max_user_namespaces=15000\n"
    )
