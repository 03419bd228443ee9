"""What the metrics say about a snapshot, and that they say it the way the Prometheus world does."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ipmp.model import (
    AddressStatus,
    Family,
    Fight,
    Histogram,
    InterfaceState,
    MoveReason,
    ProblemCode,
    Status,
)
from ipmp_exporter.collectors import SUBJECTS
from ipmp_exporter.collectors.groups import GROUPS
from ipmp_exporter.daemon import Reading
from ipmp_exporter.exposition import ScrapeCollector, exposition
from ipmp_exporter.negotiation import TEXT_0_0_4, Format, choose_format
from ipmp_exporter.rendering import render_openmetrics, render_text
from ipmp_exporter.selection import Selection
from tests.support import exporter_statuses as statuses
from tests.support.tools import need

GOLDEN = Path(__file__).parents[2] / "golden"
OPENMETRICS = choose_format("application/openmetrics-text;version=1.0.0")

STATES: dict[str, Status | None] = {
    "healthy": statuses.healthy(),
    "offline": statuses.offline(),
    "failed": statuses.failed(),
    "no_groups": statuses.without_groups(),
    "daemon_away": None,
}

NI2 = {"group": "storage", "interface": "ni2", "family": "ipv4"}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def reading(status: Status | None) -> Reading:
    return Reading(status, 0.001, "" if status else "mpathd is not running")


def families(status: Status | None) -> Iterator[Metric]:
    text = exposition(reading(status), OPENMETRICS).decode()
    return text_string_to_metric_families(text)


def samples(status: Status | None) -> Samples:
    found: Samples = {}
    for family in families(status):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, f"{key} twice"
            assert sample.timestamp is None
            found[key] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def golden_text(status: Status | None, openmetrics: bool) -> str:
    registry = CollectorRegistry()
    registry.register(ScrapeCollector(reading(status), clock=lambda: 0.0))
    render = render_openmetrics if openmetrics else render_text
    text = render(registry.collect()).decode()
    return re.sub(r"(?<=ipmp_build_info){.*}", '{python="3",version="0"}', text)


@pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.checklist("7.2", 10, 20)
def test_exposition_is_the_golden_one(state: str, openmetrics: bool) -> None:
    """UPDATE_GOLDEN=1 writes the files anew; the difference is then for people to judge."""
    suffix = "_openmetrics" if openmetrics else ""
    path = GOLDEN / f"exporter_{state}{suffix}.txt"
    text = golden_text(STATES[state], openmetrics)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.checklist("7.2", 24, 44)
def test_strict_parser_accepts_it(state: str) -> None:
    names = [family.name for family in families(STATES[state])]
    assert "ipmp_up" in names
    assert len(names) == len(set(names))


@pytest.mark.prometheus
@pytest.mark.parametrize("state", STATES)
@pytest.mark.checklist("7.2", 3, 5, 6, 10, 11, 43)
def test_promtool_finds_nothing_to_say(state: str) -> None:
    done = subprocess.run(
        [need("promtool"), "check", "metrics"],
        input=exposition(reading(STATES[state]), TEXT_0_0_4),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("state", [name for name, status in STATES.items() if status])
@pytest.mark.parametrize(
    "name",
    [
        "ipmp_group_state",
        "ipmp_interface_state",
        "ipmp_interface_link_state",
        "ipmp_interface_probe_state",
    ],
)
@pytest.mark.checklist("7.2", 9)
def test_exactly_one_state_of_an_enum_is_true(state: str, name: str) -> None:
    status = STATES[state]
    assert status is not None
    true: dict[frozenset[tuple[str, str]], float] = {}
    for (sample, labels), number in samples(status).items():
        if sample == name:
            which = frozenset(pair for pair in labels if pair[0] != name)
            true[which] = true.get(which, 0) + number
    objects = status.groups if name == "ipmp_group_state" else status.interfaces
    assert len(true) == len(objects)
    assert set(true.values()) <= {1.0}


def test_drain_is_told_completely() -> None:
    found = samples(statuses.offline())
    ni0 = {"group": "ipmp0", "interface": "ni0"}
    assert value(found, "ipmp_interface_state", **ni0, ipmp_interface_state="offline") == 1
    assert value(found, "ipmp_group_state", group="ipmp0", ipmp_group_state="degraded") == 1
    assert value(found, "ipmp_group_usable_interfaces", group="ipmp0") == 1
    assert value(found, "ipmp_failovers_total", group="ipmp0", reason="offline") == 1
    assert value(found, "ipmp_maintenance_mode") == 1
    assert value(found, "ipmp_interface_flags", **ni0, ipmp_interface_flags="held") == 1
    for address in ("192.168.1.5/24", "fd00:1::5/64"):
        labels = {"group": "ipmp0", "address": address}
        assert value(found, "ipmp_address_placement", **labels, interface="ni0") == 0
        assert value(found, "ipmp_address_placement", **labels, interface="ni1") == 1
        assert value(found, "ipmp_address_on_home_interface", **labels) == 0


@pytest.mark.parametrize(
    ("actor", "reason"),
    [
        ("root (uid 0) via if_mpadm", "operator"),
        ("remediator", "remediation"),
        ("remediator (uid 990)", "remediation"),
        ("", "operator"),
    ],
)
def test_offline_reason_follows_the_actor(actor: str, reason: str) -> None:
    found = samples(statuses.offline(actor))
    true = {
        (dict(labels)["interface"], dict(labels)["ipmp_interface_offline_reason"])
        for (name, labels), number in found.items()
        if name == "ipmp_interface_offline_reason" and number
    }
    assert true == {("ni0", reason)}


def test_duplicate_hardware_address_is_a_reason_only_when_it_took_the_member_out() -> None:
    labels = {"group": "ipmp0", "interface": "ni1"}
    labels["ipmp_interface_offline_reason"] = "duplicate_hwaddr"
    flagged = statuses.change_interface(statuses.healthy(), "ni1", duplicate_hwaddr=True)
    assert value(samples(flagged), "ipmp_interface_offline_reason", **labels) == 0
    out = statuses.change_interface(flagged, "ni1", state=InterfaceState.OFFLINE)
    assert value(samples(out), "ipmp_interface_offline_reason", **labels) == 1


@pytest.mark.parametrize(
    ("interface", "home", "at_home"),
    [("ni0", "ni0", 1), ("ni1", "ni0", 0), (None, "ni0", 0), ("ni1", None, 1), (None, None, 0)],
)
def test_address_at_home(interface: str | None, home: str | None, at_home: int) -> None:
    address = AddressStatus("192.168.1.5/24", "ipmp0", Family.IPV4, interface, home)
    status = msgspec.structs.replace(statuses.healthy(), addresses=(address,))
    labels = {"group": "ipmp0", "address": "192.168.1.5/24"}
    assert value(samples(status), "ipmp_address_on_home_interface", **labels) == at_home


@pytest.mark.checklist("7.2", 15)
def test_counters_exist_before_their_first_event() -> None:
    found = samples(statuses.healthy())
    for reason in MoveReason:
        for name in ("ipmp_failovers_total", "ipmp_failbacks_total"):
            assert value(found, name, group="ipmp0", reason=reason) == 0
    for operation in ("offline", "online", "hold", "release", "forget", "failover", "failback"):
        assert value(found, "ipmp_operations_total", operation=operation) == 0
    for code in ProblemCode:
        labels = {"operation": "offline", "reason": str(code)}
        assert value(found, "ipmp_operation_failures_total", **labels) == 0
    for family in ("ipv4", "ipv6"):
        assert value(found, "ipmp_announcement_failures_total", family=family) == 0
    for state in ("ok", "failed", "offline", "unknown"):
        labels = {"group": "ipmp0", "interface": "ni0", "to": state}
        assert value(found, "ipmp_interface_state_transitions_total", **labels) == (state == "ok")


def test_reason_that_this_exporter_does_not_know_yet_is_shown() -> None:
    status = statuses.change_group(statuses.healthy(), "ipmp0", failovers={"weather": 3})
    found = samples(status)
    assert value(found, "ipmp_failovers_total", group="ipmp0", reason="weather") == 3
    assert value(found, "ipmp_failovers_total", group="ipmp0", reason="link") == 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (statuses.healthy(), statuses.offline()),
        (statuses.offline(), statuses.healthy()),
    ],
    ids=["drain", "undrain"],
)
@pytest.mark.checklist("7.2", 32)
def test_no_series_comes_or_goes_when_the_state_changes(before: Status, after: Status) -> None:
    assert samples(before).keys() == samples(after).keys()


@pytest.mark.checklist("7.2", 7)
def test_info_metrics_do_not_change_with_the_state() -> None:
    def infos(status: Status) -> Samples:
        return {key: v for key, v in samples(status).items() if key[0].endswith("_info")}

    assert infos(statuses.healthy()) == infos(statuses.offline())
    assert set(infos(statuses.healthy()).values()) == {1.0}


@pytest.mark.checklist("7.2", 1, 5, 11, 12)
def test_names_labels_and_help_follow_the_conventions() -> None:
    declared = [family for subject in SUBJECTS for family in subject.families]
    assert len({family.name for family in declared}) == len(declared)
    frowned_upon = {"type", "region", "zone", "cluster", "service", "env", "le", "quantile"}
    for family in declared:
        metric = family.empty()
        assert re.fullmatch(r"ipmp(_[a-z0-9]+)+", family.name)
        assert metric.documentation.endswith(".")
        assert not frowned_upon & set(family.labels)
        assert (metric.type == "counter") == family.name.endswith("_total")
        assert (metric.type == "info") == family.name.endswith("_info")


@pytest.mark.checklist("7.2", 10, 19)
def test_describe_names_every_family_and_holds_no_samples_of_the_daemon() -> None:
    collector = ScrapeCollector(reading(statuses.healthy()))
    described = {metric.name: metric for metric in collector.describe()}
    collected = {metric.name: metric for metric in collector.collect()}
    assert described.keys() == collected.keys()
    for name, metric in collected.items():
        assert described[name].documentation == metric.documentation
        assert described[name].type == metric.type


@pytest.mark.checklist("7.2", 17)
def test_nothing_is_shared_between_two_scrapes() -> None:
    whole = samples(statuses.healthy())
    shrunk = samples(
        msgspec.structs.replace(statuses.healthy(), addresses=statuses.healthy().addresses[:1])
    )
    gone = {dict(labels).get("address") for _, labels in whole.keys() - shrunk.keys()}
    assert gone == {"fd00:1::5/64", "10.0.0.5/24"}


@pytest.mark.checklist("7.2", 22)
def test_subject_that_fails_leaves_the_others_alone() -> None:
    broken = Histogram((0.1, 1.0), (1,), 0.5)  # a count is missing
    status = statuses.change_group(statuses.healthy(), "ipmp0", failover_duration=broken)
    found = samples(status)
    assert value(found, "ipmp_collector_success", collector="groups") == 0
    assert value(found, "ipmp_collector_success", collector="interfaces") == 1
    assert value(found, "ipmp_up") == 1
    groups = {family.name for family in GROUPS.families}
    assert not [name for name, _ in found if name in groups]
    assert [name for name, _ in found if name == "ipmp_interface_state"]


@pytest.mark.parametrize("wanted", [TEXT_0_0_4, OPENMETRICS], ids=["text", "openmetrics"])
def test_label_values_are_escaped(wanted: Format) -> None:
    nasty = 'a"b\\c\nd{}=,é#'
    status = msgspec.structs.replace(
        statuses.healthy(),
        addresses=(AddressStatus("192.168.1.5/24", "ipmp0", Family.IPV4, "ni0", nasty),),
    )
    text = exposition(reading(status), wanted).decode()
    assert 'home_interface="a\\"b\\\\c\\nd{}=,é#"' in text
    labels = {"group": "ipmp0", "address": "192.168.1.5/24"}
    labels |= {"family": "ipv4", "home_interface": nasty}
    assert value(samples(status), "ipmp_address_info", **labels) == 1


def test_probes_are_told_by_interface_and_family() -> None:
    found = samples(statuses.healthy())
    assert value(found, "ipmp_probes_sent_total", **NI2) == 400
    assert value(found, "ipmp_probe_replies_total", **NI2) == 396
    assert value(found, "ipmp_probe_losses_total", **NI2) == 3
    assert value(found, "ipmp_probe_rtt_seconds_count", **NI2) == 396
    assert value(found, "ipmp_probe_rtt_seconds_sum", **NI2) == pytest.approx(0.1584)
    assert value(found, "ipmp_probe_targets", **NI2) == 2
    assert value(found, "ipmp_probe_replies_rejected_total", **NI2, reason="sender") == 2
    assert value(found, "ipmp_group_failure_detection_time_seconds", group="storage") == 10
    assert value(found, "ipmp_group_failure_detection_time_seconds", group="ipmp0") == 0


@pytest.mark.checklist("7.2", 32)
def test_counters_of_probes_go_on_while_a_member_is_not_probed() -> None:
    """A counter that vanishes and comes back at its old value is a jump in every rate."""
    probed = statuses.healthy()
    ni2 = probed.interface("ni2")
    assert ni2 is not None
    unprobed = statuses.change_interface(probed, "ni2", probes=(), past_probes=ni2.probes)
    for status in (probed, unprobed):
        assert value(samples(status), "ipmp_probes_sent_total", **NI2) == 400


def test_targets_are_told_one_by_one_only_when_asked_for() -> None:
    name = "ipmp_probe_target_rtt_seconds"
    assert not [key for key in samples(statuses.healthy()) if key[0] == name]
    text = exposition(reading(statuses.healthy()), OPENMETRICS, Selection(SUBJECTS)).decode()
    (family,) = [f for f in text_string_to_metric_families(text) if f.name == name]
    assert {s.labels["target"]: s.value for s in family.samples} == {
        "10.0.0.1": 0.0004,
        "10.0.0.2": 0.0,
    }


def test_what_is_under_way_what_failed_and_how_long_it_took() -> None:
    found = samples(statuses.offline())
    assert value(found, "ipmp_operations_in_progress", operation="online") == 1
    assert value(found, "ipmp_operations_in_progress", operation="offline") == 0
    bucket = {"operation": "offline", "le": "1.0"}
    assert value(found, "ipmp_operation_duration_seconds_bucket", **bucket) == 1
    labels = {"operation": "offline", "reason": "minimum-redundancy"}
    assert value(found, "ipmp_operation_failures_total", **labels) == 2
    fight = Fight("192.168.1.5/24", "ni0", 4, "Another program removes it again and again.")
    trouble = samples(statuses.change_group(statuses.failed(), "ipmp0", fights=(fight,)))
    assert value(trouble, "ipmp_kernel_refusals_total", group="ipmp0") == 2
    assert value(trouble, "ipmp_group_moves_in_progress", group="ipmp0") == 1
    assert value(trouble, "ipmp_group_fights", group="ipmp0") == 1
    assert value(trouble, "ipmp_config_reload_failures_total") == 1
    assert value(trouble, "ipmp_history_writable") == 0
    assert value(trouble, "ipmp_daemon_clean_start") == 0
