"""Addresses that come to a member: additions, and the announcements that follow them. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import count

from ipmp.plan.onlink import OnLink
from ipmp.plan.progress import Progress, but, is_refused
from ipmp.plan.steps import AddAddress, Announce, DeleteAddress, ShiftRoute
from ipmp.world import AF_INET, OWNER, DataAddress, Snapshot

Wanted = tuple[DataAddress, str]  # an address and the member that should have it


class Arrivals:
    """Additions, in order (invariants D and G), and the announcements that follow them.

    What it adds is `present` from then on.
    """

    def __init__(
        self,
        wanted: Sequence[Wanted],
        snapshot: Snapshot,
        progress: Progress,
        present: dict[str, set[str]],
    ) -> None:
        self._snapshot = snapshot
        self._progress = progress
        self._present = present
        self._labels, self._onlink = _Labels(snapshot), OnLink(wanted, snapshot)
        working = {m: held for m, held in snapshot.addresses.items() if m not in progress.dead}
        #: By target: what another member that works still receives for.
        self._received = {
            target: set().union(*(held for m, held in working.items() if m != target))
            for target in present
        }

    def of(
        self, stretch: Iterable[Wanted]
    ) -> tuple[list[AddAddress | DeleteAddress | ShiftRoute], list[Announce]]:
        """The steps for so many of the wanted addresses."""
        additions: list[AddAddress | DeleteAddress | ShiftRoute] = []
        announcements: list[Announce] = []
        progress, received = self._progress, self._received
        held, announced = self._snapshot.addresses, progress.announced
        for address, target in stretch:
            key, on_target = address.spec.key, self._present.get(target)
            if on_target is None:
                continue
            if key in on_target:
                additions += but(progress, self._onlink.interrupted(address, target))
                if (key, target) not in announced:
                    announcements.append(Announce(address, target, key not in received[target]))
                continue
            if target == address.home:
                addition = AddAddress(address, target, address.label, address.proto)
            else:
                addition = AddAddress(address, target, self._labels.next(address, target), OWNER)
            if is_refused(addition, progress):
                continue
            if key in held[target]:
                additions.append(DeleteAddress(key, target))
            additions.append(addition)
            if target == address.home:
                additions += but(progress, self._onlink.returned(address, target))
            announcements.append(Announce(address, target, key not in received[target]))
            on_target.add(key)
        return additions, announcements


class _Labels:
    """Labels of guests, numbered like Solaris' logical interfaces: ni1:1, ni1:2, ..."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._free = {
            member: _free(member, {a.label for a in held.values()})
            for member, held in snapshot.addresses.items()
        }

    def next(self, address: DataAddress, member: str) -> str:
        """The label for one more guest of a member; IPv6 addresses have none."""
        return next(self._free[member]) if address.spec.family == AF_INET else ""


def _free(member: str, taken: Container[str]) -> Iterator[str]:
    return (label for number in count(1) if (label := f"{member}:{number}") not in taken)
