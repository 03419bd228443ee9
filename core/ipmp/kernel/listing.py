"""One-off netlink dumps that nobody waits for: synchronous, each with a socket of its own.

For what is looked up at human speed, also from a thread of the daemon. The data path has
`netlink.Requests`, which numbers, batches and yields.
"""

from __future__ import annotations

import errno
import os
import socket

from ipmp.kernel.netlink import (
    ERROR,
    NETLINK_GET_STRICT_CHK,
    NLMSG_DONE,
    NLMSG_ERROR,
    NOTHING_TO_LIST,
    RECEIVE_BYTES,
    SOL_NETLINK,
    messages,
)

NETLINK_ROUTE = 0
NETLINK_SOCK_DIAG = 4

#: For a kernel that answers nothing at all, which is a defect of it.
SECONDS = 2.0


def dump(protocol: int, message: bytes) -> list[bytes]:
    """Return the payloads of one dump; none when this kernel has nothing of that kind.

    `message` is a dump request as `netlink.request` builds it. Raises OSError.
    """
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    with opened:
        opened.settimeout(SECONDS)
        if protocol == NETLINK_ROUTE:
            opened.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        opened.send(message)
        found: list[bytes] = []
        while True:
            for part in messages(opened.recv(RECEIVE_BYTES)):
                if part.type in (NLMSG_DONE, NLMSG_ERROR):
                    _raise_unless_nothing(part.payload)
                    return found
                found.append(part.payload)


def _raise_unless_nothing(payload: bytes) -> None:
    code = -ERROR.unpack_from(payload)[0] if len(payload) >= ERROR.size else 0
    if code and code not in (*NOTHING_TO_LIST, errno.EPROTONOSUPPORT):
        raise OSError(code, os.strerror(code))
