"""Frames that tests put on the wire themselves, sent by a small program inside a node."""

from __future__ import annotations

import sys

from ipmp.lab import Lab

_SEND = """
import socket, sys
ifname, frame, count = sys.argv[1], bytes.fromhex(sys.argv[2]), int(sys.argv[3])
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
sock.bind((ifname, 0))
for _ in range(count):
    sock.send(frame)
"""


def send_frames(lab: Lab, node: str, ifname: str, frame: bytes, count: int = 1) -> None:
    """Send `frame` out of an interface of `node`, `count` times."""
    lab.run(node, (sys.executable, "-c", _SEND, ifname, frame.hex(), str(count)))


def gratuitous_arp(mac: str, address: bytes) -> bytes:
    """Return an ARP announcement (request form) of an IPv4 address."""
    sender = bytes.fromhex(mac.replace(":", ""))
    header = b"\xff" * 6 + sender + bytes.fromhex("0806 0001 0800 0604 0001")
    return header + sender + address + bytes(6) + address


def unsolicited_na(mac: str, address: bytes) -> bytes:
    """Return a neighbour advertisement with Override (its checksum is not filled in)."""
    sender = bytes.fromhex(mac.replace(":", ""))
    all_nodes = bytes.fromhex("ff02" + "00" * 13 + "01")
    ethernet = bytes.fromhex("333300000001") + sender + bytes.fromhex("86dd")
    ip = bytes.fromhex("60000000 0020 3a ff") + address + all_nodes
    return ethernet + ip + bytes.fromhex("8800 0000 20000000") + address + b"\x02\x01" + sender
