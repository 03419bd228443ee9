"""Gives data addresses up: no longer in ipmp.toml, or forgotten on request.

It is done between a pass's reading and its learning, so that no pass under way can learn such an
address again from a reading that was taken before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from ipmp.announce import Announcer
from ipmp.config import GroupConfig
from ipmp.daemon.context import Context
from ipmp.daemon.moves import Books
from ipmp.daemon.outbound import ahead
from ipmp.decision import Decision
from ipmp.group import Group
from ipmp.homes import Homes, without
from ipmp.kernel.protocol import Failure
from ipmp.plan import AddAnchor, DeleteAddress, Step, retire
from ipmp.world import OWNER, Snapshot

SECONDS = 10.0  # longest wait for the pass that does it


def retired_tests(
    before: GroupConfig, after: GroupConfig, snapshot: Snapshot
) -> Iterator[DeleteAddress]:
    """Deletions of test addresses that we put on members and that are configured no more."""
    for member, key in before.probe.test_addresses.items():
        found = snapshot.addresses.get(member, {}).get(key)
        stays = after.probe.test_addresses.get(member) == key
        if found is not None and found.proto == OWNER and not stays:
            yield DeleteAddress(key, member)


class Retirement:
    """The addresses of one group that are to be given up by its next pass."""

    def __init__(self, context: Context, books: Books, announcer: Announcer) -> None:
        self._context = context
        self._books = books
        self._announcer = announcer
        self._asked: dict[str, Decision] = {}
        self._finished = asyncio.Event()
        self._finished.set()

    def ask(self, decisions: Mapping[str, Decision]) -> None:
        """Give these addresses up, each for the reason that is then published."""
        self._asked.update(decisions)
        if self._asked:
            self._finished.clear()

    async def finished(self) -> bool:
        """Wait until everything that was asked for is done; False if the kernel lets us wait."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._finished.wait()
        except TimeoutError:
            return False

    def passed(self) -> None:
        """A pass is over, and what it did is published."""
        if not self._asked:
            self._finished.set()

    async def carry_out(
        self, config: GroupConfig, group: Group, homes: Homes, snapshot: Snapshot
    ) -> tuple[Homes, list[Decision]]:
        """Delete them from all members; the snapshot is out of date if there were any.

        What the kernel refuses is tried again by the next pass.
        """
        if not self._asked:
            return homes, []
        kept = await self._delete(ahead(config, group, homes, self._asked, snapshot), snapshot)
        done = {key: decision for key, decision in self._asked.items() if key not in kept}
        for key in done:
            del self._asked[key]
            self._books.forget(key)
            for member in snapshot.addresses:
                self._announcer.withdraw([(key, member)])
        gone = [homes.addresses[key] for key in done if key in homes.addresses]
        return without(homes, gone, config.members), list(done.values())

    async def _delete(self, before: Sequence[Step], snapshot: Snapshot) -> set[str]:
        """Return those that are still there; without an anchor, nothing is deleted."""
        kernel, failures = self._context.kernel, list[Failure]()
        for batch in (before, *retire(self._asked, snapshot)):
            failures = await kernel.apply(kernel.prepare(batch))
            if any(isinstance(failure.step, AddAnchor) for failure in failures):
                return set(self._asked)
        return {f.step.key for f in failures if isinstance(f.step, DeleteAddress)}
