"""The story of the README, played for real: each scene does something, looks, and insists.

A scene prints the commands that it runs with their real output, and raises `Failed` with the reason
when something did not do what it should.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from ipmp.lab.stage import QUICKER, Stage
from ipmp.lab.streams import Stream
from ipmp.lab.topology import HOST
from ipmp.model import InterfaceState

ADDRESSES = ("192.168.1.5", "fd00:1::5")
PEER = "peer"

SECONDS = 10.0  # until something that takes milliseconds must have happened
ALERT_SECONDS = 60.0
FLAPS = 5
FLAP_SECONDS = 0.5
FLOWING_SECONDS = 0.7  # before and after an event under a stream


class Failed(Exception):
    """A scene did not do what it should; the text says what was expected and what was seen."""


class Story:
    """The scenes, in order; `say` prints a line."""

    def __init__(self, stage: Stage, say: Callable[[str], None]) -> None:
        self.stage = stage
        self.say = say

    def scenes(self) -> list[tuple[str, Callable[[], None]]]:
        """Title and play of each scene."""
        told: list[tuple[str, Callable[[], None]]] = [
            ("Before: both interfaces work, the addresses are on ni0", self.before),
            ("Maintenance: ni0 is taken offline under 1000 packets/s, IPv4 and IPv6", self.drain),
            ("It is brought back, and the addresses return", self.undo),
            ("The last usable interface cannot be taken offline", self.refusal),
            ("The cable of ni0 is pulled, and repaired", self.cable),
        ]
        if self.stage.monitored:
            told.append(("A flapping link: alert, drain, recovery, return", self.remediation))
        return told

    # Scenes -------------------------------------------------------------------------------------

    def before(self) -> None:
        """(a) The status before."""
        self._show("ipmpstat", "-i")
        self._show("ipmpstat", "-an")
        self._expect_on("ni0")

    def drain(self) -> None:
        """(b) A planned drain loses nothing; the peer learns the other member."""
        self._without_loss(lambda: self._show("if_mpadm", "-d", "ni0"), "ni1")
        self._show("ipmpstat", "-i")

    def undo(self) -> None:
        """(c) Its undo loses nothing either; the addresses are home again."""
        self._without_loss(lambda: self._show("if_mpadm", "-r", "ni0"), "ni0")
        self._show("ipmpstat", "-an")

    def refusal(self) -> None:
        """(d) The last usable member is refused, and nothing changes."""
        self._show("if_mpadm", "-d", "ni1")
        self._show("if_mpadm", "-d", "ni0", status=1)
        self._expect_on("ni0")
        self._show("if_mpadm", "-r", "ni1")

    def cable(self) -> None:
        """(e) A pulled cable is failed over at once, and failed back after the repair."""
        with ExitStack() as streams:
            running = self._streams(streams)
            time.sleep(FLOWING_SECONDS)
            self.say("    (the cable of ni0 is pulled)")
            self.stage.lab.fault("cable-pull", "ni0")
            self._expect_on("ni1")
            time.sleep(FLOWING_SECONDS)
            self._show("ipmpstat", "-i")
            for address, stream in running:
                gap = stream.result().peer_gap_ms
                self.say(f"    {address}: longest gap that the peer saw: {gap:.1f} ms")
        self.say("    (it is plugged in again)")
        self.stage.lab.repair("ni0")
        self._expect_on("ni0")
        self._show("ipmpstat", "-an")

    def remediation(self) -> None:
        """(f) From the symptom to the drain and back, without a human."""
        self.say(f"    (the rules of alerts/ run {QUICKER:.0f} times as fast here)")
        self.say(f"    (the cable of ni0 is pulled and plugged in {FLAPS} times)")
        for _ in range(FLAPS):
            self.stage.lab.fault("cable-pull", "ni0")
            time.sleep(FLAP_SECONDS)
            self.stage.lab.repair("ni0")
            time.sleep(FLAP_SECONDS)
        self._await("Prometheus fires IpmpInterfaceFlapping", self._alert_fires)
        self._await("the remediator has taken ni0 offline", self._drained_by_remediator)
        self._show("ipmpstat", "-i")
        self._expect_on("ni1")
        self._await("the alert is resolved and ni0 is back", self._returned)
        self._expect_on("ni0")
        self._show("ipmp", "history", "--interface", "ni0", "--limit", "6")

    def where_to_look(self) -> list[str]:
        """(g) Where everything of this can be seen."""
        stage = self.stage
        lines = [f"metrics        {stage.exporter}/metrics", f"status page    {stage.exporter}/"]
        lines.append(f"remediator     {stage.remediator}/")
        if stage.prometheus is not None and stage.alertmanager is not None:
            lines.append(f"Prometheus     {stage.prometheus.url}/alerts")
            lines.append(f"Alertmanager   {stage.alertmanager.url}/")
        lines.append(f"the lab        ipmp lab --dir {stage.lab.directory} exec host -- bash")
        return lines

    # What scenes are made of ----------------------------------------------------------------------

    def _show(self, *argv: str, status: int = 0) -> None:
        """Run a command in the host and print what it prints; insist on its exit status."""
        self.say(f"    host# {' '.join(argv)}")
        done = self.stage.command(*argv)
        for line in (done.stdout + done.stderr).splitlines():
            self.say(f"    {line}")
        if done.returncode != status:
            raise Failed(f"{' '.join(argv)} ended with {done.returncode}, {status} was expected")

    def _without_loss(self, act: Callable[[], None], member: str) -> None:
        with ExitStack() as streams:
            running = self._streams(streams)
            time.sleep(FLOWING_SECONDS)
            act()
            self._expect_on(member)
            time.sleep(FLOWING_SECONDS)
            for address, stream in running:
                result = stream.result()
                self.say(f"    {address}: sent {result.sent}, lost {result.lost}")
                if result.lost:
                    raise Failed(f"{result.lost} packets to {address} were lost, 0 were expected")

    def _streams(self, streams: ExitStack) -> list[tuple[str, Stream]]:
        meter = self.stage.lab.meter
        return [(a, streams.enter_context(meter(PEER, a))) for a in ADDRESSES]

    def _expect_on(self, member: str) -> None:
        """Both addresses are on `member`, as the kernel and the peer's neighbour table see it."""
        lab, hwaddr = self.stage.lab, self.stage.lab.mac(member)

        def there() -> bool:
            held = lab.run(HOST, ("ip", "-o", "addr", "show", "dev", member)).stdout
            return all(f" {address}/" in held for address in ADDRESSES) and all(
                lab.neighbour(PEER, address) in (hwaddr, None) for address in ADDRESSES
            )

        self._await(None, there, SECONDS, f"the addresses on {member}, seen by the peer")
        known = lab.neighbour(PEER, ADDRESSES[0])
        if known:
            self.say(f"    the peer's neighbour table: {ADDRESSES[0]} is at {known} ({member})")

    def _await(
        self,
        happened: str | None,
        true: Callable[[], bool],
        seconds: float = ALERT_SECONDS,
        expected: str = "",
    ) -> None:
        began = time.monotonic()
        while not true():
            if time.monotonic() - began > seconds:
                raise Failed(f"not seen within {seconds:.0f} s: {happened or expected}")
            time.sleep(0.02)
        if happened:
            self.say(f"    after {time.monotonic() - began:4.1f} s: {happened}")

    def _alert_fires(self) -> bool:
        assert self.stage.prometheus is not None
        return any(
            alert["labels"]["alertname"] == "IpmpInterfaceFlapping" and alert["state"] == "firing"
            for alert in self.stage.prometheus.alerts()
        )

    def _drained_by_remediator(self) -> bool:
        interface = self.stage.status().interface("ni0")
        offline = interface.offline if interface is not None else None
        return offline is not None and offline.actor.startswith("remediator")

    def _returned(self) -> bool:
        interface = self.stage.status().interface("ni0")
        return interface is not None and interface.state is InterfaceState.OK
