"""Captures in the lab, as objects of the program that started them: results of `sniff`."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from ipmp.lab.namespaces import LabError

if TYPE_CHECKING:
    from ipmp.lab.network import Lab

END_WITHIN = 10.0  # seconds


class Frame(msgspec.Struct, frozen=True):
    """An ARP, NS or NA frame that passed the interface."""

    time: float  # Unix seconds
    monotonic: float  # the same on this machine's monotonic clock
    kind: str  # arp-request, arp-reply, ns, na
    direction: str  # in, out: from or onto the cable
    src_mac: str
    dst_mac: str
    sender_ip: str
    sender_mac: str  # as the message says, which may differ from src_mac; "" if it says none
    target_ip: str
    target_mac: str = ""
    router: bool = False
    solicited: bool = False
    override: bool = False

    @property
    def announces(self) -> str | None:
        """The address that this frame announces unasked: gratuitous ARP, or unsolicited NA."""
        if self.kind.startswith("arp"):
            return self.sender_ip if self.sender_ip == self.target_ip else None
        return self.target_ip if self.kind == "na" and not self.solicited else None


class UnicastIp(msgspec.Struct, frozen=True):
    """How many unicast IP frames have passed the interface."""

    incoming: int = msgspec.field(default=0, name="in")
    outgoing: int = msgspec.field(default=0, name="out")


class _Kind(msgspec.Struct):
    kind: str
    dropped: int = 0


class Capture:
    """A running capture of `lab.sniff`. What is asked while it runs is what was written so far."""

    def __init__(self, lab: Lab, node: str, ifname: str, *, count: bool) -> None:
        with tempfile.NamedTemporaryFile(
            dir=lab.directory, prefix=f"{node}-{ifname}-", suffix=".jsonl", delete=False
        ) as file:
            self.path = Path(file.name)
        options = ("--count",) if count else ()
        self._process = lab.popen(
            node,
            (sys.executable, "-P", "-m", "ipmp.lab.sniff", ifname, str(self.path), *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            _, err = self._process.communicate()
            raise LabError(err.strip())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def stop(self) -> list[Frame]:
        """End the capture and return its frames; raise `LabError` if any had to be dropped."""
        self._process.send_signal(signal.SIGTERM)
        _, err = self._process.communicate(timeout=END_WITHIN)
        if self._process.returncode != 0:
            raise LabError(f"the capture broke: {err.strip()}")
        end = msgspec.json.decode(self._lines()[-1], type=_Kind)
        if end.dropped:
            raise LabError(f"the capture is incomplete: {end.dropped} frames were dropped")
        return self.frames()

    def frames(self) -> list[Frame]:
        """Return the frames so far."""
        return [
            msgspec.json.decode(line, type=Frame)
            for line in self._lines()
            if _kind(line) not in ("count", "end")
        ]

    def announcements(self, address: str) -> list[Frame]:
        """Return the frames so far that announced `address`."""
        return [frame for frame in self.frames() if frame.announces == address]

    def unicast_ip(self) -> UnicastIp:
        """Return the count of unicast IP frames so far (it may lag by a tenth of a second)."""
        counts = [line for line in self._lines() if _kind(line) == "count"]
        return msgspec.json.decode(counts[-1], type=UnicastIp) if counts else UnicastIp()

    def _lines(self) -> list[bytes]:
        return self.path.read_bytes().split(b"\n")[:-1]  # a line without its end is being written


def _kind(line: bytes) -> str:
    return msgspec.json.decode(line, type=_Kind).kind
