"""The sysctls that a member of a group needs, and how the kernel combines `all` with its own value.

The daemon corrects them when it takes a member in charge, `ipmp check` reports them; both ask here.
Only the member's own value is ever written, never `all` (which concerns interfaces that are not
ours). Sources of the rules: reference linux-peers sections 1.5, 1.7 and 1.10; the way of combining
is that of the kernel's include/linux/inetdevice.h and net/ipv6/addrconf.c.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from enum import Enum
from pathlib import Path

import msgspec

from ipmp.model import Family

PROC_SYS = Path("/proc/sys")


class Combine(Enum):
    """How the kernel makes the effective value from `all` and the interface's own value."""

    OWN = "own"  # `all` does not matter
    MAX = "max"  # the larger one (IN_DEV_MAXCONF)
    ANY = "any"  # 1 when either is set (IN_DEV_ORCONF)
    ALL_FIRST = "all-first"  # `all`, unless that is 0

    def __call__(self, everywhere: int, own: int) -> int:
        """Return the effective value."""
        match self:
            case Combine.OWN:
                return own
            case Combine.MAX:
                return max(everywhere, own)
            case Combine.ANY:
                return int(bool(everywhere or own))
            case Combine.ALL_FIRST:
                return everywhere or own


class Requirement(msgspec.Struct, frozen=True):
    """One sysctl below net.<family>.conf: which effective values are right, and why."""

    family: Family
    key: str
    combine: Combine
    accepted: Container[int]
    wanted: str  # `accepted` for people
    why: str  # what goes wrong otherwise
    write: int | None = None  # the own value that corrects it; None: not ours to change

    @property
    def name(self) -> str:
        """Short name, for example `ipv4.rp_filter`."""
        return f"{self.family}.{self.key}"


class Finding(msgspec.Struct, frozen=True):
    """What one sysctl of one interface is, compared with what it must be."""

    name: str  # for example `ipv4.rp_filter`
    interface: str
    value: int | None  # the interface's own value; None: this kernel does not have the sysctl
    effective: int | None  # what the kernel goes by
    wanted: str
    ok: bool
    why: str
    fixable: bool  # writing the interface's own value would make it right
    write: int | None = None  # that value

    @property
    def sysctl(self) -> str:
        """The name as sysctl(8) takes it: dots of the interface's name become slashes."""
        family, key = self.name.split(".")
        return f"net.{family}.conf.{self.interface.replace('.', '/')}.{key}"


REQUIRED: tuple[Requirement, ...] = (
    Requirement(
        Family.IPV4,
        "arp_ignore",
        Combine.MAX,
        (1, 2),
        "1 or 2",
        "otherwise every member answers ARP for every address and peers may learn the wrong one",
        1,
    ),
    Requirement(
        Family.IPV4,
        "arp_announce",
        Combine.MAX,
        (2,),
        "2",
        "otherwise ARP from a drained member turns the caches of peers back to it",
        2,
    ),
    Requirement(
        Family.IPV4,
        "rp_filter",
        Combine.MAX,
        (0, 2),
        "0 or 2",
        "otherwise packets for an address that moved here are dropped while the route back uses "
        "another member",
        2,  # not 0: the kernel takes the larger of `all` and this one
    ),
    Requirement(
        Family.IPV4,
        "promote_secondaries",
        Combine.ANY,
        (1,),
        "1",
        "otherwise removing one address removes the others of its subnet too",
        1,
    ),
    Requirement(
        Family.IPV4,
        "ignore_routes_with_linkdown",
        Combine.OWN,
        (1,),
        "1",
        "otherwise traffic keeps leaving through a member that has lost its carrier",
        1,
    ),
    Requirement(
        Family.IPV4,
        "accept_local",
        Combine.ANY,
        (0,),
        "0",
        "otherwise packets that claim to come from this host are accepted from the network",
    ),
    Requirement(
        Family.IPV6,
        "disable_ipv6",
        Combine.OWN,
        (0,),
        "0",
        "the group has IPv6 addresses, which cannot be put on this interface",
    ),
    Requirement(
        Family.IPV6,
        "ignore_routes_with_linkdown",
        Combine.OWN,
        (1,),
        "1",
        "otherwise traffic keeps leaving through a member that has lost its carrier",
        1,
    ),
    Requirement(
        Family.IPV6,
        "keep_addr_on_down",
        Combine.ALL_FIRST,
        range(1, 2**31),
        "1",
        "otherwise setting the interface down removes its IPv6 addresses",
        1,
    ),
)


def inspect(interface: str, families: Collection[Family], proc: Path = PROC_SYS) -> list[Finding]:
    """Compare the sysctls of `interface` with what a group of these address families requires.

    A sysctl that this kernel does not have is a finding that is neither ok nor fixable; without
    IPv6 in the kernel that is `disable_ipv6` alone. Raises OSError if one cannot be read.
    """
    return list(_findings(interface, families, proc))


def correct(finding: Finding, proc: Path = PROC_SYS) -> None:
    """Write the interface's own value that makes `finding` right; OSError if it may not."""
    if not finding.fixable:
        raise ValueError(f"{finding.sysctl} cannot be corrected on the interface itself")
    path = _own(proc, finding.name, finding.interface)
    path.write_text(f"{finding.write}\n", encoding="ascii")


def restore(name: str, interface: str, value: int, proc: Path = PROC_SYS) -> bool:
    """Put back the own `value` from before; False if the interface has gone meanwhile."""
    path = _own(proc, name, interface)
    if not path.exists():
        return False
    path.write_text(f"{value}\n", encoding="ascii")
    return True


def _findings(interface: str, families: Collection[Family], proc: Path) -> Iterable[Finding]:
    for requirement in REQUIRED:
        if requirement.family not in families:
            continue
        family_exists = (proc / "net" / requirement.family / "conf").is_dir()
        if family_exists or requirement.key == "disable_ipv6":
            yield _compare(requirement, interface, proc)


def _compare(requirement: Requirement, interface: str, proc: Path) -> Finding:
    everywhere = _read(_file(proc, requirement.name, "all")) or 0
    own = _read(_own(proc, requirement.name, interface))
    effective = None if own is None else requirement.combine(everywhere, own)
    write = requirement.write
    ok = effective is not None and effective in requirement.accepted
    return Finding(
        name=requirement.name,
        interface=interface,
        value=own,
        effective=effective,
        wanted=requirement.wanted,
        ok=ok,
        why=requirement.why,
        fixable=not ok
        and own is not None
        and write is not None
        and requirement.combine(everywhere, write) in requirement.accepted,
        write=write,
    )


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None


def _own(proc: Path, name: str, interface: str) -> Path:
    """Return the interface's own file; never that of `all`, `default` or something outside."""
    if interface in ("", ".", "..", "all", "default") or "/" in interface:
        raise ValueError(f"{interface!r} is not the name of an interface")
    return _file(proc, name, interface)


def _file(proc: Path, name: str, directory: str) -> Path:
    """Return the file of a sysctl; an interface's directory is its literal name, dots and all."""
    family, key = name.split(".")
    return proc / "net" / family / "conf" / directory / key
