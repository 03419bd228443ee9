"""What is odd about members but stops nobody: said once, in the log and the history. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ipmp.decision import Decision, Kind, Reason
from ipmp.world import Link


class Mismatches:
    """Remembers what has been said of one group's members."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._told: set[tuple[str, Reason, str]] = set()

    def fresh(self, links: Mapping[str, Link]) -> list[Decision]:
        """What has not been said yet; said again when it had ended meanwhile."""
        found = list(_mismatches(links))
        told, self._told = self._told, set(found)
        return [
            Decision(Kind.MISMATCH, reason, self._group, interface=name, detail={"value": detail})
            for name, reason, detail in found
            if (name, reason, detail) not in told
        ]


def _mismatches(links: Mapping[str, Link]) -> Iterator[tuple[str, Reason, str]]:
    """Member, reason, and what differs. Members are compared with the first one."""
    first: Link | None = None
    ipv6 = any(link.ipv6 for link in links.values())
    for name, link in links.items():
        if link.renamed:
            yield name, Reason.RENAMED, link.renamed
        if ipv6 and not link.ipv6:
            yield name, Reason.IPV6_DISABLED, link.device.replace(".", "/")
        if first is None:
            first = link
            continue
        if link.mtu != first.mtu:
            yield name, Reason.MTU, f"{link.mtu}, and {first.mtu} on {first.name}"
        if link.speed and first.speed and link.speed != first.speed:
            yield name, Reason.SPEED, f"{link.speed} Mb/s, and {first.speed} on {first.name}"
        if link.type != first.type:
            yield name, Reason.LINK_TYPE, f"{link.type}, and {first.type} on {first.name}"
