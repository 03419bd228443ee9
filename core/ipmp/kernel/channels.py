"""One socket of a path: how its probes are sent, and what the packets say that come in.

ICMP uses raw sockets, bound to the device and to the test address, TTL 1. Over IPv4 they do not use
routes (SO_DONTROUTE): a target is on the link, and a default route through the member must not
carry the probe to a router. ARP and neighbour discovery use packet sockets with a filter, so that
only answers to us wake the process. The kernel stamps what it receives: a round-trip time is true
even when the answer is read late.
"""

from __future__ import annotations

import errno
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable

from ipmp.kernel import bpf, probe_frames
from ipmp.kernel.frames import ETH_P_ARP, ETH_P_IPV6, ICMPV6
from ipmp.model import Family
from ipmp.probing import Method, Path, Probe, Reply

HWADDR_BYTES = 6
SO_TIMESTAMPNS, SO_BINDTOIFINDEX = 35, 62
SOL_RAW, ICMP_FILTER = 255, 1
ICMP6_FILTER = 1
STAMP = struct.Struct("@qq")  # struct timespec
ANCILLARY_BYTES = socket.CMSG_SPACE(STAMP.size)
IPV4_ALL_BUT_ECHO_REPLY = struct.pack("=I", 0xFFFFFFFF & ~(1 << probe_frames.ECHO_REPLY))

_RAW = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK


class Channel(ABC):
    """One open socket of a path; subclasses know the packets."""

    def __init__(self, path: Path, opened: socket.socket) -> None:
        self.path = path
        self.socket = opened
        self.hwaddr = bytes.fromhex(path.hwaddr.replace(":", ""))

    @abstractmethod
    def send(self, probe: Probe) -> None:
        """Send one probe; raises OSError."""

    @abstractmethod
    def parse(self, data: bytes, sender: str, received: float) -> Reply | None:
        """What a packet says, None when it says nothing to us."""

    def read(self, offset: float) -> Reply | None:
        """Read one packet that waits; `offset` is the wall clock's lead over the monotonic one."""
        try:
            data, stamps, _, sender = self.socket.recvmsg(probe_frames.FRAME_BYTES, ANCILLARY_BYTES)
        except OSError:  # the device went down: its link tells
            return None
        seconds, nanoseconds = STAMP.unpack(stamps[0][2])
        return self.parse(data, sender[0], seconds + nanoseconds / 1e9 - offset)


class EchoChannel(Channel):
    """ICMP echo from the path's source address."""

    def __init__(self, path: Path) -> None:
        ipv4 = path.family is Family.IPV4
        super().__init__(path, _open_icmp(path) if ipv4 else _open_icmpv6(path))
        self._request = probe_frames.echo_request if ipv4 else probe_frames.echo_request6
        self._parse = probe_frames.parse_echo if ipv4 else probe_frames.parse_echo6
        self._scope = () if ipv4 else (0, path.ifindex)

    def send(self, probe: Probe) -> None:
        """Send one probe; raises OSError."""
        request = self._request(probe.ident, probe.sequence, probe.nonce)
        self.socket.sendto(request, (probe.target, 0, *self._scope))

    def parse(self, data: bytes, sender: str, received: float) -> Reply | None:
        """The echo reply in a packet."""
        echo = self._parse(data)
        if echo is None:
            return None
        return Reply(
            self.path.member,
            self.path.family,
            Method.ICMP,
            sender,
            received,
            echo.sequence,
            echo.ident,
            echo.nonce,
        )


