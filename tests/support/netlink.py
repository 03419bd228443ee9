"""Making netlink events scarce: a process that hears none, and devices whose events come late."""

from __future__ import annotations

import subprocess
import sys

from ipmp.lab import Lab
from ipmp.lab.topology import HOST

#: Takes copies of the event sockets of a process (pidfd_getfd(2)) and changes them: it leaves all
#: their groups, or gives them a receive buffer of so many bytes.
_TAMPER = """\
import ctypes, os, socket, sys
PIDFD_GETFD, SOL_NETLINK, DROP_MEMBERSHIP, LIST_MEMBERSHIPS = 438, 270, 2, 9
pid, buffer = int(sys.argv[1]), int(sys.argv[2])
process = os.pidfd_open(pid)
libc = ctypes.CDLL(None, use_errno=True)

def copies():
    for name in os.listdir(f"/proc/{pid}/fd"):
        if os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
            copy = libc.syscall(PIDFD_GETFD, process, int(name), 0)
            if copy < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            yield socket.socket(fileno=copy)

changed = 0
for sock in copies():
    if sock.family != socket.AF_NETLINK:
        continue
    groups = int.from_bytes(sock.getsockopt(SOL_NETLINK, LIST_MEMBERSHIPS, 64), "little")
    if groups and buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    while groups and not buffer:
        sock.setsockopt(SOL_NETLINK, DROP_MEMBERSHIP, groups.bit_length())
        groups -= 1 << groups.bit_length() - 1
        changed += 1
    changed += bool(groups)
print(changed)
"""

#: Holds tap devices of 1 Gb/s and sets their carriers as told: lines like "tap0 0".
_TAPS = """\
import ctypes, fcntl, os, socket, struct, sys
TUNSETIFF, TUNSETCARRIER, TAP_WITHOUT_HEADER = 0x400454CA, 0x400454E2, 0x1002
SIOCETHTOOL, GET_SETTINGS, SET_SETTINGS = 0x8946, 0x4C, 0x4D

def ask(name, command, speed, words):
    settings = struct.pack("=II7xb32x", command, speed, words) + bytes(12 * abs(words))
    buffer = ctypes.create_string_buffer(settings, len(settings))
    request = struct.pack("16sP16x", name.encode(), ctypes.addressof(buffer))
    with socket.socket() as sock:
        fcntl.ioctl(sock, SIOCETHTOOL, request)
    return struct.unpack_from("b", buffer, 15)[0]

taps = {}
for name in sys.argv[1:]:
    taps[name] = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(taps[name], TUNSETIFF, struct.pack("16sH22x", name.encode(), TAP_WITHOUT_HEADER))
    ask(name, SET_SETTINGS, 1000, -ask(name, GET_SETTINGS, 0, 0))
print("ready", flush=True)
for line in sys.stdin:
    name, carrier = line.split()
    fcntl.ioctl(taps[name], TUNSETCARRIER, struct.pack("i", int(carrier)))
"""


def deafen(lab: Lab, pid: int) -> int:
    """Let a process of the host (its pid there) hear no more events; returns the groups left."""
    return _tamper(lab, pid, 0)


def shrink_buffer(lab: Lab, pid: int, size: int = 4096) -> int:
    """Let the events that wait for a process be few; returns the sockets changed."""
    return _tamper(lab, pid, size)


def _tamper(lab: Lab, pid: int, size: int) -> int:
    return int(lab.run(HOST, (sys.executable, "-c", _TAMPER, str(pid), str(size))).stdout)


class Taps:
    """Plain NICs of the host, of 1 Gb/s and set up, whose carrier can be set.

    The kernel tells the loss of a plain NIC's carrier at most once a second; that of a veth, at
    once (linux-peers 3.2).
    """

    def __init__(self, lab: Lab, *names: str) -> None:
        self._process = lab.popen(
            HOST,
            (sys.executable, "-c", _TAPS, *names),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        for name in names:
            lab.run(HOST, ("ip", "link", "set", name, "up"))

    def carrier(self, **states: bool) -> None:
        """Set the carriers of these devices, in this order."""
        assert self._process.stdin is not None
        for name, up in states.items():
            self._process.stdin.write(f"{name} {int(up)}\n")
        self._process.stdin.flush()

    def __enter__(self) -> Taps:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()
