"""Why is it as it is? Sentences about a group, interface or address: what is, what led to it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from ipmp.daemon.recall import Recall
from ipmp.model import AddressStatus, Event, Family, GroupStatus, InterfaceStatus, Status


async def explain(status: Status, recall: Recall, name: str) -> list[str] | None:
    """Sentences, the present first and then what led to it; None when nothing has that name."""
    found, interface = status.group(name), status.interface(name)
    address = next(
        (a for a in status.addresses if name in (a.address, a.address.partition("/")[0])), None
    )
    if found is not None:
        now, past = _group(status, found), await recall.group(name)
    elif interface is not None:
        now, past = _interface(status, interface), await recall.interface(name)
    elif address is not None:
        past = await recall.address(address.address)
        now = _address(address, {event.sentence for event in past.events})
    else:
        return None
    fights = [
        f"{fight.sentence}."
        for group in status.groups
        for fight in group.fights
        if name in (group.name, fight.interface, fight.subject, fight.subject.partition("/")[0])
    ]
    return now + fights + ([past.caveat] if past.caveat else []) + [*map(_dated, past.events)]


def _dated(event: Event) -> str:
    """What happened, and when: it may be long ago."""
    return f"{datetime.fromtimestamp(event.time):%Y-%m-%d %H:%M:%S}  {event.sentence}"


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


def _address(address: AddressStatus, told: Collection[str]) -> list[str]:
    """What is, and the reason that the daemon remembers unless the past tells it anyway."""
    where = f"is on {address.interface}" if address.interface else "is on no interface"
    home = f"its home is {address.home}" if address.home else "it has no home"
    origin = "it was found there" if address.adopted else "it is declared in ipmp.toml"
    sentences = [f"{address.address} of group {address.group} {where}; {home}; {origin}."]
    if address.reason and address.reason not in told:
        sentences.append(f"{address.reason}.")
    return sentences