class FrameChannel(Channel):
    """ARP probes, or neighbour solicitations from the path's source address."""

    def __init__(self, path: Path) -> None:
        ipv4 = path.family is Family.IPV4
        super().__init__(path, socket.socket(socket.AF_PACKET, _RAW, 0))
        try:
            if len(self.hwaddr) != HWADDR_BYTES:
                raise OSError(errno.EPROTONOSUPPORT, "it has no Ethernet address to ask from")
            self.listen(())
            _prepare(self.socket)
            device = socket.if_indextoname(path.ifindex)  # a member may have been renamed
            self.socket.bind((device, ETH_P_ARP if ipv4 else ETH_P_IPV6))
        except OSError:
            self.socket.close()
            raise

    def listen(self, heard: Iterable[str]) -> None:
        """Take in answers to us, and for IPv4 all ARP that these hosts send."""
        if self.path.family is Family.IPV4:
            bpf.attach(self.socket, _arp_filter(self.hwaddr, heard))
        else:
            bpf.attach(self.socket, _NA_FILTER)

    def send(self, probe: Probe) -> None:
        """Send one probe; raises OSError."""
        if self.path.family is Family.IPV4:
            frame = probe_frames.arp_probe(self.hwaddr, probe.target, probe.hwaddr)
        else:
            source = self.path.source
            frame = probe_frames.solicitation(self.hwaddr, source, probe.target, probe.hwaddr)
        self.socket.send(frame)

    def parse(self, data: bytes, sender: str, received: float) -> Reply | None:
        """The answer in a frame, or that its sender was heard."""
        if self.path.family is Family.IPV4:
            heard = probe_frames.parse_arp(data, self.hwaddr)
        else:
            heard = probe_frames.parse_advertisement(data, self.path.source)
        if heard is None:
            return None
        return Reply(
            self.path.member,
            self.path.family,
            Method.ARP,
            heard.sender,
            received,
            hwaddr=heard.hwaddr,
            asked=heard.answer,
        )


def _prepare(opened: socket.socket) -> None:
    opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


def _open_icmp(path: Path) -> socket.socket:
    opened = socket.socket(socket.AF_INET, _RAW, socket.IPPROTO_ICMP)
    try:
        opened.setsockopt(SOL_RAW, ICMP_FILTER, IPV4_ALL_BUT_ECHO_REPLY)
        opened.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, path.ifindex)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        opened.setsockopt(
            socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"", b"", path.ifindex)
        )
        _prepare(opened)
        opened.bind((path.source, 0))
    except OSError:
        opened.close()
        raise
    return opened


def _open_icmpv6(path: Path) -> socket.socket:
    opened = socket.socket(socket.AF_INET6, _RAW, socket.IPPROTO_ICMPV6)
    only_echo_replies = bytearray(b"\xff" * 32)
    word = probe_frames.ECHO_REPLY6 // 32 * 4
    mask = 0xFFFFFFFF & ~(1 << probe_frames.ECHO_REPLY6 % 32)
    only_echo_replies[word : word + 4] = struct.pack("=I", mask)
    try:
        opened.setsockopt(ICMPV6, ICMP6_FILTER, bytes(only_echo_replies))
        opened.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, path.ifindex)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, path.ifindex)
        _prepare(opened)
        opened.bind((path.source, 0, 0, path.ifindex))
    except OSError:
        opened.close()
        raise
    return opened


def _arp_filter(hwaddr: bytes, heard: Iterable[str]) -> list[bpf.Instruction]:
    """Replies to this MAC, and whatever comes from one of these addresses."""
    high, low = struct.unpack("!IH", hwaddr)
    code = [
        *bpf.accept_if(
            (
                (bpf.LD_H_ABS, 20, probe_frames.ARP_REPLY),
                (bpf.LD_W_ABS, 32, high),
                (bpf.LD_H_ABS, 36, low),
            ),
            probe_frames.FRAME_BYTES,
        )
    ]
    for address in sorted(heard):
        sender = int.from_bytes(probe_frames.packed(address), "big")
        code += bpf.accept_if(((bpf.LD_W_ABS, 28, sender),), probe_frames.FRAME_BYTES)
    return [*code, (bpf.RET_K, 0, 0, 0)]


#: Neighbour advertisements from this link, to this host.
_NA_FILTER: list[bpf.Instruction] = [
    *bpf.accept_if(
        (
            (bpf.LD_W_ABS, bpf.SKF_AD_OFF + bpf.SKF_AD_PKTTYPE, bpf.PACKET_HOST),
            (bpf.LD_H_ABS, 20, ICMPV6 << 8 | probe_frames.HOP_LIMIT),
            (bpf.LD_B_ABS, probe_frames.ND_BODY, probe_frames.NA_TYPE),
        ),
        probe_frames.FRAME_BYTES,
    ),
    (bpf.RET_K, 0, 0, 0),
]
