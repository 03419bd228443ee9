"""The loss meter: a numbered stream, an echo, and an account of what was lost and for how long.

    python -m ipmp.lab.meter echo ADDRESS [--tcp] [--rate 1000]
    python -m ipmp.lab.meter send ADDRESS PORT [--tcp] [--rate 1000] [--count N]

Each prints JSON lines. `echo`: {"port": N} when it listens; for each line on its standard input,
the number of packets sent, its own account, which is of the way there only. `send`: {"started":
true} at the first answer (or after two seconds without any) and at the end the account of the round
trip; without --count it sends until SIGTERM. Over TCP the account is whether the connection
survived, and its longest stall.

A UDP arrival is timed by the kernel (SO_TIMESTAMPNS), so a receiver that waits for a CPU does not
see gaps that the network did not have. Packets are due at absolute times; a sender that comes late
catches up, and says how late it was (`sender_stall_ms`).
"""

from __future__ import annotations

import argparse
import gc
import json
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict

from ipmp.lab.arrivals import Arrivals

PAYLOAD = struct.Struct("!I60x")  # number; 64 bytes make it an ordinary small packet
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("@qq")
RECEIVE_BUFFER = 4 << 20  # bytes; seconds of packets, should we be kept from the CPU
START_WITHIN = 2.0  # seconds until "started" is said anyway
UDP_LINGER = 1.0  # seconds after the last packet in which echoes may still come
TCP_LINGER = 20.0  # a retransmission may take that long after an outage


class Stop:
    """Set by SIGTERM and SIGINT."""

    def __init__(self) -> None:
        self.asked = False
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, self._ask)

    def _ask(self, _sign: int, _frame: object) -> None:
        self.asked = True


class Pace:
    """Absolute due times at `rate` a second, and how late they were met."""

    def __init__(self, rate: float) -> None:
        self.interval = 1 / rate
        self.stall = 0.0
        self._start = time.monotonic()
        self._last = self._start

    def wait(self, number: int, readable: socket.socket) -> bool:
        """Wait until packet `number` is due or `readable` is; True if the packet is due."""
        left = self._start + number * self.interval - time.monotonic()
        if left > 0:
            select.select([readable], [], [], left)
            return False
        now = time.monotonic()
        self.stall = max(self.stall, now - self._last - self.interval)
        self._last = now
        return True


def main() -> int:
    """Run one end of a stream."""
    parser = argparse.ArgumentParser(description=__doc__)
    ends = parser.add_subparsers(dest="end", required=True)
    for name in ("echo", "send"):
        end = ends.add_parser(name)
        end.add_argument("address")
        end.add_argument("--tcp", action="store_true")
        end.add_argument("--rate", type=float, default=1000.0, help="packets a second")
        if name == "send":
            end.add_argument("port", type=int)
            end.add_argument("--count", type=int, default=sys.maxsize, help="packets")
    args = parser.parse_args()
    gc.disable()  # nothing here is cyclic, and a collection is a stall
    run = {
        ("echo", False): echo_udp,
        ("echo", True): echo_tcp,
        ("send", False): send_udp,
        ("send", True): send_tcp,
    }
    try:
        run[args.end, args.tcp](args, Stop())
    except OSError as error:
        print(f"meter {args.end} {args.address}: {error}", file=sys.stderr)
        return 1
    return 0


def echo_udp(args: argparse.Namespace, _stop: Stop) -> None:
    """Send each datagram back to where it came from; report arrivals when told how many were sent.

    The number comes as a line on standard input, whose end is the end in any case.
    """
    arrivals = Arrivals(1 / args.rate)
    with _udp_socket(args.address) as sock:
        sock.bind((args.address, 0))
        _say({"port": sock.getsockname()[1]})
        while True:
            readable, _, _ = select.select([sock, sys.stdin], [], [])
            if sock in readable:
                for data, arrived, sender in _received(sock):
                    arrivals.add(PAYLOAD.unpack(data)[0], arrived)
                    with suppress(OSError):  # no way back now: that is for the sender to count
                        sock.sendto(data, sender)
            elif line := sys.stdin.readline():
                _say(asdict(arrivals.result(int(line))))
            else:
                return


