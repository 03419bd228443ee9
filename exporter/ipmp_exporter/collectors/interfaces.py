"""Metrics about the members of groups: what state they are in, and why."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    StateSetMetricFamily,
)

from ipmp.model import Family as AddressFamily
from ipmp.model import InterfaceState, InterfaceStatus, LinkState, OfflineIntent, ProbeState, Status
from ipmp_exporter.collectors.family import Family, Sample, Subject, counts, one_of

_LABELS = ("group", "interface")


def _flags(interface: InterfaceStatus) -> dict[str, bool]:
    return {
        "absent": not interface.present,
        "active": interface.active,
        "down": interface.down,
        "duplicate_hwaddr": interface.duplicate_hwaddr,
        "held": interface.hold is not None,
        "inactive": interface.inactive,
        "nominated_ipv4": interface.nominated_ipv4,
        "nominated_ipv6": interface.nominated_ipv6,
        "outbound_ipv4": AddressFamily.IPV4 in interface.outbound,
        "outbound_ipv6": AddressFamily.IPV6 in interface.outbound,
        "standby": interface.standby,
    }


def _offline_reason(interface: InterfaceStatus) -> dict[str, bool]:
    intent = interface.offline
    return {
        "operator": intent is not None and not _by_remediator(intent),
        "remediation": intent is not None and _by_remediator(intent),
        "duplicate_hwaddr": (
            interface.state is InterfaceState.OFFLINE and interface.duplicate_hwaddr
        ),
    }


def _by_remediator(intent: OfflineIntent) -> bool:
    # So does mpathd itself tell programs from people.
    return intent.actor.startswith("remediator")


def _transitions(status: Status) -> Iterator[Sample]:
    for interface in status.interfaces:
        for state, count in counts(InterfaceState, interface.transitions).items():
            yield (interface.group, interface.name, state), count


INTERFACES = Subject(
    "interfaces",
    (
        Family(
            InfoMetricFamily,
            "ipmp_interface_info",
            "Facts about the interface: mac (hardware address, empty while it is absent).",
            _LABELS,
            lambda status: (((i.group, i.name), {"mac": i.hwaddr}) for i in status.interfaces),
        ),
        Family(
            StateSetMetricFamily,
            "ipmp_interface_state",
            "State of the interface in its group: ok, failed, offline (taken out on purpose), "
            "unknown (not determined yet).",
            _LABELS,
            lambda status: (
                ((i.group, i.name), one_of(InterfaceState, i.state)) for i in status.interfaces
            ),
        ),
        Family(
            StateSetMetricFamily,
            "ipmp_interface_link_state",
            "Link detection by the driver: up, down, unknown (the driver does not report it).",
            _LABELS,
            lambda status: (
                ((i.group, i.name), one_of(LinkState, i.link)) for i in status.interfaces
            ),
        ),
        Family(
            StateSetMetricFamily,
            "ipmp_interface_probe_state",
            "Probe-based detection: ok, failed, unknown (nothing to probe), "
            "disabled (only the link is watched).",
            _LABELS,
            lambda status: (
                ((i.group, i.name), one_of(ProbeState, i.probe)) for i in status.interfaces
            ),
        ),
        Family(
            StateSetMetricFamily,
            "ipmp_interface_flags",
            "Flags, several may be 1: absent, active, down (no address up), duplicate_hwaddr, "
            "held (by an operator), inactive (kept back by policy), nominated_ipv4 and "
            "nominated_ipv6 (carries the group's egress), outbound_ipv4 and outbound_ipv6 (sends "
            "the group's traffic), standby (configured as a spare).",
            _LABELS,
            lambda status: (((i.group, i.name), _flags(i)) for i in status.interfaces),
        ),
        Family(
            StateSetMetricFamily,
            "ipmp_interface_offline_reason",
            "Why the interface is offline: operator, remediation, duplicate_hwaddr; "
            "all 0 when it is not.",
            _LABELS,
            lambda status: (((i.group, i.name), _offline_reason(i)) for i in status.interfaces),
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_interface_last_state_change_timestamp_seconds",
            "Unix time at which the interface entered its present state; 0 if not known.",
            _LABELS,
            lambda status: (((i.group, i.name), i.since) for i in status.interfaces),
        ),
        Family(
            CounterMetricFamily,
            "ipmp_interface_state_transitions_total",
            "How often the interface entered a state: ok, failed, offline, unknown.",
            (*_LABELS, "to"),
            _transitions,
        ),
        Family(
            CounterMetricFamily,
            "ipmp_interface_link_losses_total",
            "How often the link of the interface has gone down, as the kernel counts; it grows "
            "also while the interface stays failed because its link flaps.",
            _LABELS,
            lambda status: (((i.group, i.name), i.link_losses) for i in status.interfaces),
        ),
    ),
)
