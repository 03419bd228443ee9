"""Streams through the lab, as objects of the program that started them: results of `meter`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

import msgspec

from ipmp.lab import topology
from ipmp.lab.namespaces import LabError

if TYPE_CHECKING:
    from ipmp.lab.network import Lab
    from ipmp.lab.processes import NodeProcess

RESULT_WITHIN = 60.0  # seconds after the last packet; TCP waits for its retransmissions


class StreamResult(msgspec.Struct, frozen=True):
    """What became of a stream of numbered UDP packets; the terms are those of `Arrivals`."""

    sent: int
    received: int
    lost: int
    duplicates: int
    longest_gap_ms: float
    first_lost: int | None
    last_lost: int | None
    send_errors: int = 0  # lost before they left, for want of a route or an address
    sender_stall_ms: float = 0.0  # the sender's longest lateness: the noise of the machine
    source: str = ""
    outbound: StreamResult | None = None  # the way there only, as the echoing end saw it

    @property
    def peer_gap_ms(self) -> float:
        """The longest gap as the end that is not the host saw it."""
        if self.source == topology.HOST and self.outbound is not None:
            return self.outbound.longest_gap_ms
        return self.longest_gap_ms


class TcpResult(msgspec.Struct, frozen=True):
    """What became of a TCP connection that carried records there and back."""

    sent: int
    received: int
    survived: bool  # no error, and every record came back
    error: str
    longest_stall_ms: float
    sender_stall_ms: float


class _Running:
    """A sender in one node and an echo in another; ends with its `with` block."""

    def __init__(
        self,
        lab: Lab,
        source: str,
        address: str,
        *,
        rate: float,
        count: int | None,
        options: tuple[str, ...] = (),
    ) -> None:
        self._source = source
        self._endless = count is None
        common = ("--rate", str(rate), *options)
        self._echo = _meter(lab, topology.node_of(address), "echo", address, *common)
        self._sender: NodeProcess | None = None
        try:
            port = str(_read_line(self._echo)["port"])
            limit = () if count is None else ("--count", str(count))
            self._sender = _meter(lab, source, "send", address, port, *limit, *common)
            self._first = _read_line(self._sender)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End both programs without a result."""
        for process in (self._sender, self._echo):
            if process is not None:
                process.kill()
                with process:  # closes its pipes
                    process.wait()

    def _account(self) -> dict[str, Any]:
        """Wait for the sender's account; a stream without end is asked to end."""
        assert self._sender is not None
        if self._endless:
            self._sender.send_signal(signal.SIGTERM)
        out, err = self._sender.communicate(timeout=RESULT_WITHIN)
        if self._sender.returncode != 0:
            raise LabError(f"the stream broke: {err.decode().strip()}")
        lines = out.splitlines()
        account: dict[str, Any] = json.loads(lines[-1]) if lines else self._first
        return account


class Stream(_Running):
    """A running UDP stream of `lab.meter`; at least one packet has made the round trip."""

    def result(self) -> StreamResult:
        """Wait for the end of the stream (end it, if it has none) and return its account."""
        account = self._account()
        answer, _ = self._echo.communicate(b"%d\n" % account["sent"], timeout=RESULT_WITHIN)
        outbound = msgspec.json.decode(answer, type=StreamResult)
        self.stop()
        return msgspec.convert(
            account | {"source": self._source, "outbound": outbound}, type=StreamResult
        )


class TcpStream(_Running):
    """A running TCP connection of `lab.tcp_meter`."""

    def result(self) -> TcpResult:
        """Wait for the end of the stream (end it, if it has none) and return its account."""
        account = self._account()
        self.stop()
        return msgspec.convert(account, type=TcpResult)


def _meter(lab: Lab, node: str, *arguments: str) -> NodeProcess:
    return lab.popen(
        node,
        (sys.executable, "-P", "-m", "ipmp.lab.meter", *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # a line read must not take the next one with it: that is for communicate()
    )


def _read_line(process: NodeProcess) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        _, err = process.communicate()
        raise LabError(f"cannot start the stream: {err.decode().strip()}")
    said: dict[str, Any] = json.loads(line)
    return said