def send_udp(args: argparse.Namespace, stop: Stop) -> None:
    """Send at the rate, collect the echoes, report the round trip."""
    arrivals = Arrivals(1 / args.rate)
    errors = sent = 0
    with _udp_socket(args.address) as sock:
        sock.connect((args.address, args.port))
        pace = Pace(args.rate)
        started = False
        while sent < args.count and not stop.asked:
            if pace.wait(sent, sock):
                try:
                    sock.send(PAYLOAD.pack(sent))
                except OSError:
                    errors += 1  # no route, no address: the packet is lost all the same
                sent += 1
            _collect(sock, arrivals)
            started = started or _say_started(
                arrivals.received > 0 or sent >= START_WITHIN * args.rate
            )
        deadline = time.monotonic() + UDP_LINGER
        while arrivals.received < sent and (left := deadline - time.monotonic()) > 0:
            select.select([sock], [], [], left)
            _collect(sock, arrivals)
    account = asdict(arrivals.result(sent))
    _say(account | {"send_errors": errors, "sender_stall_ms": round(pace.stall * 1000, 3)})


def echo_tcp(args: argparse.Namespace, _stop: Stop) -> None:
    """Accept one connection and send back what comes, until it ends."""
    with socket.create_server((args.address, 0), family=_family(args.address)) as listener:
        _say({"port": listener.getsockname()[1]})
        connection, _ = listener.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(65536):
            connection.sendall(data)


def send_tcp(args: argparse.Namespace, stop: Stop) -> None:
    """Send records at the rate over one connection; report the longest stall and its survival."""
    with socket.create_connection((args.address, args.port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        stream = _Stream(sock, Pace(args.rate))
        error = ""
        try:
            stream.run(args.count, stop)
        except OSError as broken:
            error = broken.strerror or str(broken)
    complete = stream.received == stream.sent
    _say(
        {
            "sent": stream.sent,
            "received": stream.received,
            "survived": complete and not error,
            "error": error or ("" if complete else f"no answer for {TCP_LINGER:.0f} s"),
            "longest_stall_ms": round(stream.stall * 1000, 3),
            "sender_stall_ms": round(stream.pace.stall * 1000, 3),
        }
    )


class _Stream:
    """The sending end of the TCP stream; counts whole records."""

    def __init__(self, sock: socket.socket, pace: Pace) -> None:
        self.pace = pace
        self.sent = 0
        self.stall = 0.0
        self._sock = sock
        self._unsent = bytearray()
        self._bytes_received = 0
        self._last_arrival = time.monotonic()

    @property
    def received(self) -> int:
        return self._bytes_received // PAYLOAD.size

    def run(self, count: int, stop: Stop) -> None:
        started = False
        while self.sent < count and not stop.asked:
            if self.pace.wait(self.sent, self._sock):
                self._unsent += PAYLOAD.pack(self.sent)
                self.sent += 1
            self._transfer()
            started = started or _say_started(self.received > 0)
        deadline = time.monotonic() + TCP_LINGER
        while self.received < self.sent and time.monotonic() < deadline:
            select.select([self._sock], [], [], 0.01)
            self._transfer()

    def _transfer(self) -> None:
        with suppress(BlockingIOError):
            while self._unsent:
                del self._unsent[: self._sock.send(self._unsent)]
        now = time.monotonic()
        # Also without an arrival: a stall that never ends is one.
        stall = now - self._last_arrival - self.pace.interval
        with suppress(BlockingIOError):
            arrived = len(self._sock.recv(65536))
            if not arrived:
                raise ConnectionResetError("closed by the other end")
            self._bytes_received += arrived
            self._last_arrival = now
        self.stall = max(self.stall, stall)


def _say(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)


def _say_started(now: bool) -> bool:
    if now:
        _say({"started": True})
    return now


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _udp_socket(address: str) -> socket.socket:
    sock = socket.socket(_family(address), socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.setblocking(False)
    return sock


def _received(sock: socket.socket) -> Iterator[tuple[bytes, float, tuple[str, int]]]:
    """Yield (data, arrival time, sender) of every datagram that waits."""
    while True:
        try:
            data, control, _, sender = sock.recvmsg(PAYLOAD.size, 64)
        except BlockingIOError:
            return
        except OSError:
            continue  # an ICMP error of an earlier packet, which is missing anyway
        seconds, nanoseconds = TIMESPEC.unpack(control[0][2])
        yield data, seconds + nanoseconds / 1e9, sender


def _collect(sock: socket.socket, arrivals: Arrivals) -> None:
    for data, arrived, _ in _received(sock):
        arrivals.add(PAYLOAD.unpack(data)[0], arrived)


if __name__ == "__main__":
    sys.exit(main())
