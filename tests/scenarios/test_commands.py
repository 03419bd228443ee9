"""The `ipmp` command against the real daemon."""

from __future__ import annotations

import json

import pytest

from ipmp.client import ProblemError
from ipmp.lab import Lab
from ipmp.model import OperationRequest
from tests.scenarios.conftest import StartHost
from tests.support.views import BOTH, IPV4, PLAIN, on
from tests.support.wait import eventually


def test_check_reports_and_fixes_the_sysctls(lab: Lab, start_host: StartHost) -> None:
    host = start_host('[groups.other]\ninterfaces = ["ni8", "ni9"]\n')
    host.configure(PLAIN)
    wrong = host.ipmp("check", "--config", str(host.config))
    assert wrong.returncode == 1
    assert "wrong  net.ipv4.conf.ni1.arp_announce is 0 and must be 2" in wrong.stdout
    fixed = host.ipmp("check", "--config", str(host.config), "--fix")
    assert fixed.returncode == 0
    assert "fixed  net.ipv4.conf.ni1.arp_announce was 0, is now 2" in fixed.stdout
    assert host.ipmp("check", "--config", str(host.config)).returncode == 0


def test_history_explain_and_status_tell_the_same(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    assert host.if_mpadm("-d", "ni0", "--reason", "new switch").returncode == 0
    on(lab, "ni1", *BOTH)
    assert "new switch" in host.ipmp("explain", "ni0").stdout
    assert "is on ni1; its home is ni0" in host.ipmp("explain", IPV4).stdout
    assert "ni0: offline, taken offline by" in host.ipmp("status").stdout
    assert json.loads(host.ipmp("status", "--json").stdout)["groups"][0]["state"] == "degraded"
    history = host.ipmp("history", "--kind", "offline").stdout
    assert history.count("\n") == 1
    assert "ni0 was taken offline by if_mpadm by" in history
    unknown = host.ipmp("explain", "nowhere")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("ipmp: ")


def test_why_an_address_is_away_is_told_also_after_the_daemon_was_killed(
    lab: Lab, start_host: StartHost
) -> None:
    host = start_host(PLAIN)
    assert host.if_mpadm("-d", "ni0", "--reason", "new switch").returncode == 0
    on(lab, "ni1", *BOTH)
    host.sentences()  # the history has everything
    host.kill9()
    host.start()
    present, *past = host.ipmp("explain", IPV4).stdout.splitlines()
    assert present.startswith(f"{IPV4}/24 of group ipmp0 is on ni1; its home is ni0; ")
    offline, moved = (line.partition("  ")[2] for line in past[-2:])
    assert offline.startswith("ni0 was taken offline by if_mpadm by ")
    assert offline.endswith(" (new switch)")
    assert moved == f"{IPV4}/24 moved from ni0 to ni1 (requested)"


def test_a_hold_keeps_automation_out_and_people_in(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    assert host.ipmp("hold", "ni0", "--reason", "under test").returncode == 0
    assert host.status().interface("ni0").hold.reason == "under test"
    with pytest.raises(ProblemError, match="is held by"):
        host.client.operate("offline", "ni0", OperationRequest(actor="remediator"))
    on(lab, "ni0", *BOTH)
    assert host.if_mpadm("-d", "ni0").returncode == 0
    assert host.ipmp("release", "ni0").returncode == 0
    assert host.status().interface("ni0").hold is None


def test_what_is_no_member_is_said_to_be_none(lab: Lab, start_host: StartHost) -> None:
    """The IPMP interface itself, one outside all groups, and one that does not exist."""
    host = start_host(PLAIN)
    not_in_group = "not a physical interface or not in an IPMP group"
    for interface in ("ipmp0", "lo"):
        refused = host.if_mpadm("-d", interface)
        text = f"if_mpadm: fatal: cannot offline {interface}: {not_in_group}\n"
        assert (refused.returncode, refused.stderr) == (1, text)
        refused = host.if_mpadm("-r", interface)
        text = f"if_mpadm: fatal: interface {interface} is not offline\n"
        assert (refused.returncode, refused.stderr) == (1, text)
    refused = host.if_mpadm("-d", "ni9")
    text = "if_mpadm: fatal: cannot get interface flags on ni9: No such device or address\n"
    assert (refused.returncode, refused.stderr) == (1, text)


def test_dry_run_changes_nothing(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    rehearsed = host.if_mpadm("-d", "ni0", "--dry-run")
    assert rehearsed.returncode == 0
    assert rehearsed.stdout.startswith("ni0 would go offline; 192.168.1.5/24, fd00:1::5/64")
    assert host.status().interface("ni0").state == "ok"
    on(lab, "ni0", *BOTH)


@pytest.mark.checklist("7.1", 29)
def test_a_pause_ends_by_itself_also_after_a_restart(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    assert host.ipmp("pause", "--reason", "upgrade", "--for", "2h").returncode == 0
    told = host.ipmp("status").stdout
    assert "Remediation is paused by" in told
    assert " until 2" in told
    assert host.ipmp("pause", "--reason", "upgrade", "--for", "1s").returncode == 0
    host.restart()
    eventually(lambda: host.status().daemon.paused is None)
    assert "the end that" in host.ipmp("history", "--kind", "resume").stdout
    assert host.ipmp("pause", "--reason", "upgrade", "--for", "soon").returncode == 2
