"""DHCP clients: does one run on a member, or remember a lease for it?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import msgspec

from ipmp.preflight.finding import Finding, Member, note, wrong
from ipmp.preflight.root import Process, Root

CLIENTS = ("dhclient", "dhcpcd", "udhcpc")
LEASES = ("/var/lib/dhcp", "/var/lib/dhclient", "/var/lib/NetworkManager")
DHCPCD = "/etc/dhcpcd.conf"

HOW = {
    "dhclient": "configure the interface statically and stop it with `dhclient -x {}`",
    "dhcpcd": "write `denyinterfaces {}` into /etc/dhcpcd.conf and run `dhcpcd -x {}`",
    "udhcpc": "configure the interface statically and stop it",
}

_LEASE = re.compile(r"lease6? \{(.*?)^\}", re.DOTALL | re.MULTILINE)
_INTERFACE = re.compile(r'^\s*interface "([^"]+)";', re.MULTILINE)
_EXPIRES = re.compile(r"^\s*expire \d (\d+/\d+/\d+ \d+:\d+:\d+);", re.MULTILINE)


class Lease(msgspec.Struct, frozen=True):
    """The last lease that a file has for an interface."""

    path: str
    interface: str
    expires: float | None  # Unix time; None: never


class Facts(msgspec.Struct, frozen=True):
    """DHCP clients that run, what they leave out, and leases."""

    processes: tuple[Process, ...] = ()
    allowed: tuple[str, ...] = ()  # dhcpcd.conf: only these
    denied: tuple[str, ...] = ()  # dhcpcd.conf: not these
    leases: tuple[Lease, ...] = ()


def read(root: Root, processes: Iterable[Process]) -> Facts:
    """Pick the DHCP clients out, and read their leases."""
    clients = tuple(process for process in processes if process.program in CLIENTS)
    words = [line.split() for line in (root.text(DHCPCD) or "").splitlines()]
    named = {
        key: tuple(name for line in words if line[:1] == [key] for name in line[1:])
        for key in ("allowinterfaces", "denyinterfaces")
    }
    leases = [
        lease for path in _lease_files(root) for lease in _leases(path, root.text(path) or "")
    ]
    return Facts(clients, named["allowinterfaces"], named["denyinterfaces"], tuple(leases))


def judge(facts: Facts, members: Sequence[Member], now: float) -> Iterator[Finding]:
    """Find the clients that hold or renew addresses of members."""
    names = [member.name for member in members]
    for member in names:
        serving = (process for process in facts.processes if _serves(process, member, facts))
        running = {process.program: process for process in serving}
        for process in running.values():
            how = HOW[process.program].format(member, member)
            yield wrong(
                f"{process.program} (pid {process.pid}) leases addresses for {member}: they cannot "
                f"move, and it puts its own back; {how}"
            )
        held = [lease for lease in facts.leases if lease.interface == member]
        for lease in held:
            if not running and (lease.expires is None or lease.expires > now):
                yield note(
                    f"{lease.path} has a lease for {member} that is still valid: its address "
                    "cannot move as long as a DHCP client renews it"
                )


def _serves(process: Process, member: str, facts: Facts) -> bool:
    """Whether a client works on a member; one without the name of an interface serves all.

    A word is taken for an interface where it is none of an option's: `-pf FILE` has a slash.
    """
    words = " ".join(process.argv).split()[1:]
    if process.program == "udhcpc":
        return member in words
    if member in words:
        return True
    if process.program == "dhcpcd":
        if any(fnmatchcase(member, pattern) for pattern in facts.denied):
            return False
        if facts.allowed and not any(fnmatchcase(member, pattern) for pattern in facts.allowed):
            return False
        return not any(re.fullmatch(r"[a-z][a-z0-9.]*", word) for word in words)
    options = [word for word in words if word.startswith("-") or "/" in word]
    return len(options) == len(words)


def _lease_files(root: Root) -> Iterator[str]:
    for directory in LEASES:
        for pattern in ("*.leases", "*.lease"):
            yield from (f"{directory}/{name}" for name in root.names(directory, pattern))


def _leases(path: str, text: str) -> Iterator[Lease]:
    """The last lease of each interface in dhclient's format; other formats have none of them."""
    last: dict[str, Lease] = {}
    for block in _LEASE.findall(text):
        interface = _INTERFACE.search(block)
        if interface is not None:
            when = _EXPIRES.search(block)
            last[interface[1]] = Lease(path, interface[1], _moment(when[1]) if when else None)
    yield from last.values()


def _moment(text: str) -> float:
    """Unix time of dhclient's dates, which are UTC; one that is none has passed."""
    try:
        return datetime.strptime(text, "%Y/%m/%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
