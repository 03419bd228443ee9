"""What a NIC's driver tells through ethtool's ioctl; linux:include/uapi/linux/ethtool.h."""

from __future__ import annotations

import array
import fcntl
import socket
import struct

import msgspec

from ipmp.world import Link

SIOCETHTOOL = 0x8946
ETHTOOL_GLINKSETTINGS = 0x4C
SPEED_UNKNOWN = 0xFFFFFFFF

_SETTINGS = struct.Struct("=II7xb32x")  # command, speed, ..., words of each link mode mask
_MASKS = 3  # supported, advertised, advertised by the peer
_REQUEST = struct.Struct("16sP16x")  # struct ifreq


def with_speed(link: Link) -> Link:
    """The link with its speed; while it has no carrier there is no time to ask."""
    return msgspec.structs.replace(link, speed=speed(link.name)) if link.carrier else link


def speed(device: str) -> int:
    """Speed of the link in Mb/s; 0 when the driver does not tell."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            # The kernel first answers, as a negative number, how long its masks are.
            _, _, words = _ask(asking, device, 0)
            _, found, _ = _ask(asking, device, -words)
        except OSError:
            return 0
    return 0 if found == SPEED_UNKNOWN else int(found)


def _ask(asking: socket.socket, device: str, words: int) -> tuple[int, int, int]:
    masks = bytes(4 * _MASKS * words)
    buffer = array.array("B", _SETTINGS.pack(ETHTOOL_GLINKSETTINGS, 0, words) + masks)
    request = _REQUEST.pack(device.encode(), buffer.buffer_info()[0])
    fcntl.ioctl(asking, SIOCETHTOOL, request)
    command, found, answered = _SETTINGS.unpack_from(buffer)
    return command, found, answered
