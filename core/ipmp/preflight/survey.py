"""All managers of a host, asked about the members."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ipmp.preflight import cloudinit, dhcp, ifupdown, netplan, networkd, networkmanager
from ipmp.preflight.finding import Finding, Member, listing, note
from ipmp.preflight.root import Root


def survey(root: Root, members: Sequence[Member], now: float) -> Iterator[Finding]:
    """Yield what other programs claim of the members; `now` is Unix time."""
    processes = root.processes()
    stanzas = ifupdown.read(root)
    if root.is_active(networkmanager.SERVICE, processes):
        named = frozenset(stanza.interface for stanza in stanzas)
        yield from networkmanager.judge(networkmanager.read(root, named), members)
    if root.is_active(networkd.SERVICE, processes):
        yield from networkd.judge(networkd.read(root, netplan.read(root)), members)
    yield from ifupdown.judge(stanzas, members)
    yield from dhcp.judge(dhcp.read(root, processes), members, now)
    yield from cloudinit.judge(cloudinit.read(root), members)
    if root.unreadable:
        yield note(f"run it as root to look into {listing(sorted(root.unreadable))} as well")
