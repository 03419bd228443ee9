"""Signals, as in.mpathd takes them, and the lines that people look for in its log."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.scenarios.conftest import StartHost
from tests.support.lab import Host
from tests.support.views import BOTH, IPV4, IPV6, PLAIN, on
from tests.support.wait import eventually


def logged(host: Host, text: str, level: str = "") -> int:
    """How many lines of the log have this as their event."""
    quoted = f'msg="{text}"'
    lines = [line for line in host.log().splitlines() if quoted in line]
    assert all(f"level={level}" in line for line in lines if level), lines
    return len(lines)


def test_sighup_reads_the_file_again(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    host.configure(PLAIN + 'addresses = ["192.168.1.8/24"]\nmin_usable = 2\n')
    host.signal(signal.SIGHUP)
    eventually(lambda: host.status().daemon.config_generation == 2)
    eventually(lambda: "192.168.1.8/24" in [a.address for a in host.status().addresses])
    assert logged(host, "SIGHUP: reread config file", "info") == 1
    assert logged(host, f"configuration reloaded: {host.config}", "info") == 1
    warning = (
        "ipmp.toml: groups.ipmp0.min_usable: all 2 members must stay usable, so that none can be "
        "taken offline"
    )
    assert logged(host, warning, "warning") == 1


def test_sigusr1_logs_what_was_counted(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    assert host.if_mpadm("-d", "ni0").returncode == 0
    host.signal(signal.SIGUSR1)
    eventually(lambda: f"Addresses on ni1: {IPV4}/24, {IPV6}/64" in host.log())
    assert "Group ipmp0 is degraded: 1 of 2 IP interfaces are usable; failovers: " in host.log()
    assert 'msg="Probe stats on (inet ni1): probes sent ' in host.log()
    assert logged(host, "Addresses on ni0: none", "info") == 1
    assert "Operations: offline 1, online 0, failover 1, failback 0" in host.log()


def blocks(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a signal blocked (proc(5), SigBlk)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:"))
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_signals_during_the_start_are_obeyed_after_it(lab: Lab, tmp_path: Path) -> None:
    """They would end a process that has not yet said what to do with them."""
    host = Host(lab, tmp_path, PLAIN)
    with host.log_file.open("a") as log:
        process = lab.popen(HOST, host.command(), stdout=log, stderr=log)
    try:
        eventually(lambda: blocks(process.inner_pid, signal.SIGUSR1), 20, interval=0.001)
        for number in (signal.SIGUSR1, signal.SIGHUP):
            process.send_signal(number)
        eventually(lambda: "Group ipmp0 is ok: 2 of 2 IP interfaces" in host.log(), 20)
        eventually(lambda: logged(host, "SIGHUP: reread config file") == 1)
        assert not blocks(process.inner_pid, signal.SIGUSR1)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_well_and_leaves_everything(
    lab: Lab, start_host: StartHost, number: signal.Signals
) -> None:
    host = start_host(PLAIN)
    host.signal(number)
    assert host.process.wait(10) == 0
    assert "mpathd stopped (addresses stay where they are)" in host.log()
    on(lab, "ni0", *BOTH)


def test_solaris_lines_of_a_failure_and_a_repair(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    for nic in ("ni0", "ni1"):
        lab.fault("cable-pull", nic)
        eventually(lambda nic=nic: host.status().interface(nic).state == "failed")
    lab.repair("ni0")
    eventually(lambda: host.status().interface("ni0").state == "ok")
    for text, level in (
        ("The link has gone down on ni0", "error"),
        ("IP interface failure detected on ni0 of group ipmp0", "error"),
        ("IP interface failure detected on ni1 of group ipmp0", "error"),
        ("All IP interfaces in group ipmp0 are now unusable", "error"),
        ("IP interface repair detected on ni0 of group ipmp0", "info"),
        ("At least 1 IP interface (ni0) in group ipmp0 is now usable", "info"),
    ):
        assert logged(host, text, level) == 1, text


def test_taking_a_failed_interface_offline_is_no_repair(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    lab.fault("cable-pull", "ni0")
    eventually(lambda: host.status().interface("ni0").state == "failed")
    assert host.if_mpadm("-d", "ni0").returncode == 0
    assert host.status().interface("ni0").state == "offline"
    assert "repair detected" not in host.log()


def test_sighup_reads_etc_default_mpathd_too(lab: Lab, start_host: StartHost) -> None:
    lab.run(HOST, ("mount", "-t", "tmpfs", "none", "/etc/default"))  # only the lab sees it
    host = start_host(PLAIN)
    lab.run(HOST, ("sh", "-c", "echo FAILBACK=no > /etc/default/mpathd"))
    host.signal(signal.SIGHUP)
    eventually(lambda: host.status().group("ipmp0").failback is False)
    lab.fault("cable-pull", "ni0")
    on(lab, "ni1", *BOTH)
    lab.repair("ni0")
    ni0 = eventually(lambda: (i := host.status().interface("ni0")).state == "ok" and i)
    assert ni0.inactive
    on(lab, "ni1", *BOTH)
    lab.run(HOST, ("sh", "-c", "echo FAILBACK=perhaps > /etc/default/mpathd"))
    host.signal(signal.SIGHUP)
    on(lab, "ni0", *BOTH)
    assert logged(host, "/etc/default/mpathd: Invalid value for FAILBACK perhaps", "warning") == 1
