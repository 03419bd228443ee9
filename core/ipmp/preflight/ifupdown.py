"""ifupdown: what /etc/network/interfaces says of a member (interfaces(5))."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ipmp.preflight.finding import Finding, Member, note, wrong
from ipmp.preflight.root import Root

FILE = "/etc/network/interfaces"
DEPTH = 8  # of files that include files

#: Options whose interfaces become ports of the one that the stanza is about.
PORTS = ("bridge_ports", "bridge-ports", "bond-slaves", "slaves", "bond_slaves")
MASTERS = ("bond-master", "bond_master")
_STARTS = ("iface", "auto", "mapping", "source", "source-directory", "rename", "template")


class Stanza(msgspec.Struct, frozen=True):
    """One `iface` stanza."""

    path: str
    interface: str
    family: str  # inet or inet6
    method: str  # static, dhcp, auto, manual ...
    options: tuple[tuple[str, str], ...] = ()

    def option(self, *names: str) -> str:
        """The value of an option by any of its names; "" without."""
        return next((value for key, value in self.options if key in names), "")


def read(root: Root) -> tuple[Stanza, ...]:
    """Read the stanzas, those of included files too."""
    return tuple(_read(root, FILE, DEPTH))


def judge(stanzas: Sequence[Stanza], members: Sequence[Member]) -> Iterator[Finding]:
    """Find stanzas that lease an address for a member, configure one, or give it away."""
    for member in members:
        for stanza in stanzas:
            if stanza.interface == member.name:
                yield from _own(stanza)
            elif member.name in stanza.option(*PORTS).split():
                yield wrong(
                    f"{stanza.path} makes {member.name} a port of {stanza.interface}: addresses "
                    f"belong on that one; take {member.name} out of it"
                )


def _own(stanza: Stanza) -> Iterator[Finding]:
    name = stanza.interface
    if master := stanza.option(*MASTERS):
        yield wrong(
            f"{stanza.path} makes {name} a port of {master}: addresses belong on that one; take "
            f"{name} out of it"
        )
    if stanza.method == "dhcp":
        yield wrong(
            f"{stanza.path} configures {name} by DHCP: a leased address cannot move; make it "
            f"`iface {name} {stanza.family} static`"
        )
    elif stanza.method == "auto" or stanza.option("accept_ra") in ("1", "2"):
        yield note(
            f"{stanza.path} lets {name} take IPv6 addresses from router advertisements: those "
            "stay on it when the others move"
        )
    elif stanza.method == "static":
        address = stanza.option("address")
        yield note(
            f"{stanza.path} configures {name} with {address}: mpathd takes that address over; "
            f"do not use ifdown or ifup on {name} while mpathd runs, use if_mpadm"
        )


def _read(root: Root, path: str, depth: int) -> Iterator[Stanza]:
    text = root.text(path) or ""
    current: Stanza | None = None
    for line in text.replace("\\\n", " ").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] not in _STARTS and not words[0].startswith(("allow-", "no-")):
            if current is not None:
                option = (words[0], " ".join(words[1:]))
                current = msgspec.structs.replace(current, options=(*current.options, option))
            continue
        if current is not None:
            yield current
            current = None
        if words[0] == "iface" and len(words) >= 4:
            current = Stanza(path, words[1], words[2], words[3])
        elif words[0].startswith("source") and depth and len(words) > 1:
            for included in _included(root, words[0], words[1]):
                yield from _read(root, included, depth - 1)
    if current is not None:
        yield current


def _included(root: Root, keyword: str, pattern: str) -> Iterator[str]:
    """Files that a `source` or `source-directory` line names; wildcards stand in the last part."""
    if not pattern.startswith("/"):
        pattern = f"/etc/network/{pattern}"
    directory, _, name = pattern.rpartition("/")
    if keyword == "source-directory":
        directory, name = pattern.rstrip("/"), "*"
    yield from (f"{directory}/{found}" for found in root.names(directory, name))
