"""Metrics about data addresses: where each one belongs and which member carries it.

The placement is a full matrix, members x addresses of a group, so that its series stay the same
when an address moves: `changes()` and `avg_over_time()` work, nothing appears or disappears.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

from ipmp.model import Status
from ipmp_exporter.collectors.family import Family, Sample, Subject


def _info(status: Status) -> Iterator[Sample]:
    for address in status.addresses:
        facts = {"family": address.family, "home_interface": address.home or ""}
        yield (address.group, address.address), facts


def _placement(status: Status) -> Iterator[Sample]:
    members = {group.name: group.interfaces for group in status.groups}
    for address in status.addresses:
        for member in members.get(address.group, ()):
            yield (address.group, address.address, member), address.interface == member


def _on_home_interface(status: Status) -> Iterator[Sample]:
    for address in status.addresses:
        at_home = address.interface is not None and address.home in (None, address.interface)
        yield (address.group, address.address), at_home


ADDRESSES = Subject(
    "addresses",
    (
        Family(
            InfoMetricFamily,
            "ipmp_address_info",
            "A data address of the group: family (ipv4, ipv6), home_interface (empty if none).",
            ("group", "address"),
            _info,
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_address_placement",
            "1 for the member that carries the address, 0 for every other member of its group.",
            ("group", "address", "interface"),
            _placement,
        ),
        Family(
            GaugeMetricFamily,
            "ipmp_address_on_home_interface",
            "1 if the address is on its home interface, or has none and is on any; "
            "0 if it is away or nowhere.",
            ("group", "address"),
            _on_home_interface,
        ),
        Family(
            CounterMetricFamily,
            "ipmp_address_moves_total",
            "How often the address has moved to another interface; it tells of moves that are "
            "shorter than the time between two scrapes.",
            ("group", "address"),
            lambda status: (((a.group, a.address), a.moves) for a in status.addresses),
        ),
    ),
)
