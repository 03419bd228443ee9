"""What SIGUSR1 makes the daemon log: counters and where everything is, a sentence each. Pure.

Solaris' in.mpathd dumps its tables and its probe statistics then (ipmp-semantics 2.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import repeat

from ipmp.model import DaemonStatus, Family, GroupStatus, InterfaceStatus, ProbeStatus, Status

INET = {Family.IPV4: "inet", Family.IPV6: "inet6"}  # as in.mpathd calls the families

ADDRESSES = 100  # of one interface that are named; thousands would only fill the log


def statistics(status: Status) -> Iterator[str]:
    """Yield the sentences, the daemon's own first."""
    yield from _daemon(status.daemon, status.time)
    for group in status.groups:
        yield _group(group)
        for interface in status.interfaces:
            if interface.group == group.name:
                yield _interface(interface)
                probes = (*interface.probes, *interface.past_probes)
                yield from map(_probes, repeat(interface.name), probes)
                yield _carried(status, interface)


def _daemon(daemon: DaemonStatus, now: float) -> Iterator[str]:
    yield (
        f"mpathd {daemon.version} (pid {daemon.pid}) has run for {now - daemon.started:.0f} s; "
        f"state was read {daemon.reconciles} times, netlink events were lost "
        f"{daemon.netlink_overruns} times, the loop stood still for {daemon.loop_lag_max:.4f} s "
        "at most during the last minute"
    )
    yield (
        f"Announcements sent: {_counts(daemon.announcements)}; "
        f"failed: {_counts(daemon.announcement_failures)}"
    )
    yield f"Operations: {_counts(daemon.operations)}"
    for operation, failures in daemon.operation_failures.items():
        if failures:
            yield f"Operations refused or failed: {operation}: {_counts(failures)}"
    yield f"Changes by other programs that were put right: {_counts(daemon.drift)}"


def _group(group: GroupStatus) -> str:
    return (
        f"Group {group.name} is {group.state}: {group.usable} of {len(group.interfaces)} IP "
        f"interfaces are usable; failovers: {_counts(group.failovers)}; "
        f"failbacks: {_counts(group.failbacks)}"
    )


def _interface(interface: InterfaceStatus) -> str:
    why = f" ({interface.reason})" if interface.reason else ""
    return (
        f"IP interface {interface.name} of group {interface.group} is {interface.state}{why}, "
        f"its link is {interface.link}; "
        f"times entered: {_counts(interface.transitions)}"
    )


def _probes(name: str, probes: ProbeStatus) -> str:
    reasons = {reason: count for reason, count in probes.rejected.items() if count}
    rejected = f"; replies not counted: {_counts(reasons)}" if reasons else ""
    return (
        f"Probe stats on ({INET[probes.family]} {name}): probes sent {probes.sent}, acks received "
        f"{probes.acked}, lost {probes.lost}, valid unacknowledged {probes.void}, acks after they "
        f"were counted as lost {probes.late}{rejected}; missed sending a total of {probes.missed} "
        "probes"
    )


def _carried(status: Status, interface: InterfaceStatus) -> str:
    here = [a.address for a in status.addresses if a.interface == interface.name]
    more = f" and {len(here) - ADDRESSES} more" if len(here) > ADDRESSES else ""
    return f"Addresses on {interface.name}: {', '.join(here[:ADDRESSES]) or 'none'}{more}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
