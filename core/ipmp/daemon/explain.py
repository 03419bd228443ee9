"""Why is it as it is? Sentences about a group, interface or address, from status and journal."""

from __future__ import annotations

from ipmp.daemon.journal import Journal
from ipmp.model import AddressStatus, Family, GroupStatus, InterfaceStatus, Status

RECENT = 10


def explain(status: Status, journal: Journal, name: str) -> list[str] | None:
    """Sentences, the present first and then what led to it; None when nothing has that name."""
    found, interface = status.group(name), status.interface(name)
    address = next(
        (a for a in status.addresses if name in (a.address, a.address.partition("/")[0])), None
    )
    if found is not None:
        now = _group(status, found)
    elif interface is not None:
        now = _interface(status, interface)
    elif address is not None:
        now = _address(address)
    else:
        return None
    fights = [
        f"{fight.sentence}."
        for group in status.groups
        for fight in group.fights
        if name in (group.name, fight.interface, fight.subject, fight.subject.partition("/")[0])
    ]
    return now + fights + [event.sentence for event in journal.about(name)[-RECENT:]]


def _group(status: Status, group: GroupStatus) -> list[str]:
    sentences = [
        f"Group {group.name} is {group.state}: {group.usable} of {len(group.interfaces)} "
        f"interfaces are usable, at least {group.min_usable} must stay so."
    ]
    sentences += [
        f"{i.name} is {i.state}: {i.reason}." for i in status.interfaces if i.group == group.name
    ]
    if group.outbound == "spread":
        ways = (
            f"{_family(family)} through {_outbound(status, group, family)}" for family in Family
        )
        sentences.append(f"It spreads what it sends: {', '.join(ways)}.")
    return sentences


def _family(family: Family) -> str:
    return "IPv4" if family is Family.IPV4 else "IPv6"


def _outbound(status: Status, group: GroupStatus, family: Family) -> str:
    members = [i.name for i in status.interfaces if i.group == group.name and family in i.outbound]
    return " and ".join(members) or "no interface"


def _interface(status: Status, interface: InterfaceStatus) -> list[str]:
    carried = [a.address for a in status.addresses if a.interface == interface.name]
    sentences = [
        f"{interface.name} of group {interface.group} is {interface.state}: {interface.reason}.",
        f"It carries {', '.join(carried) or 'no data address'}.",
    ]
    if interface.hold is not None:
        sentences.append(f"It is held by {interface.hold.actor}: {interface.hold.reason}.")
    return sentences


def _address(address: AddressStatus) -> list[str]:
    where = f"is on {address.interface}" if address.interface else "is on no interface"
    home = f"its home is {address.home}" if address.home else "it has no home"
    origin = "it was found there" if address.adopted else "it is declared in ipmp.toml"
    sentences = [f"{address.address} of group {address.group} {where}; {home}; {origin}."]
    if address.reason:
        sentences.append(f"{address.reason}.")
    return sentences
