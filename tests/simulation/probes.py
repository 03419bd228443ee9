"""Probes on the simulated network: implements `protocol.ProbeSockets` for one group."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable

from ipmp.probing import Path, Probe, Reply
from tests.simulation.kernel import SimulatedKernel
from tests.simulation.network import Network


class SimulatedProbes:
    """Sends probes out of members, and keeps the replies until they are read."""

    def __init__(
        self,
        kernel: SimulatedKernel,
        network: Network,
        is_open: Callable[[], bool],
        readable: Callable[[], None],
    ) -> None:
        self._kernel, self._network = kernel, network
        self._is_open, self._readable = is_open, readable
        self._indices: dict[str, int] = {}
        self._replies: list[Reply] = []

    def sync(self, paths: Iterable[Path]) -> list[tuple[Path, OSError]]:
        """Open what is missing and close what is gone; the paths that could not be opened."""
        self._indices, refused = {}, []
        for path in paths:
            device = self._kernel.names.get(path.member)
            if device is None or device.ifindex != path.ifindex:
                refused.append((path, OSError(errno.ENODEV, os.strerror(errno.ENODEV))))
            else:
                self._indices[path.member] = path.ifindex
        return refused

    def listen(self, heard: frozenset[str]) -> None:
        """Silent targets say nothing of their own here."""

    def send(self, probe: Probe) -> OSError | None:
        """Send one probe; its replies come later, if any."""
        device = self._kernel.devices.get(self._indices.get(probe.member, 0))
        if device is None or not device.up:
            return OSError(errno.ENETDOWN, os.strerror(errno.ENETDOWN))
        for target, seconds in self._network.answers(device, probe.target, probe.family):
            self._kernel.clock.after(seconds, lambda target=target: self._arrive(probe, target))
        return None

    def read(self) -> list[Reply]:
        """Every reply that waits."""
        replies, self._replies = self._replies, []
        return replies

    def close(self) -> None:
        """Nothing is heard any more."""
        self._indices.clear()

    def _arrive(self, probe: Probe, sender: str) -> None:
        if not self._is_open() or probe.member not in self._indices:
            return
        self._replies.append(
            Reply(
                probe.member,
                probe.family,
                probe.method,
                sender,
                self._kernel.clock.now,
                probe.sequence,
                probe.ident,
                probe.nonce,
            )
        )
        self._readable()
