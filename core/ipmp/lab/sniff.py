"""The sniffer: writes every ARP, NS and NA frame at an interface as a JSON line, counts IP frames.

    python -m ipmp.lab.sniff IFNAME OUTPUT [--count]

Prints "ready" when it listens; ends at SIGTERM. A frame is `in` when it comes from the cable and
`out` when it goes onto it: what the host sends through ni0 is `in` at the switch port to-ni0. Its
time is the kernel's, of its passing. With --count there are also {"kind": "count"} lines, with the
unicast IP frames so far in each direction, whenever they have grown. The last line is
{"kind": "end"}, with the number of frames that the kernel could not hand over: if it is not 0, the
capture is not exact.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import select
import signal
import socket
import struct
import sys
import time
from typing import Any, BinaryIO

from ipmp.kernel.stamps import clock_offset
from ipmp.lab.frames import ETH_P_ARP, ETH_P_IPV6, IPPROTO_ICMPV6, SNAPSHOT, is_unicast_ip, parse

ETH_P_ALL = 0x0003
PACKET_OUTGOING = 4
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_RCVBUFFORCE, SO_ATTACH_FILTER, SO_TIMESTAMPNS = 33, 26, 35
RECEIVE_BUFFER = 8 << 20
COUNT_EVERY = 0.05  # seconds

# Classic BPF: code, jump if true, jump if false, operand. Lets pass ARP, and IPv6 with ICMPv6.
ANNOUNCEMENTS = (
    (0x28, 0, 0, 12),  # load the ethertype
    (0x15, 3, 0, ETH_P_ARP),
    (0x15, 0, 3, ETH_P_IPV6),
    (0x30, 0, 0, 20),  # load the next header
    (0x15, 0, 1, IPPROTO_ICMPV6),
    (0x06, 0, 0, 0xFFFF),  # pass
    (0x06, 0, 0, 0),  # drop
)


def main() -> int:
    """Sniff until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ifname")
    parser.add_argument("output")
    parser.add_argument("--count", action="store_true")
    args = parser.parse_args()
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    try:
        with _listen(args.ifname, everything=args.count) as sock, open(args.output, "wb", 0) as out:
            print("ready", flush=True)
            sniffer = Sniffer(sock, out)
            while not stopping:
                select.select([sock], [], [], COUNT_EVERY)
                sniffer.drain()
                sniffer.report_counts()
            sniffer.finish()
    except OSError as error:
        print(f"cannot sniff on {args.ifname}: {error}", file=sys.stderr)
        return 1
    return 0


class Sniffer:
    """Reads frames from a packet socket, writes lines to `out` (unbuffered)."""

    def __init__(self, sock: socket.socket, out: BinaryIO) -> None:
        self._sock = sock
        self._out = out
        self._counts = {"in": 0, "out": 0}
        self._reported = dict(self._counts)
        self._next_report = 0.0
        self._offset = clock_offset()

    def drain(self) -> None:
        """Handle every frame that waits."""
        self._offset = clock_offset()
        while True:
            try:
                frame, control, _, address = self._sock.recvmsg(SNAPSHOT, 64)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENETDOWN:
                    return  # said once when the interface is set down; it may come up again
                raise
            direction = "out" if address[2] == PACKET_OUTGOING else "in"
            if is_unicast_ip(frame):
                self._counts[direction] += 1
            facts = parse(frame)
            if facts is not None:
                seconds, nanoseconds = struct.unpack("@qq", control[0][2])
                passed = seconds + nanoseconds / 1e9
                self._write(passed, {"direction": direction, **facts})

    def report_counts(self, *, at_once: bool = False) -> None:
        """Write the counts if they have grown, but not more often than every `COUNT_EVERY`."""
        now = time.monotonic()
        if self._counts != self._reported and (at_once or now >= self._next_report):
            self._next_report = now + COUNT_EVERY
            self._reported = dict(self._counts)
            self._write(time.time(), {"kind": "count", **self._counts})

    def finish(self) -> None:
        """Handle what came before the signal, and close the account."""
        self.drain()
        self.report_counts(at_once=True)
        _, dropped = struct.unpack("II", self._sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self._write(time.time(), {"kind": "end", "dropped": dropped})

    def _write(self, when: float, facts: dict[str, Any]) -> None:
        monotonic = when - self._offset
        line = {"time": round(when, 6), "monotonic": round(monotonic, 6), **facts}
        self._out.write(json.dumps(line).encode() + b"\n")


def _listen(ifname: str, *, everything: bool) -> socket.socket:
    # Protocol 0: nothing is queued until the filter is in place and the interface is bound.
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:  # in a user namespace: as much as net.core.rmem_max allows
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    if not everything:
        _attach(sock, ANNOUNCEMENTS)
    sock.setblocking(False)
    sock.bind((ifname, ETH_P_ALL))
    return sock


def _attach(sock: socket.socket, program: tuple[tuple[int, int, int, int], ...]) -> None:
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    address = struct.pack("@HP", len(program), ctypes.addressof(buffer))  # struct sock_fprog
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, address)


if __name__ == "__main__":
    sys.exit(main())
